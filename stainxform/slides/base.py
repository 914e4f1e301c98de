"""What every reader of whole slides offers, and what they share: checks, tiles in batches, closing."""

from __future__ import annotations

import math
import operator
import os
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stainxform._native.prefetch import prefetch
from stainxform._optional import pick_device, require
from stainxform.errors import ParameterError, SlideError
from stainxform.maps.tiling import Box
from stainxform.slides.grid import TileGrid

__all__ = [
    "MISSING",
    "THREADS",
    "TILE_THREADS",
    "Level",
    "Slide",
    "TileBatch",
    "batch_of",
    "check_missing",
    "check_mpp",
]

THREADS = 2
"""Threads of one iterator of tiles, unless it is told."""

TILE_THREADS = "stainxform-tiles"
"""How the names of these threads begin."""

MISSING = ("fail", "white")
"""What is done with tiles of level 0 that the file does not hold."""

SMALLEST_MPP, LARGEST_MPP = 0.01, 200.0
"""No microscope's pixels lie outside; a screen's 72 or 96 dots per inch do."""

_AT_A_TIME = 1 << 22
"""So many pixels of a finer level are read at a time to make up for a missing tile."""


@dataclass(frozen=True)
class Level:
    """One resolution of a slide.

    ``shape`` is (height, width); ``downsample`` how many pixels of level 0 one of its pixels spans along a side (mean
    of both sides); ``tile`` the (width, height) of the tiles that the file stores.
    """

    shape: tuple[int, int]
    downsample: float
    tile: tuple[int, int]


@dataclass(frozen=True)
class TileBatch:
    """Tiles of one level.

    ``pixels`` is uint8 ``(N, height, width, 3)``, a numpy array, or a torch tensor where a device was asked for; tiles
    cut off by the slide's edge are padded with white at the right and below. ``boxes`` is int64 ``(N, 4)``: x, y and the
    width and height without padding. ``indices`` is int64 ``(N, 2)``: row and column in the grid.
    """

    level: int
    pixels: Any
    boxes: np.ndarray
    indices: np.ndarray

    def __len__(self) -> int:
        return len(self.boxes)


