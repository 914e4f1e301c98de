"""What a tiled TIFF says about itself: pyramid, resolution, profile, and where each tile's bytes are (tifffile)."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from stainxform._optional import require
from stainxform.errors import SlideError, UnsupportedSlideError
from stainxform.slides.base import Level
from stainxform.slides.readers.planes import Picture, UnfitSlideError
from stainxform.slides.readers.series import find_slide

__all__ = ["APERIO_YCBCR_JPEG2000", "JPEG", "MAX_TILE", "MAX_TILES", "TiffIndex", "TiffLevel", "is_tiff"]

MAX_TILE = 1 << 25
"""Pixels of one stored tile or strip; decoding it takes three bytes for each."""

MAX_TILES = 1 << 24
"""Tiles of one level."""

YCBCR = 6
JPEG = 7
JPEGS = {6, JPEG, 33007, 34892}
"""Compressions that convert YCbCr to RGB themselves."""

APERIO_YCBCR_JPEG2000 = 33003
ICC, SOFTWARE_JPEG_TABLES = 34675, 347

_OTHER_LAYOUTS = {
    "is_ndpi": "Hamamatsu NDPI",
    "is_bif": "Ventana BIF",
    "is_scn": "Leica SCN",
    "is_philips": "Philips TIFF",
}
"""Vendors' TIFF files whose tiles overlap, are left out or are no tiles: OpenSlide knows them."""


@dataclass(frozen=True)
class TiffLevel:
    """One image of the pyramid.

    ``offsets`` and ``counts`` are int64 ``(planes, tiles)``: one for each stored tile, row by row, of each plane that is
    stored by itself; an interleaved image has one plane.
    """

    picture: Picture
    shape: tuple[int, int]
    tile: tuple[int, int]
    offsets: np.ndarray
    counts: np.ndarray

    @property
    def columns(self) -> int:
        """Stored tiles from left to right."""
        return math.ceil(self.shape[1] / self.tile[0])

    @property
    def rows(self) -> int:
        """Stored tiles from top to bottom."""
        return math.ceil(self.shape[0] / self.tile[1])


class TiffIndex:
    """The pyramid of a TIFF file, checked: its pixels are 8-bit RGB, and every tile lies inside the file.

    Raises
    ------
    UnfitSlideError
        It holds no slide in 8-bit RGB: no other reader may try it.
    UnsupportedSlideError
        No TIFF, or another kind of TIFF than readers of tiles can read: another reader may.
    SlideError
        A damaged one.
    """

    def __init__(self, path: Path):
        tifffile = require("tifffile", "slides")
        require("imagecodecs", "slides")
        self.path = path
        try:
            self._file = tifffile.TiffFile(path)
        except Exception as error:
            raise _not_a_tiff(path, error) from error
        try:
            self._read()
        except SlideError:
            self.close()
            raise
        except Exception as error:  # a parser of hostile files may raise anything
            self.close()
            raise SlideError(
                f"{path} is a damaged TIFF file ({error or type(error).__name__}); copy it anew"
            ) from error

    def _read(self) -> None:
        for flag, vendor in _OTHER_LAYOUTS.items():
            if getattr(self._file, flag):
                raise UnsupportedSlideError(f"{self.path} is a {vendor} file, whose tiles tifffile cannot place")
        if any(page.software.startswith("MedScan") for page in islice(self._file.pages, 1)):
            raise UnsupportedSlideError(f"{self.path} is a Trestle file, whose tiles tifffile cannot place")
        found = find_slide(self.path, self._file)
        self.plain = found.first and all(picture.interleaved for picture in found.pictures)
        """Whether the slide begins the file and each of its levels is RGB pixel by pixel: what every reader reads alike."""
        try:
            for picture in found.pictures:
                for page in picture.pages:
                    _check_compression(self.path, page)
        except UnsupportedSlideError as error:
            if self.plain:
                raise
            raise UnfitSlideError(str(error)) from error
        size = os.path.getsize(self.path)
        self.pyramid = [_level(self.path, picture, rank, size) for rank, picture in enumerate(found.pictures)]
        self.mpp, self.magnification = found.mpp, found.magnification
        tags = found.pictures[0].page.tags
        self.icc = bytes(tags[ICC].value) if ICC in tags else None

    def levels(self) -> list[Level]:
        """The pyramid as the protocol describes it."""
        height, width = self.pyramid[0].shape
        return [
            Level(level.shape, (height / level.shape[0] + width / level.shape[1]) / 2, level.tile)
            for level in self.pyramid
        ]

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def is_tiff(path: Path) -> bool:
    """Whether a file begins as TIFF or BigTIFF files do."""
    with path.open("rb") as file:
        return file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _not_a_tiff(path: Path, error: Exception) -> SlideError:
    if is_tiff(path):
        return SlideError(f"{path} is a damaged TIFF file ({error}); copy it anew")
    return UnsupportedSlideError(f"{path} is no TIFF file")


