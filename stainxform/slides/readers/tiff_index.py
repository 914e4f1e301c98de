"""What a tiled TIFF says about itself: pyramid, resolution, profile, and where each tile's bytes are (tifffile)."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from stainxform._optional import require
from stainxform.errors import SlideError, UnsupportedSlideError
from stainxform.slides.base import Level

__all__ = ["APERIO_YCBCR_JPEG2000", "JPEG", "MAX_PAGES", "MAX_TILE", "MAX_TILES", "TiffIndex", "TiffLevel"]

MAX_PAGES = 256
"""Images looked at in one file; pyramids have far fewer."""

MAX_TILE = 1 << 25
"""Pixels of one stored tile or strip; decoding it takes three bytes for each."""

MAX_TILES = 1 << 24
"""Tiles of one level."""

JPEG = 7
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
    """One image of the pyramid; ``offsets`` and ``counts`` are int64, one for each stored tile, row by row."""

    page: Any
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
    """The pyramid of a TIFF file, checked: every tile lies inside the file.

    Raises
    ------
    UnsupportedSlideError
        No TIFF or another kind of TIFF than readers of tiles can read.
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
        pages = list(islice(self._file.pages, MAX_PAGES))
        if not pages:
            raise SlideError(f"{self.path} is a damaged TIFF file (it holds no image); copy it anew")
        base = pages[0]
        _check_page(self.path, base)
        size = os.path.getsize(self.path)
        self.pyramid = [_level(self.path, page, rank, size) for rank, page in enumerate(_pyramid(base, pages))]
        self.mpp, self.magnification = _resolution(self._file, base)
        self.icc = bytes(base.tags[ICC].value) if ICC in base.tags else None

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


def _not_a_tiff(path: Path, error: Exception) -> SlideError:
    with path.open("rb") as file:
        magic = file.read(4)
    if magic in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return SlideError(f"{path} is a damaged TIFF file ({error}); copy it anew")
    return UnsupportedSlideError(f"{path} is no TIFF file")


def _check_page(path: Path, page: Any) -> None:
    colors = (page.samplesperpixel, page.bitspersample, page.planarconfig)
    if colors != (3, 8, 1) or int(page.photometric) not in (2, 6) or page.sampleformat != 1:
        raise UnsupportedSlideError(
            f"{path} holds no 8-bit RGB pixels (samples, bits, planes: {colors}, {page.photometric!r})"
        )
    known = require("tifffile", "slides").TIFF.DECOMPRESSORS
    if int(page.compression) != 1 and page.compression not in known:
        raise UnsupportedSlideError(f"{path} is compressed in a way that tifffile does not know ({page.compression})")
    if int(page.compression) == APERIO_YCBCR_JPEG2000:
        raise UnsupportedSlideError(f"{path} is JPEG 2000 in YCbCr, which tifffile does not convert to RGB")


def _pyramid(base: Any, pages: list[Any]) -> Iterator[Any]:
    """The first image, and those among its SubIFDs and the other pages that show the same at a lower resolution."""
    yield base
    others = [*islice(base.pages or (), MAX_PAGES), *pages[1:]]
    narrowest, seen = base.imagewidth, {base.offset}
    for page in sorted(others, key=lambda page: -page.imagewidth):
        if page.offset not in seen and page.imagewidth < narrowest and _same_image(base, page):
            seen.add(page.offset)
            narrowest = page.imagewidth
            yield page


def _same_image(base: Any, page: Any) -> bool:
    alike = ("is_tiled", "samplesperpixel", "bitspersample", "planarconfig", "photometric", "compression")
    if not base.is_tiled or any(getattr(base, name) != getattr(page, name) for name in alike):
        return False
    ratio = base.imagewidth / base.imagelength
    return page.subfiletype in (0, 1) and abs(page.imagewidth - page.imagelength * ratio) <= 1 + ratio


def _level(path: Path, page: Any, rank: int, size: int) -> TiffLevel:
    shape = page.imagelength, page.imagewidth
    tile = (page.tilewidth, page.tilelength) if page.is_tiled else (page.imagewidth, min(page.rowsperstrip, shape[0]))
    if min(*shape, *tile) < 1:
        raise SlideError(f"{path}: level {rank} is damaged (size {shape}, tiles of {tile}); copy the file anew")
    if tile[0] * tile[1] > MAX_TILE:
        raise UnsupportedSlideError(f"{path}: level {rank} is stored in tiles of {tile[0]} x {tile[1]}: too large")
    rows, columns = math.ceil(shape[0] / tile[1]), math.ceil(shape[1] / tile[0])
    offsets, counts = page.dataoffsets, page.databytecounts
    if rows * columns > MAX_TILES or not len(offsets) == len(counts) == rows * columns:
        raise SlideError(
            f"{path}: level {rank} is damaged ({len(offsets)} tiles where {rows * columns} are needed); copy the file anew"
        )
    level = TiffLevel(page, shape, tile, _integers(offsets), _integers(counts))
    outside = (level.offsets < 0) | (level.counts < 0) | (level.offsets > size) | (level.counts > size - level.offsets)
    if outside.any():
        row, column = divmod(int(np.argmax(outside)), columns)
        raise SlideError(
            f"{path} is truncated: level {rank}, the tile at x={column * tile[0]}, y={row * tile[1]} and "
            f"{outside.sum() - 1} others lie beyond its end; copy it anew"
        )
    return level


def _integers(values: Any) -> np.ndarray:
    return np.array([min(int(value), 1 << 62) for value in values], np.int64)


def _resolution(file: Any, base: Any) -> tuple[tuple[float, float] | None, float | None]:
    """Micrometers per pixel and magnification: Aperio's description, OME-XML, or the TIFF tags."""
    text = base.description or ""
    if file.is_svs:
        mpp, magnification = _number(r"\bMPP\s*=\s*([\d.]+)", text), _number(r"\bAppMag\s*=\s*([\d.]+)", text)
        return (None if mpp is None else (mpp, mpp)), magnification
    if file.is_ome:
        magnification = _number(r'NominalMagnification="([\d.]+)"', text)
        if not re.search(r'PhysicalSize[XY]Unit="(?!µm)', text):
            x, y = (_number(rf'PhysicalSize{axis}="([\d.eE+-]+)"', text) for axis in "XY")
            if x and y:
                return (x, y), magnification
        return _from_tags(base), magnification
    return _from_tags(base), None


def _from_tags(base: Any) -> tuple[float, float] | None:
    micrometers = {2: 25400.0, 3: 10000.0}.get(int(base.resolutionunit or 0))
    x, y = base.resolution
    return (micrometers / x, micrometers / y) if micrometers and x > 0 and y > 0 else None


def _number(pattern: str, text: str) -> float | None:
    found = re.search(pattern, text)
    try:
        return float(found[1]) if found else None
    except ValueError:
        return None
