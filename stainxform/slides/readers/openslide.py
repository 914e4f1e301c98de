"""Slides through OpenSlide: the vendors' formats that are no plain tiled TIFF (NDPI, MRXS, DICOM, ...)."""

from __future__ import annotations

import logging
import threading
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from stainxform._optional import require
from stainxform.errors import SlideError, UnsupportedSlideError
from stainxform.maps.tiling import Box
from stainxform.slides.base import Level, Slide
from stainxform.slides.readers.planes import UnfitSlideError
from stainxform.slides.readers.resolution import believed
from stainxform.slides.readers.series import MAX_PAGES
from stainxform.slides.readers.tiff_index import MAX_TILE, TiffIndex, is_tiff

__all__ = ["DEFAULT_TILE", "EXACT", "MISSING", "NO_GAPS", "SEARCH", "OpenslideSlide"]

EXACT = 1 / 2048
"""OpenSlide takes positions in pixels of level 0 and interpolates where they fall between the pixels of a level; below
this fraction of a pixel it does not."""

SEARCH = 2048
"""How far to the left of and above a region a position without interpolation is looked for."""

DEFAULT_TILE = 256
MISSING = 64
"""Less alpha than this is no interpolated edge."""

NO_GAPS = ("generic-tiff", "aperio")
"""Vendors whose slides are scanned without gaps: a transparent pixel there is a missing tile."""


_log = logging.getLogger("stainxform.slides")


class OpenslideSlide(Slide):
    """Whatever OpenSlide opens. What the scanner left out is filled with the slide's background color, or white.

    Where a level's downsample is no integer, a region is read from the nearest position to its left and above that is exact.
    Without one within 2048 pixels, the region is up to half a pixel of level 0 off.
    """

    reader = "openslide"

    def __init__(self, path: Path):
        self._openslide = require("openslide", "slides")
        index = _index_of(path)
        self._lock = threading.Lock()
        self._slide = self._open(path)
        properties = self._slide.properties
        self._gaps = properties.get("openslide.vendor") not in NO_GAPS
        self._gap_color = _color(properties.get("openslide.background-color", "FFFFFF"))
        self._downsamples = tuple(self._slide.level_downsamples)
        levels = [_level(properties, rank, self._slide) for rank in range(self._slide.level_count)]
        for rank, level in enumerate(levels):
            if level.tile[0] * level.tile[1] > MAX_TILE:  # OpenSlide ends the process where memory runs out
                self._slide.close()
                raise UnsupportedSlideError(
                    f"{path}: level {rank} is stored in tiles of {level.tile[0]} x {level.tile[1]}: too large"
                )
        if index and not {level.shape for level in levels} <= {level.shape for level in index.pyramid}:
            self._slide.close()
            raise UnsupportedSlideError(
                f"{path} holds images that OpenSlide takes for levels of the slide, and are none"
            )
        mpp, magnification = (index.mpp, index.magnification) if index else _said(path, properties)
        super().__init__(path, levels, mpp=mpp, magnification=magnification, icc=self._profile())

    def _open(self, path: Path) -> Any:
        try:
            return self._openslide.OpenSlide(path)
        except self._openslide.OpenSlideUnsupportedFormatError as error:
            raise UnsupportedSlideError(f"{path} is no slide that OpenSlide knows") from error
        except self._openslide.OpenSlideError as error:
            kind = UnsupportedSlideError if "Unsupported" in str(error) else SlideError
            raise kind(f"{path} cannot be opened by OpenSlide ({error})") from error

    def _profile(self) -> bytes | None:
        """The bytes of the file: ``color_profile`` would parse and write them anew."""
        if not int(self._slide.properties.get("openslide.icc-size", 0)):
            return None
        return bytes(self._openslide.lowlevel.read_icc_profile(self._slide._osr))

    def read_pixels(self, level: int, box: Box) -> np.ndarray:
        """Pixels of a region."""
        x, y, width, height = box
        downsample = self._downsamples[level]
        left, top = (_exact_position(position, downsample) for position in (x, y))
        corner = round(left * downsample), round(top * downsample)
        slide = self._slide
        try:
            region = slide.read_region(corner, level, (x - left + width, y - top + height))
        except self._openslide.OpenSlideError as error:
            self._replace(slide)
            raise SlideError(
                f"{self.path}: level {level}, the region at x={x}, y={y} ({width} x {height}) is damaged ({error})"
            ) from error
        rgba = np.asarray(region)[y - top :, x - left :]
        alpha = rgba[..., 3:]
        if not self._gaps and (absent := alpha[..., 0] < MISSING).any():
            return self._filled(np.array(rgba[..., :3]), absent, level, (x, y))
        if not self._gaps or (alpha == 255).all():
            return np.ascontiguousarray(rgba[..., :3])
        mixed = rgba[..., :3] * (alpha / 255) + self._gap_color * (1 - alpha / 255)
        return np.rint(mixed).astype(np.uint8)

    def _filled(self, pixels: np.ndarray, absent: np.ndarray, level: int, corner: tuple[int, int]) -> np.ndarray:
        """The pixels with those that are absent, bool ``(height, width)``, made up for."""
        rows, columns = np.flatnonzero(absent.any(1)), np.flatnonzero(absent.any(0))
        part = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
        height, width = absent[part].shape
        box = corner[0] + part[1].start, corner[1] + part[0].start, width, height
        pixels[part] = np.where(absent[part][..., None], self.missing_pixels(level, box), pixels[part])
        return pixels

    def _replace(self, failed: Any) -> None:
        """OpenSlide refuses everything after one error: the next read has a new handle."""
        with self._lock:
            if self._slide is failed:
                self._slide = self._open(self.path)

    def missing_tiles(self, level: int = 0) -> np.ndarray | None:
        """Of a TIFF file without gaps: stored tiles that it does not hold, bool ``(rows, columns)``; else None."""
        return None if self._gaps else _missing_tiles(self.path, self.check_level(level).shape)

    def close_file(self) -> None:
        """Close the file."""
        self._slide.close()


