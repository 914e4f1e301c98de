"""Where the tiles of a center come from: a folder, a glob, files, arrays, or a Dataset."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stainxform.image.histogram import ColorHistogram
from stainxform.image.layout import Image, ValueRange
from stainxform.io.items import channels_in_place, image_in, items_of, pixels_of, stream, to_uint8
from stainxform.io.paths import is_path

__all__ = ["CACHE_BYTES", "Tiles", "as_tiles", "histograms_of", "iterate"]

CACHE_BYTES = 1 << 30
"""Decoded tiles kept in memory, and as much again of counted colors; what lies beyond is made again when asked for."""


def iterate(images: Any) -> Iterator[Image]:
    """Images of a fit, one after the other: whatever :class:`Tiles` takes. Arrays are as they were given, floats too."""
    if isinstance(images, Tiles):
        yield from images
    else:
        yield from (channels_in_place(image_in(item)) for item in stream(images))


def histograms_of(images: Any) -> Iterator[ColorHistogram]:
    """The counted colors of each image of a fit; of :class:`Tiles`, those that are remembered."""
    if isinstance(images, Tiles):
        yield from map(images.histogram, range(len(images)))
    else:
        yield from map(ColorHistogram.of, iterate(images))


def as_tiles(images: Any) -> Sequence[np.ndarray]:
    """Images of a fit as uint8 tiles ``(H, W, 3)`` that a trainer can index."""
    return images if isinstance(images, Tiles) else [to_uint8(image) for image in iterate(images)]


@dataclass
class _Known:
    """What is remembered of a tile, so that no file is decoded and no tile counted twice."""

    pixels: np.ndarray | None = None
    histogram: ColorHistogram | None = None
    shape: tuple[int, int] | None = None
    sha256: bytes | None = None


class Tiles(Sequence[np.ndarray]):
    """A sequence of tiles, each uint8 ``(H, W, 3)``, decoded when asked for and cached up to CACHE_BYTES.

    Parameters
    ----------
    images : str, Path, array_like, Dataset or iterable of these
        A folder (searched recursively, links included), a glob pattern, one file; one array (a tile or a batch), also
        on a disk (zarr, HDF5); a PIL image; a list, an iterator, an array or a column of any of these; a Dataset (``len``
        and ``[i]``) whose items are one of these, tuples starting with one, or dictionaries; a DataLoader.
    image_key : str, optional
        Where the image is in dictionary items.
    value_range : (float, float), optional
        Range of float tiles, default (0, 1); they are rounded to 8 bits.

    Raises
    ------
    ParameterError
        No source of images, or an empty path.
    InvalidImageError
        Nothing found, or a file is missing.
    """

    def __init__(self, images: Any, *, image_key: str = "image", value_range: ValueRange | None = None):
        self._items = images if isinstance(images, Tiles) else items_of(images, image_key, value_range)
        self._image_key = image_key
        self._value_range = value_range
        self._known: dict[int, _Known] = {}
        self._pixel_bytes = self._histogram_bytes = 0

    def subset(self, indices: Sequence[int]) -> Tiles:
        """Some of the tiles, sharing what is known of them."""
        chosen = copy.copy(self)
        chosen._items = _Picked(self._items, indices)
        chosen._known = {new: self._known[old] for new, old in enumerate(indices) if old in self._known}
        chosen._pixel_bytes = sum(known.pixels.nbytes for known in chosen._known.values() if known.pixels is not None)
        chosen._histogram_bytes = sum(
            known.histogram.nbytes for known in chosen._known.values() if known.histogram is not None
        )
        return chosen

    @property
    def sources(self) -> Sequence[Any]:
        """Where each tile is from: its path, the path of its slide, or, of a Dataset, the item, read when asked for."""
        if isinstance(self._items, Tiles):
            return self._items.sources
        paths = getattr(self._items, "paths", None)
        if isinstance(paths, list | tuple) and len(paths) == len(self) and all(map(is_path, paths)):
            return list(map(Path, paths))
        return self._items

    def file(self, index: int) -> Path | None:
        """The file of a tile, if it was given as one."""
        if isinstance(self._items, Tiles):
            return self._items.file(index)
        item: Any = self._items[index] if isinstance(self._items, list) else None
        return Path(item) if is_path(item) else None

    def __len__(self) -> int:
        """Number of tiles."""
        return len(self._items)

    def __getitem__(self, index: Any) -> Any:
        """One tile as uint8 ``(H, W, 3)``; read-only if it came from the cache. A slice gives a list."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self._pixels(range(len(self))[index])

    def histogram(self, index: int) -> ColorHistogram:
        """The counted colors of a tile; remembered, up to CACHE_BYTES for all tiles."""
        return self.counted(index)[1]

    def counted(self, index: int) -> tuple[np.ndarray | None, ColorHistogram]:
        """A tile and its counted colors; the pixels are None if only the colors are remembered."""
        known = self._known.get(index)
        if known is not None and known.histogram is not None:
            return known.pixels, known.histogram
        tile = self._pixels(index)
        histogram = ColorHistogram.of(tile)
        if self._histogram_bytes + histogram.nbytes <= CACHE_BYTES:
            self._known[index].histogram = histogram
            self._histogram_bytes += histogram.nbytes
        return tile, histogram

    def shape(self, index: int) -> tuple[int, int]:
        """(height, width) of a tile in pixels; known without decoding it again."""
        known = self._known.get(index)
        if known is None or known.shape is None:
            self._pixels(index)
            known = self._known[index]
        assert known.shape is not None
        return known.shape

    def sha256(self, index: int) -> bytes:
        """SHA-256 of a tile's pixels; known without decoding it again."""
        known = self._known.get(index)
        if known is None or known.sha256 is None:
            tile = self._pixels(index)
            known = self._known[index]
            known.sha256 = known.sha256 or hashlib.sha256(tile.tobytes()).digest()
        return known.sha256

    def _pixels(self, index: int) -> np.ndarray:
        known = self._known.setdefault(index, _Known())
        if known.pixels is not None:
            return known.pixels
        try:
            tile = self._decode(index)
        except BaseException:
            if known == _Known():
                del self._known[index]
            raise
        known.shape = tile.shape[:2]
        if self._pixel_bytes + tile.nbytes > CACHE_BYTES:
            # What a trainer asks of every tile before it starts.
            known.sha256 = known.sha256 or hashlib.sha256(tile.tobytes()).digest()
            return tile
        tile.setflags(write=False)
        known.pixels = tile
        self._pixel_bytes += tile.nbytes
        return tile

    def _decode(self, index: int) -> np.ndarray:
        return pixels_of(self._items[index], index, self._image_key, self._value_range)


class _Picked(Sequence[Any]):
    """Some items of a Dataset, by index: the items are fetched when asked for."""

    def __init__(self, items: Any, indices: Sequence[int]):
        self._items, self._indices = items, indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: Any) -> Any:
        return self._items[self._indices[index]]
