"""The writer of normalized pyramids: order, codec, BigTIFF, journal."""
