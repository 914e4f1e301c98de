"""StainNet: any normalizer, distilled into a 1x1 network."""

__all__: list[str] = []
