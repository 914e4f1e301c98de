"""Files in and out: images, the tiles of a center, the outputs of many inputs, written whole or not at all."""

__all__: list[str] = []
