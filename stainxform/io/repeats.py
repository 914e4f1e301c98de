"""Tiles that are there twice: one file under two names, or the same pixels."""

from __future__ import annotations

import os

from stainxform.image.histogram import ColorHistogram
from stainxform.io.sources import Tiles

__all__ = ["Repeats"]

_COLORS = 64
"""So many colors and counts are compared before pixels are."""


class Repeats:
    """Which tiles have been there before, asked in order.

    Parameters
    ----------
    tiles : Tiles
        All tiles.
    """

    def __init__(self, tiles: Tiles):
        self._tiles = tiles
        self._files: set[tuple[int, int]] = set()
        self._alike: dict[object, tuple[int, set[bytes]]] = {}

    def file(self, index: int) -> bool:
        """Whether the file of a tile is that of one before, also by a link; nothing is read."""
        path = self._tiles.file(index)
        try:
            found = None if path is None else os.stat(path)
        except OSError:  # said when it is read
            return False
        if found is None or not found.st_ino:
            return False
        known, one = self._files, (found.st_dev, found.st_ino)
        again = one in known
        known.add(one)
        return again

    def pixels(self, index: int, histogram: ColorHistogram) -> bool:
        """Whether the pixels of a tile are those of one before; they are compared where the colors are the same."""
        levels = b"" if histogram.levels is None else histogram.levels[:, :_COLORS].tobytes()
        colors = len(histogram.counts), histogram.counts[:_COLORS].tobytes(), levels
        first, known = self._alike.setdefault((self._tiles.shape(index), *colors), (index, set()))
        if first == index:
            return False
        known.add(self._tiles.sha256(first))
        again = self._tiles.sha256(index) in known
        known.add(self._tiles.sha256(index))
        return again