def _check_compression(path: Path, page: Any) -> None:
    compression = int(page.compression)
    if compression != 1 and compression not in require("tifffile", "slides").TIFF.DECOMPRESSORS:
        raise UnsupportedSlideError(f"{path} is compressed in a way that tifffile does not know ({page.compression})")
    if compression == APERIO_YCBCR_JPEG2000:
        raise UnsupportedSlideError(f"{path} is JPEG 2000 in YCbCr, which tifffile does not convert to RGB")
    if int(page.photometric) == YCBCR and (compression not in JPEGS or page.planarconfig != 1):
        raise UnsupportedSlideError(
            f"{path} is YCbCr without JPEG (compression {page.compression}), which tifffile does not convert to RGB"
        )


def _level(path: Path, picture: Picture, rank: int, size: int) -> TiffLevel:
    page, planes = picture.page, picture.planes
    shape = page.imagelength, page.imagewidth
    tile = (page.tilewidth, page.tilelength) if page.is_tiled else (page.imagewidth, min(page.rowsperstrip, shape[0]))
    if min(*shape, *tile) < 1:
        raise SlideError(f"{path}: level {rank} is damaged (size {shape}, tiles of {tile}); copy the file anew")
    if tile[0] * tile[1] > MAX_TILE:
        raise UnsupportedSlideError(f"{path}: level {rank} is stored in tiles of {tile[0]} x {tile[1]}: too large")
    rows, columns = math.ceil(shape[0] / tile[1]), math.ceil(shape[1] / tile[0])
    needed, tables = rows * columns, {page.offset: (page.dataoffsets, page.databytecounts) for page, _ in planes}
    found = sum(len(offsets) for offsets, _ in tables.values())
    if rows * columns > MAX_TILES or any(
        not len(offsets) == len(counts) == needed * len(planes) // len(tables) for offsets, counts in tables.values()
    ):
        raise SlideError(
            f"{path}: level {rank} is damaged ({found} tiles where {needed * len(planes)} are needed); copy the file anew"
        )
    offsets, counts = (
        np.stack(
            [_integers(tables[page.offset][kind][first * needed : (first + 1) * needed]) for page, first in planes]
        )
        for kind in (0, 1)
    )
    outside = (offsets < 0) | (counts < 0) | (offsets > size) | (counts > size - offsets)
    if outside.any():
        row, column = divmod(int(np.argmax(outside)) % needed, columns)
        raise SlideError(
            f"{path} is truncated: level {rank}, the tile at x={column * tile[0]}, y={row * tile[1]} and "
            f"{outside.sum() - 1} others lie beyond its end; copy it anew"
        )
    return TiffLevel(picture, shape, tile, offsets, counts)


def _integers(values: Any) -> np.ndarray:
    return np.array([min(int(value), 1 << 62) for value in values], np.int64)