def _index_of(path: Path) -> TiffIndex | None:
    """The index of a TIFF file, closed; None for the formats of vendors.

    OpenSlide takes the first image of any TIFF file for the slide, gray ones and label images, too; and it ends the
    process where a file claims tiles, or tags, of more bytes than there is memory. So the index judges first.
    """
    if not is_tiff(path):
        return None
    try:
        with closing(TiffIndex(path)) as index:
            if not index.plain:
                raise UnfitSlideError(
                    f"{path} does not begin with the slide, or keeps its colors in planes or with alpha, which is not read "
                    "by OpenSlide"
                )
            return index
    except UnfitSlideError:
        raise
    except UnsupportedSlideError:
        return None


def _said(path: Path, properties: Any) -> tuple[tuple[float, float] | None, float | None]:
    """Resolution and magnification as OpenSlide understands them."""
    x, y = (_number(properties.get(f"openslide.mpp-{axis}")) for axis in "xy")
    mpp = None if x is None or y is None else believed(path, x, y, "what OpenSlide says")
    return mpp, _number(properties.get("openslide.objective-power"))


def _missing_tiles(path: Path, shape: tuple[int, int]) -> np.ndarray | None:
    """By the offsets and counts of the first tiled image of this shape; None where there is none."""
    try:
        with require("tifffile", "slides").TiffFile(path) as file:
            for page in islice(file.pages, MAX_PAGES):
                if page.is_tiled and (page.imagelength, page.imagewidth) == shape:
                    absent = [not (offset and count) for offset, count in zip(page.dataoffsets, page.databytecounts)]
                    rows, columns = -(-shape[0] // page.tilelength), -(-shape[1] // page.tilewidth)
                    return np.array(absent, bool).reshape(rows, columns)
    except Exception as error:  # a parser of hostile files may raise anything
        _log.debug("the tiles that %s lacks are not known: %s", path, error)
    return None


def _exact_position(position: int, downsample: float) -> int:
    """The nearest pixel of a level, not beyond ``position``, that an integer position on level 0 hits."""
    nearby = np.arange(position, max(-1, position - SEARCH - 1), -1)
    error = np.abs(np.rint(nearby * downsample) / downsample - nearby)
    exact = np.flatnonzero(error < EXACT)
    return int(nearby[exact[0] if len(exact) else np.argmin(error)])


def _level(properties: Any, rank: int, slide: Any) -> Level:
    width, height = slide.level_dimensions[rank]
    tile = (_number(properties.get(f"openslide.level[{rank}].tile-{side}")) for side in ("width", "height"))
    across, down = (int(side or DEFAULT_TILE) for side in tile)
    return Level((height, width), slide.level_downsamples[rank], (across, down))


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _color(text: str) -> np.ndarray:
    return np.array([int(text[i : i + 2], 16) for i in (0, 2, 4)], np.float64)
