"""Tiles with tissue, drawn from slides with a fixed seed: what a center or a slide is fitted on."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from stainxform.errors import NotEnoughTissueError, ParameterError, StainXformWarning
from stainxform.io.search import files_of
from stainxform.slides.base import Slide, check_missing, check_mpp
from stainxform.slides.files import SUFFIXES, first_of_series
from stainxform.slides.mpp import MPP_TOLERANCE, Resolution, resolution_of
from stainxform.slides.pool import WholeSlide
from stainxform.slides.tissue import tissue_of

__all__ = [
    "SlideTiles",
    "TileLocations",
    "check_sampling",
    "find_tissue_tiles",
    "remarks",
    "resized",
    "taken_as_glass",
]

TILES, SIDE = 64, 512
"""Tiles that are drawn from a slide, and their side in pixels, unless told."""


@dataclass(frozen=True)
class TileLocations:
    """Where some tiles of a level are: their ``corners``, int64 ``(N, 2)``, y and x in its pixels.

    ``tissue`` is float64 ``(N,)``, the fraction of each; ``where`` the same tiles as a mask of the level's grid.
    """

    resolution: Resolution
    corners: np.ndarray
    tissue: np.ndarray
    where: np.ndarray

    def __len__(self) -> int:
        return len(self.corners)

    @property
    def level(self) -> int:
        """The level that they are read from."""
        return self.resolution.level

    @property
    def side(self) -> int:
        """Pixels of that level that a tile spans along a side."""
        return self.resolution.side

    def on_level_0(self, slide: Slide) -> np.ndarray:
        """x, y, width, height in pixels of level 0, int64 ``(N, 4)``."""
        whole, part = slide.levels[0].shape, slide.levels[self.level].shape
        scale = np.array([whole[1] / part[1], whole[0] / part[0]])
        start = self.corners[:, ::-1] * scale
        return np.rint(np.hstack([start, np.broadcast_to(self.side * scale, start.shape)])).astype(np.int64)


def check_sampling(
    size: int, limit: int | None, mpp: float | None, level: int | None, min_tissue: float, mpp_tolerance: float
) -> None:
    """Raise ParameterError for values of :func:`find_tissue_tiles` that make no sense on any slide."""
    counts = [size if value is None else value for value in (size, limit, level)]
    if not all(isinstance(value, Integral) for value in counts):
        raise ParameterError(
            f"sizes, numbers of tiles and levels are whole numbers, got {size!r}, {limit!r} and {level!r}"
        )
    fractions = [value for value in (mpp, min_tissue, mpp_tolerance) if value is not None]
    if not all(isinstance(value, Real) for value in fractions):
        raise ParameterError(
            f"mpp, min_tissue and mpp_tolerance are numbers, got {mpp!r}, {min_tissue!r} and {mpp_tolerance!r}"
        )
    if size < 1 or (limit is not None and limit < 1):
        raise ParameterError(f"the size and the number of tiles must be at least 1, got {size} and {limit}")
    if mpp is not None and level is not None:
        raise ParameterError("give mpp or level, not both")
    if mpp is not None and not 0 < mpp < math.inf:
        raise ParameterError(f"mpp must be above 0 and finite, got {mpp}")
    if not 0 <= min_tissue <= 1:
        raise ParameterError(f"min_tissue must be between 0 and 1, got {min_tissue}")
    if not 0 <= mpp_tolerance <= 1:
        raise ParameterError(f"mpp_tolerance is a fraction, 0 to 1, such as {MPP_TOLERANCE:g}; got {mpp_tolerance}")


def find_tissue_tiles(
    slide: Slide,
    size: int,
    *,
    mpp: float | None = None,
    mpp_tolerance: float = MPP_TOLERANCE,
    level: int | None = None,
    min_tissue: float = 0.5,
    limit: int | None = None,
    seed: int = 0,
) -> TileLocations:
    """Where whole tiles with tissue lie, row by row.

    Parameters
    ----------
    slide : Slide
        An open slide.
    size : int
        Side of a tile in pixels.
    mpp : float, optional
        Micrometers per pixel of the tiles; they are read from the next finer level.
    mpp_tolerance : float, optional
        How much coarser than ``mpp`` a slide's finest pixels may be, as a fraction; they are taken as they are then.
    level : int, optional
        Take the pixels of this level instead; default, without ``mpp``: level 0.
    min_tissue : float, optional
        Smallest fraction of tissue, 0..1.
    limit : int, optional
        No more than this, drawn at random.
    seed : int, optional
        Seed of the draw.

    Raises
    ------
    NotEnoughTissueError
        No tile holds enough tissue.
    ParameterError
        The slide has no such level, or does not say its micrometers per pixel.
    """
    found_at = resolution_of(slide, size, mpp, mpp_tolerance, level)
    level, side = found_at.level, found_at.side
    grid = slide.grid(level, side)
    tissue = tissue_of(slide).on(grid)
    where = tissue.where(min_tissue)
    where[grid.shape[0] // side :] = False
    where[:, grid.shape[1] // side :] = False
    found = np.argwhere(where)
    if not len(found):
        raise NotEnoughTissueError(
            f"no tile of {side} pixels of level {level} is at least {min_tissue:.0%} tissue; "
            "take a smaller size or min_tissue"
        )
    if limit is not None and len(found) > limit:
        drawn = np.random.default_rng(seed).choice(len(found), limit, replace=False)
        where[tuple(np.delete(found, drawn, axis=0).T)] = False
        found = np.argwhere(where)
    return TileLocations(found_at, found * side, tissue.fraction[tuple(found.T)], where)


def resized(tile: np.ndarray, size: int) -> np.ndarray:
    """A square tile reduced to ``size`` pixels a side by means over areas."""
    if len(tile) == size:
        return tile
    from PIL import Image

    return np.asarray(Image.fromarray(tile).resize((size, size), Image.Resampling.BOX))


class SlideTiles(Sequence[np.ndarray]):
    """Tissue tiles of slides, as many of each as it has, up to ``per_slide``; read when they are asked for.

    ``fit_center`` and ``fit`` take it like any Dataset. Which tiles are drawn depends on the seed and on each slide alone.
    Only locations are held in memory, and 32 slides open; it can be pickled if the slides were given as files.

    Parameters
    ----------
    slides : str, Path, Slide or iterable of these
        A folder (searched for slides), a glob pattern, a file, an open Slide, or any of these in a list.
    per_slide : int, optional
        No more than this of each slide.
    size : int, optional
        Side of a tile in pixels.
    mpp : float, optional
        Micrometers per pixel of the tiles, read from the next finer level and reduced by means over areas.
    level : int, optional
        Take the pixels of this level instead; default, without ``mpp``: level 0.
    min_tissue : float, optional
        Smallest fraction of tissue of a tile, 0..1. Where no tile of a slide has it, a fifth of it will do.
    seed : int, optional
        Same seed, same tiles.
    reader : str, optional
        As in :func:`stainxform.open_slide`.
    mpp_tolerance : float, optional
        How much coarser than ``mpp`` a slide's finest pixels may be, as a fraction; they are taken as they are then.
    mpp_of_slide : float or (float, float), optional
        Micrometers per pixel of all slides, where the files do not say, or are wrong.
    missing : str, optional
        Tiles that a file does not hold: "fail", or "white": they are glass.

    Raises
    ------
    ParameterError
        A value that makes no sense, or a slide that is too coarse, or without micrometers per pixel, where ``mpp`` is
        asked for.
    InvalidImageError
        No slide was found.
    SlideError
        One cannot be read.
    NotEnoughTissueError
        No slide holds tissue. If only some hold none, a StainXformWarning names them; another one says how many are
        coarser than asked, or lack tiles that are taken as glass.
    """

    def __init__(
        self,
        slides: Any,
        *,
        per_slide: int = TILES,
        size: int = SIDE,
        mpp: float | None = None,
        level: int | None = None,
        min_tissue: float = 0.5,
        seed: int = 0,
        reader: str = "auto",
        mpp_tolerance: float = MPP_TOLERANCE,
        mpp_of_slide: float | tuple[float, float] | None = None,
        missing: str = "fail",
    ):
        check_sampling(size, per_slide, mpp, level, min_tissue, mpp_tolerance)
        check_missing(missing)
        told = None if mpp_of_slide is None else check_mpp(mpp_of_slide)
        self.size = size
        self.slides: list[Slide | WholeSlide] = []
        self._locations: list[tuple[int, int, int, int, int]] = []
        empty: list[NotEnoughTissueError] = []
        coarser: list[float] = []
        lacking: list[int] = []
        options = {"mpp": mpp, "mpp_tolerance": mpp_tolerance, "level": level, "limit": per_slide, "seed": seed}
        for found in _slides_of(slides, reader, told, missing):
            try:
                with found.opened() as slide:
                    tiles = _enough(slide, size, min_tissue, options)
                    lacking.append(taken_as_glass(slide))
                    coarser.append(tiles.resolution.coarser)
            except NotEnoughTissueError as error:
                empty.append(NotEnoughTissueError(f"{found.path}: {error}"))
                continue
            number = len(self.slides)
            self.slides.append(found)
            self._locations += [(number, tiles.level, int(x), int(y), tiles.side) for y, x in tiles.corners]
        if not self.slides:
            raise empty[0]
        for problem in empty:
            warnings.warn(f"not used, {problem}", StainXformWarning, stacklevel=2)
        for remark in remarks(coarser, mpp, lacking):
            warnings.warn(remark, StainXformWarning, stacklevel=2)

    def __len__(self) -> int:
        """Number of tiles."""
        return len(self._locations)

    def __getitem__(self, index: Any) -> Any:
        """A tile as uint8 ``(size, size, 3)``; a slice gives a list."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        number, level, x, y, side = self._locations[index]
        with self.slides[number].opened() as slide:
            return resized(slide.read(level, x, y, side, side), self.size)

    @property
    def paths(self) -> list[Path]:
        """The file of the slide that each tile is from."""
        return [Path(self.slides[number].path) for number in self.slide_of]

    @property
    def slide_of(self) -> list[int]:
        """Number of the slide that each tile is from, counted over those with tissue: groups for an evaluation."""
        return [number for number, *_ in self._locations]


