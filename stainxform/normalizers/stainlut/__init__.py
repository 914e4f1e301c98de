"""StainLUT: colorizes the gray image through a fused 4D lookup table."""

__all__: list[str] = []
