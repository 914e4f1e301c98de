"""The writer of normalized pyramids: order, codec, BigTIFF, journal."""

__all__: list[str] = []
