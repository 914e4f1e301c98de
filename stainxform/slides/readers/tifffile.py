"""Slides through tifffile's index and imagecodecs' decoders, without a lock around either."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from stainxform.errors import SlideError
from stainxform.maps.tiling import Box
from stainxform.slides.base import Slide
from stainxform.slides.readers.jpeg import jpeg_fault
from stainxform.slides.readers.planes import Alpha, over_white
from stainxform.slides.readers.tiff_index import JPEG, SOFTWARE_JPEG_TABLES, TiffIndex

__all__ = ["CACHE_BYTES", "TifffileSlide"]

CACHE_BYTES = 32 << 20
"""Decoded tiles that a slide keeps, for regions that share them."""


class TifffileSlide(Slide):
    """Tiled TIFF files: Aperio SVS, OME-TIFF, generic pyramids; a file of strips has one level."""

    reader = "tifffile"

    def __init__(self, path: Path):
        self._index = TiffIndex(path)
        super().__init__(
            path,
            self._index.levels(),
            mpp=self._index.mpp,
            magnification=self._index.magnification,
            icc=self._index.icc,
        )
        self._pyramid = self._index.pyramid
        self._decoders = [[_decoder(page) for page, _ in level.picture.planes] for level in self._pyramid]
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._cache = _TileCache(CACHE_BYTES)

    def encoded_bytes(self, level: int = 0) -> np.ndarray:
        """Bytes that each stored tile of a level takes, int64 ``(rows, columns)``."""
        self.check_level(level)
        found = self._pyramid[level]
        return found.counts.sum(0).reshape(found.rows, found.columns)

    def missing_tiles(self, level: int = 0) -> np.ndarray:
        """Stored tiles that the file does not hold, by their offset and count, bool ``(rows, columns)``."""
        self.check_level(level)
        found = self._pyramid[level]
        return ((found.counts == 0) | (found.offsets == 0)).any(0).reshape(found.rows, found.columns)

    @property
    def compressions(self) -> set[int]:
        """TIFF's numbers of how the levels are compressed."""
        return {int(page.compression) for level in self._pyramid for page in level.picture.pages}

    @property
    def plain(self) -> bool:
        """Whether the slide begins the file and each of its levels is RGB pixel by pixel, without alpha."""
        return self._index.plain

    def plainly_tiled(self) -> bool:
        """Whether every level is stored in tiles and none with a predictor."""
        pages = [page for level in self._pyramid for page in level.picture.pages]
        return all(page.is_tiled and page.predictor == 1 for page in pages)

    def read_pixels(self, level: int, box: Box) -> np.ndarray:
        """Pixels of a region."""
        x, y, width, height = box
        across, down = self._pyramid[level].tile
        pixels = np.empty((height, width, 3), np.uint8)
        for row in range(y // down, (y + height - 1) // down + 1):
            for column in range(x // across, (x + width - 1) // across + 1):
                tile = self._tile(level, row, column)
                left, top = column * across - x, row * down - y
                inside = tile[max(0, -top) : height - top, max(0, -left) : width - left]
                top, left = max(0, top), max(0, left)
                pixels[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
        return pixels

    def _tile(self, level: int, row: int, column: int) -> np.ndarray:
        """A stored tile without what lies beyond the edge of the level, uint8 ``(height, width, 3)``."""
        key = level, row, column
        tile = self._cache.get(key)
        if tile is None:
            tile = self._decode(level, row, column)
            self._cache.put(key, tile)
        return tile

    def stored(self, level: int, row: int, column: int, plane: int = 0) -> bytes:
        """The bytes of a stored tile; SlideError where they cannot be read, or its JPEG markers are broken."""
        found = self._pyramid[level]
        index = row * found.columns + column
        name = self._name(level, row, column)
        count = int(found.counts[plane, index])
        data = _bytes_at(self._descriptor, count, int(found.offsets[plane, index]))
        if len(data) != count:
            raise SlideError(f"{name} lies beyond the end of the file, which has changed since it was opened")
        page, _ = found.picture.planes[plane]
        if int(page.compression) == JPEG and (fault := jpeg_fault(data)):
            raise SlideError(f"{name} is damaged ({fault})")
        return data

    def _name(self, level: int, row: int, column: int) -> str:
        across, down = self._pyramid[level].tile
        return f"{self.path}: level {level}, the tile at x={column * across}, y={row * down}"

    def _decode(self, level: int, row: int, column: int) -> np.ndarray:
        found, index = self._pyramid[level], row * self._pyramid[level].columns + column
        x, y = column * found.tile[0], row * found.tile[1]
        height, width = min(found.tile[1], found.shape[0] - y), min(found.tile[0], found.shape[1] - x)
        if not (found.counts[:, index].all() and found.offsets[:, index].all()):
            return self.missing_pixels(level, (x, y, width, height))
        alpha, name = found.picture.alpha, self._name(level, row, column)
        channels = (3 if alpha is None else 4) // len(self._decoders[level])
        tiles = []
        for plane, decode in enumerate(self._decoders[level]):
            data = self.stored(level, row, column, plane)
            try:
                decoded = decode(data, index)
            except Exception as error:  # every codec has errors of its own
                raise SlideError(f"{name} is damaged ({error or type(error).__name__})") from error
            part = None if decoded is None else decoded[0, :height, :width]
            if part is None or part.shape != (height, width, channels) or part.dtype != np.uint8:
                raise SlideError(f"{name} is damaged (it does not hold {width} x {height} RGB pixels)")
            tiles.append(part)
        tile = tiles[0] if len(tiles) == 1 else np.concatenate(tiles, axis=2)
        if alpha is Alpha.UNSPECIFIED and (tile[..., 3] != 255).any():
            raise SlideError(
                f"{name} has a fourth channel that the file does not call alpha; save it with an alpha channel, or without"
            )
        return over_white(tile, alpha) if alpha else tile

    def close_file(self) -> None:
        """Close the file, which is open twice: for its index, and for reading from several threads."""
        os.close(self._descriptor)
        self._index.close()


if hasattr(os, "pread"):
    _bytes_at = os.pread
else:
    _position = threading.Lock()

    def _bytes_at(descriptor: int, count: int, offset: int, /) -> bytes:
        with _position:
            os.lseek(descriptor, offset, os.SEEK_SET)
            return os.read(descriptor, count)


def _decoder(page: Any) -> Callable[[bytes, int], Any]:
    """What decodes the bytes of a page's tiles, given their number."""
    tables = page.tags.get(SOFTWARE_JPEG_TABLES)
    decode, options = page.decode, {} if tables is None else {"jpegtables": bytes(tables.value)}
    return lambda data, index: decode(data, index, **options)[0]


class _TileCache:
    """The decoded tiles used last, up to a number of bytes."""

    def __init__(self, limit: int):
        self._limit, self._held = limit, 0
        self._tiles: OrderedDict[tuple[int, int, int], np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[int, int, int]) -> np.ndarray | None:
        with self._lock:
            if key in self._tiles:
                self._tiles.move_to_end(key)
            return self._tiles.get(key)

    def put(self, key: tuple[int, int, int], tile: np.ndarray) -> None:
        with self._lock:
            if key in self._tiles or tile.nbytes > self._limit:
                return
            self._tiles[key] = tile
            self._held += tile.nbytes
            while self._held > self._limit:
                self._held -= self._tiles.popitem(last=False)[1].nbytes