class Slide(ABC):
    """An open whole slide. Close it, or use it in a ``with`` statement. Any thread may read.

    It can be pickled, and be read in a forked process: the other process opens the file for itself.

    A reader derives from it: ``__init__(path)`` opens the file and passes on what it says about itself, ``read_pixels``
    decodes a region, ``close_file`` closes it. A file of another kind is an UnsupportedSlideError, a damaged one a
    SlideError. :func:`register_reader` makes it known, :class:`stainxform.testing.SlideReaderTests` tests it.

    Attributes
    ----------
    reader : str
        Name of the reader.
    suffixes : tuple of str
        File types, lower case, for which "auto" tries a registered reader before the built-in ones.
    levels : sequence of Level
        The resolutions, the finest first.
    mpp : (float, float) or None
        Micrometers of a pixel of level 0 along (x, y), None if the file does not say, or says what no microscope has
        (below 0.01 or above 200: a screen's 72 or 96 dots per inch).
    mpp_from : str
        Who says so: "file", or "user" where ``open_slide`` was given it.
    missing : str
        What is done with tiles of level 0 that the file does not hold: "fail" or "white".
    magnification : float or None
        Magnification of the objective, None if the file does not say.
    icc : bytes or None
        ICC profile of the pixels, None if the file has none or the reader cannot tell.
    """

    reader: str
    suffixes: tuple[str, ...] = ()

    def __init__(
        self,
        path: Path,
        levels: Sequence[Level],
        *,
        mpp: tuple[float, float] | None = None,
        magnification: float | None = None,
        icc: bytes | None = None,
    ):
        self.path = path
        self._whole_path = Path(os.path.abspath(path))
        self.levels = tuple(levels)
        self.mpp = mpp if mpp and all(SMALLEST_MPP <= side <= LARGEST_MPP for side in mpp) else None
        self.mpp_from = "file"
        self.missing = "fail"
        self.magnification = magnification
        self.icc = icc
        self._closed = False
        self._users = 0
        self._free = threading.Condition()
        self._inherited: Any = None
        _open_slides.add(self)

    def tell(self, mpp: float | tuple[float, float] | None = None, missing: str = "fail") -> None:
        """Say what the file does not, right after it was opened; see :func:`stainxform.open_slide`."""
        check_missing(missing)
        if mpp is not None:
            self.mpp, self.mpp_from = check_mpp(mpp), "user"
        self.missing = missing

    def read(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Pixels of a region, uint8 ``(height, width, 3)``; ``x`` and ``y`` count pixels of that level.

        Raises
        ------
        ParameterError
            A region that does not lie inside the level.
        SlideError
            A tile that is missing or damaged, or a slide that is closed.
        """
        box = self._check_box(level, (x, y, width, height))
        with self.in_use():
            pixels = self.read_pixels(operator.index(level), box)
        if getattr(pixels, "shape", None) != (box[3], box[2], 3) or pixels.dtype != np.uint8:
            got = f"{pixels.dtype} {pixels.shape}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
            raise SlideError(f"the reader {self.reader!r} gave {got} where uint8 ({box[3]}, {box[2]}, 3) was asked for")
        return pixels

    def read_tensor(self, level: int, x: int, y: int, width: int, height: int, *, device: Any = "auto") -> Any:
        """The same as a torch tensor, uint8 ``(height, width, 3)``, on a device; decoded there if the reader can.

        ``device``: a torch device; "auto": CUDA where torch has it, else the CPU.
        """
        box, where = self._check_box(level, (x, y, width, height)), pick_device(device)
        with self.in_use():
            return self.read_pixels_on(operator.index(level), box, where)

    def grid(self, level: int = 0, size: int | tuple[int, int] | None = None, overlap: int = 0) -> TileGrid:
        """Tiles of ``size`` (side, or width and height) of a level; default: the grid that the file is stored in."""
        found = self.check_level(level)
        width, height = found.tile if size is None else size if isinstance(size, tuple | list) else (size, size)
        return TileGrid(level, found.shape, (width, height), overlap)

    def tiles(
        self,
        level: int = 0,
        size: int | tuple[int, int] | None = None,
        overlap: int = 0,
        where: np.ndarray | None = None,
        *,
        batch: int = 16,
        threads: int = THREADS,
        device: Any = None,
    ) -> Generator[TileBatch, None, None]:
        """Tiles of a level in the order of their grid, in batches; the next batches are read meanwhile.

        Raises SlideError, while iterating, that names the level and position of the first tile that cannot be read.

        Parameters
        ----------
        level : int, optional
            Level of the grid.
        size : int or (int, int), optional
            (width, height) of its tiles, or the side of square ones, see ``grid``; tiles that lie on the file's own
            grid are read fastest.
        overlap : int, optional
            Pixels that neighbors share.
        where : ndarray, optional
            Which tiles, bool ``(rows, columns)``; default all.
        batch : int, optional
            Tiles in a batch; the last may have fewer.
        threads : int, optional
            How many read at a time.
        device : str or torch.device, optional
            A torch device, to have the pixels as tensors there; "auto": CUDA where torch has it, else the CPU. Default:
            numpy arrays.
        """
        grid = self.grid(level, size, overlap)
        if batch < 1 or threads < 1:
            raise ParameterError(f"batch and threads must be at least 1, got {batch} and {threads}")
        chosen = grid.chosen(where)
        groups = [chosen[start : start + batch] for start in range(0, len(chosen), batch)]
        return self.read_batches(grid, groups, threads, None if device is None else pick_device(device))

    # ---- what a reader does ----------------------------------------------------------------------------------------

    @abstractmethod
    def read_pixels(self, level: int, box: Box) -> np.ndarray:
        """Pixels of a region, a new array of uint8 ``(height, width, 3)``; called by several threads at a time.

        ``box`` is (x, y, width, height) in pixels of the level and lies inside it: ``read`` has checked it.

        Raises
        ------
        SlideError
            A tile that is missing or damaged; the message names level and position.
        """

    @abstractmethod
    def close_file(self) -> None:
        """Close the file; called once, when no read is under way."""

    def read_pixels_on(self, level: int, box: Box, device: Any) -> Any:
        """The same region as a tensor on a torch device; for readers that decode there."""
        return _tensor(self.read_pixels(level, box), device)

    def read_batches(
        self, grid: TileGrid, groups: Sequence[list[tuple[int, int]]], threads: int, device: Any
    ) -> Generator[TileBatch, None, None]:
        """A batch for each group of (row, column); for readers that decode many tiles at a time, within ``in_use()``."""
        count = 2 * max(map(len, groups), default=1)  # tiles of the next two batches
        boxes = (grid.box(*index) for group in groups for index in group)
        width, height = grid.size
        with closing(prefetch(lambda box: self.read(grid.level, *box), boxes, threads, count, TILE_THREADS)) as tiles:
            for group in groups:
                pixels = np.full((len(group), height, width, 3), 255, np.uint8)
                for padded in pixels:
                    tile = next(tiles)
                    padded[: tile.shape[0], : tile.shape[1]] = tile
                yield batch_of(grid, group, pixels if device is None else _tensor(pixels, device))

    def missing_tiles(self, level: int = 0) -> np.ndarray | None:
        """Stored tiles that the file does not hold, bool ``(rows, columns)``; None if the reader cannot tell."""
        self.check_level(level)
        return None

    def missing_pixels(self, level: int, box: Box) -> np.ndarray:
        """Pixels for a region of tiles that the file does not hold, by one rule for all readers.

        Those of a lower level are means of the next finer one; level 0 is white, if ``missing`` says so.

        Raises
        ------
        SlideError
            Level 0, and ``missing`` is "fail".
        """
        x, y, width, height = box
        if level == 0 and self.missing == "white":
            return np.full((height, width, 3), 255, np.uint8)
        if level == 0:
            raise SlideError(
                f"{self.path}: level 0, the tile at x={x}, y={y} is missing; pass missing='white' to take it as glass"
            )
        finer = self.levels[level - 1].shape
        down, across = (whole / part for whole, part in zip(finer, self.levels[level].shape))
        pixels = np.empty((height, width, 3), np.uint8)
        step = max(1, int(_AT_A_TIME / (width * across * down)))
        for row in range(0, height, step):
            part = pixels[row : row + step]
            edges = x * across, (y + row) * down, (x + width) * across, (y + row + len(part)) * down
            left, top = int(edges[0]), int(edges[1])
            right, bottom = min(finer[1], math.ceil(edges[2])), min(finer[0], math.ceil(edges[3]))
            found = self.read_pixels(level - 1, (left, top, right - left, bottom - top))
            inside = edges[0] - left, edges[1] - top, min(right, edges[2]) - left, min(bottom, edges[3]) - top
            part[:] = _reduced(found, inside, part.shape)
        return pixels

    def encoded_bytes(self, level: int = 0) -> np.ndarray | None:
        """Bytes that each stored tile of a level takes, int64 ``(rows, columns)``; None if the reader cannot tell."""
        self.check_level(level)
        return None

    @classmethod
    def tried_by_auto(cls) -> bool:
        """Whether reader "auto" tries this reader on this machine."""
        return True

    # ---- what all share --------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the file, once reads under way have ended; closing again does nothing."""
        with self._free:
            if self._closed:
                return
            self._closed = True
            self._free.wait_for(lambda: not self._users)
        self.close_file()

    @contextmanager
    def opened(self) -> Iterator[Slide]:
        """The slide itself; it stays open after the block. What can be opened when needed has the same method."""
        yield self

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """A block during which the file is not closed; SlideError if it is closed already."""
        with self._free:
            if self._closed:
                raise SlideError(f"{self.path} was closed; open it again to read from it")
            if self._inherited is self:
                self._open_again()
            self._users += 1
        try:
            yield
        finally:
            with self._free:
                self._users -= 1
                self._free.notify_all()

    def check_level(self, level: int) -> Level:
        """The level of that number; ParameterError if there is none."""
        if not 0 <= _whole(level, "level") < len(self.levels):
            raise ParameterError(f"level must be between 0 and {len(self.levels) - 1}, got {level}")
        return self.levels[level]

    def __reduce__(self) -> tuple[Any, ...]:
        if self._closed:
            raise SlideError(f"{self.path} was closed; open it again before it is sent to another process")
        given = self.mpp if self.mpp_from == "user" else None
        return _opened_again, (type(self), self._whole_path, given, self.missing)

    def _open_again(self) -> None:
        """In a forked child: with a file of its own, since both would move one position in that of the parent."""
        again = _opened_again(*self.__reduce__()[1])
        _open_slides.discard(again)
        inherited = dict(self.__dict__)
        self.__dict__.update({name: value for name, value in again.__dict__.items() if name not in ("path", "_free")})
        self._inherited = inherited  # never closed here: a lock in it may be held by a thread that is not there

    def _forked(self) -> None:
        self._free, self._users, self._inherited = threading.Condition(), 0, self

    def __enter__(self) -> Slide:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        height, width = self.levels[0].shape
        return f"<Slide {width} x {height}, {len(self.levels)} levels, read by {self.reader}>"

    def _check_box(self, level: int, box: Box) -> Box:
        rows, columns = self.check_level(level).shape
        x, y, width, height = (_whole(value, name) for value, name in zip(box, ("x", "y", "width", "height")))
        if width < 1 or height < 1 or x < 0 or y < 0 or x + width > columns or y + height > rows:
            raise ParameterError(
                f"the region x={x}, y={y}, {width} x {height} does not lie inside level {level} ({columns} x {rows})"
            )
        return x, y, width, height


def _whole(value: Any, name: str) -> int:
    try:
        return operator.index(value)
    except TypeError as error:
        raise ParameterError(f"{name} must be a whole number of type int, got {value!r}") from error


def check_missing(missing: str) -> None:
    """Raise ParameterError for what is none of MISSING."""
    if missing not in MISSING:
        raise ParameterError(f"missing must be one of: {', '.join(MISSING)}; got {missing!r}")


def check_mpp(mpp: float | tuple[float, float]) -> tuple[float, float]:
    """Micrometers per pixel as (x, y); ParameterError for what no microscope has."""
    sides = tuple(mpp) if isinstance(mpp, Sequence) else (mpp, mpp)
    try:
        x, y = (float(side) for side in sides if not isinstance(side, str | bytes))
    except (TypeError, ValueError):
        x = y = math.nan
    if not (SMALLEST_MPP <= x <= LARGEST_MPP and SMALLEST_MPP <= y <= LARGEST_MPP):
        raise ParameterError(
            f"the micrometers per pixel of a slide are one number, or x and y, from {SMALLEST_MPP:g} to "
            f"{LARGEST_MPP:g}, got {mpp!r}"
        )
    return x, y


def batch_of(grid: TileGrid, group: list[tuple[int, int]], pixels: Any) -> TileBatch:
    """A batch of the tiles of a grid with these indices."""
    boxes = np.array([grid.box(*index) for index in group], np.int64)
    return TileBatch(grid.level, pixels, boxes, np.array(group, np.int64))


def _reduced(pixels: np.ndarray, box: tuple[float, float, float, float], shape: tuple[int, ...]) -> np.ndarray:
    """Means over areas: what lies within a box of fractional edges as so many rows and columns."""
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).resize((shape[1], shape[0]), Image.Resampling.BOX, box))


def _opened_again(kind: type[Slide], path: Path, mpp: tuple[float, float] | None, missing: str) -> Slide:
    slide = kind(path)  # type: ignore[call-arg]
    slide.tell(mpp, missing)
    return slide


_open_slides: weakref.WeakSet[Slide] = weakref.WeakSet()


def _forked() -> None:
    for slide in list(_open_slides):
        slide._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def _tensor(pixels: np.ndarray, device: Any) -> Any:
    return require("torch", "torch").from_numpy(pixels).to(device)