def taken_as_glass(slide: Slide) -> int:
    """How many tiles of level 0 the file does not hold and the user takes as glass; 0 where the reader cannot tell."""
    missing = slide.missing_tiles(0) if slide.missing == "white" else None
    return 0 if missing is None else int(missing.sum())


def remarks(coarser: Sequence[float], mpp: float | None, lacking: Sequence[int]) -> list[str]:
    """What the user should know of slides, one sentence for each: by how much they are coarser, the tiles they lack."""
    said = []
    if any(coarser):
        count = sum(map(bool, coarser))
        said.append(f"{count} of {len(coarser)} slides are up to {max(coarser):.1%} coarser than the {mpp:g} asked for")
    if any(lacking):
        count = sum(map(bool, lacking))
        said.append(f"{sum(lacking)} tiles that {count} of {len(lacking)} slides do not hold are taken as glass")
    return said


def _enough(slide: Slide, size: int, min_tissue: float, options: dict[str, Any]) -> TileLocations:
    try:
        return find_tissue_tiles(slide, size, min_tissue=min_tissue, **options)
    except NotEnoughTissueError:
        return find_tissue_tiles(slide, size, min_tissue=min_tissue / 5, **options)


def _slides_of(slides: Any, reader: str, mpp: tuple[float, float] | None, missing: str) -> Iterable[Slide | WholeSlide]:
    listed = [slides] if isinstance(slides, str | Path | Slide) else list(slides)
    files: list[Path] = []
    for entry in listed:
        if isinstance(entry, Slide):
            if mpp or missing != "fail":
                raise ParameterError(f"{entry.path} is open already: give mpp and missing to open_slide")
            yield entry
        elif isinstance(entry, str | Path):
            files += files_of(entry, SUFFIXES)
        else:
            raise ParameterError(f"expected files, folders or open slides, got {type(entry).__name__}")
    for file in first_of_series(dict.fromkeys(files)):
        yield WholeSlide(os.path.abspath(file), reader, mpp, missing)
    if not listed:
        raise ParameterError("no slides were given; pass a folder, a glob pattern, files or open slides")
