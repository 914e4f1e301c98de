"""Where the tiles of a center come from: a folder, a glob, files, arrays, or a Dataset."""

from __future__ import annotations

import copy
import glob
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stainxform._optional import is_tensor
from stainxform.errors import InvalidImageError, ParameterError
from stainxform.image.histogram import ColorHistogram
from stainxform.image.layout import Image, ValueRange, as_numpy, check_image
from stainxform.io.images import SUFFIXES, image_files, read_image

__all__ = ["CACHE_BYTES", "Tiles", "as_tiles", "files_of", "histograms_of", "iterate", "to_uint8"]

CACHE_BYTES = 1 << 30
"""Decoded tiles kept in memory, and as much again of counted colors; what lies beyond is made again when asked for."""


def iterate(images: Any) -> Iterator[Image]:
    """Images of a fit: one image, a batch, a folder, glob pattern or file, or any iterable of these."""
    if isinstance(images, np.ndarray) or is_tensor(images):
        yield from [images] if images.ndim <= 3 else images
    elif isinstance(images, str | Path):
        yield from Tiles(images)
    elif isinstance(images, Tiles):
        yield from images
    else:
        for image in images:
            yield from iterate(image)


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
        A folder (searched recursively), a glob pattern, one file, one array (a tile or a batch), a list of any of files
        and arrays, or a Dataset (``len`` and ``[i]``) whose items are arrays, tensors, tuples starting with one, or
        dictionaries.
    image_key : str, optional
        Where the image is in dictionary items.
    value_range : (float, float), optional
        Range of float tiles, default (0, 1); they are rounded to 8 bits.

    Raises
    ------
    InvalidImageError
        Nothing found, or a file is missing.
    """

    def __init__(self, images: Any, *, image_key: str = "image", value_range: ValueRange | None = None):
        self._items = _resolve(images)
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
    def sources(self) -> list[Any]:
        """Where each tile is from: its path, the path of its slide, or, of a Dataset, the item."""
        paths = getattr(self._items, "paths", None)
        return list(self._items) if paths is None else list(paths)

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
        item = self._items[index]
        if isinstance(item, str | Path):
            return np.array(read_image(item))
        if isinstance(item, dict):
            if self._image_key not in item:
                raise InvalidImageError(f"item {index} has no key {self._image_key!r}; pass image_key=")
            item = item[self._image_key]
        elif isinstance(item, tuple | list) and item:
            item = item[0]
        if isinstance(item, str | Path):
            return np.array(read_image(item))
        try:
            return to_uint8(item, self._value_range)
        except InvalidImageError as error:
            raise InvalidImageError(f"item {index}: {error}") from error


class _Picked(Sequence[Any]):
    """Some items of a Dataset, by index: the items are fetched when asked for."""

    def __init__(self, items: Any, indices: Sequence[int]):
        self._items, self._indices = items, indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: Any) -> Any:
        return self._items[self._indices[index]]


def to_uint8(image: Image, value_range: ValueRange | None = None) -> np.ndarray:
    """A tile as a new uint8 array ``(H, W, 3)``; arrays may have the channels first or last."""
    axis = None if is_tensor(image) else _numpy_channel_axis(np.shape(image))
    spec = check_image(image, value_range, axis)
    if len(image.shape) != 3:
        raise InvalidImageError(f"expected one tile, got a batch of shape {tuple(image.shape)}")
    pixels = np.moveaxis(as_numpy(image), spec.channel_axis, -1)
    if spec.integer:
        return np.array(pixels, order="C")
    unit = np.clip((pixels.astype(np.float64) - spec.low) / spec.scale, 0, 1)
    return np.ascontiguousarray(np.rint(unit * 255).astype(np.uint8))


def _numpy_channel_axis(shape: tuple[int, ...]) -> int | None:
    """MONAI datasets give channel-first numpy: accept it where it cannot be mistaken."""
    return -3 if len(shape) == 3 and shape[0] == 3 and shape[-1] != 3 else None


def _resolve(images: Any) -> Sequence[Any]:
    if isinstance(images, str | Path):
        return files_of(images)
    if isinstance(images, Tiles):
        return images
    if isinstance(images, np.ndarray) or is_tensor(images):
        found = [images] if images.ndim <= 3 else list(images)
    elif isinstance(images, list | tuple):
        found = [item for entry in images for item in (files_of(entry) if isinstance(entry, str | Path) else [entry])]
    elif hasattr(images, "__len__") and hasattr(images, "__getitem__"):
        found = images
    elif isinstance(images, Iterable):
        found = list(images)
    else:
        raise ParameterError(f"expected a folder, a glob, files, arrays or a Dataset, got {type(images).__name__}")
    if not len(found):
        raise InvalidImageError("no images were given; pass a folder, a glob, files, arrays or a Dataset")
    return found


def files_of(where: str | Path, suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    """Files of a folder (those of these types, all below it), a file, or a glob pattern, sorted.

    Raises
    ------
    InvalidImageError
        There are none.
    """
    path = Path(where)
    if path.is_dir():
        files = image_files(path, suffixes)
        if not files:
            wanted = "png, jpg, tif or bmp images" if suffixes is SUFFIXES else f"files of type {', '.join(suffixes)}"
            raise InvalidImageError(f"the folder {path} holds no {wanted}")
        return files
    if path.exists():
        return [path]
    files = sorted(Path(name) for name in glob.glob(str(where), recursive=True) if Path(name).is_file())
    if not files:
        raise InvalidImageError(f"no file, folder or glob pattern matches {str(where)!r}")
    return files
