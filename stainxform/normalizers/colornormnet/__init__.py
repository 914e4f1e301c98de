"""ColorNormNet: one CIELAB offset, told by a small network."""
