"""ColorNormNet: one CIELAB offset, predicted by a small network."""

__all__: list[str] = []
