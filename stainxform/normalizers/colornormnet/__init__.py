"""ColorNormNet: one CIELAB offset, predicted by a small network."""
