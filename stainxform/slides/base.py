"""What every reader of whole slides offers, and what they share: checks, tiles in batches, closing."""

from __future__ import annotations

import operator
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from stainxform._optional import require
from stainxform.errors import ParameterError, SlideError
from stainxform.slides.grid import TileGrid

Box = tuple[int, int, int, int]
"""(x, y, width, height) in pixels of a level."""

THREADS = 2
"""Threads of one iterator of tiles, unless it is told."""


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

    Attributes
    ----------
    reader : name of the package that reads the pixels.
    levels : the resolutions, the finest first.
    mpp : micrometers of a pixel of level 0 along (x, y), None if the file does not say, or says what no microscope
        has (below 0.01 or above 200: a screen's 72 or 96 dots per inch).
    magnification : of the objective, None if the file does not say.
    icc : ICC profile of the pixels, None if the file has none or the reader cannot tell.
    """

    reader: str

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
        self.levels = tuple(levels)
        self.mpp = mpp if mpp and all(0.01 <= side <= 200 for side in mpp) else None
        self.magnification = magnification
        self.icc = icc
        self._closed = False
        self._users = 0
        self._free = threading.Condition()

    def read(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Pixels of a region, uint8 ``(height, width, 3)``; ``x`` and ``y`` count pixels of that level.

        Raises ParameterError for a region that does not lie inside the level, SlideError for a tile that is missing or
        damaged, or a slide that is closed.
        """
        box = self._check_box(level, (x, y, width, height))
        with self._in_use():
            return self._read(operator.index(level), box)

    def read_tensor(self, level: int, x: int, y: int, width: int, height: int, *, device: Any = "auto") -> Any:
        """The same as a torch tensor, uint8 ``(height, width, 3)``, on a device; decoded there if the reader can.

        ``device``: a torch device; "auto": CUDA where torch has it, else the CPU.
        """
        box, where = self._check_box(level, (x, y, width, height)), as_device(device)
        with self._in_use():
            return self._read_tensor(operator.index(level), box, where)

    def grid(self, level: int = 0, size: int | tuple[int, int] | None = None, overlap: int = 0) -> TileGrid:
        """Tiles of ``size`` (side, or width and height) of a level; default: the grid that the file is stored in."""
        found = self._level(level)
        sides = found.tile if size is None else (size, size) if isinstance(size, int) else size
        return TileGrid(level, found.shape, sides, overlap)

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
    ) -> Iterator[TileBatch]:
        """Tiles of a level in the order of their grid, in batches; the next batches are read meanwhile.

        Parameters
        ----------
        level, size, overlap : the grid, see ``grid``. Tiles that lie on the file's own grid are read fastest.
        where : which tiles, bool ``(rows, columns)``; default all.
        batch : tiles in a batch; the last may have fewer.
        threads : how many read at a time.
        device : a torch device, to have the pixels as tensors there; "auto": CUDA where torch has it, else the CPU.
            Default: numpy arrays.

        Raises SlideError, while iterating, that names the level and place of the first tile that cannot be read.
        """
        grid = self.grid(level, size, overlap)
        if batch < 1 or threads < 1:
            raise ParameterError(f"batch and threads must be at least 1, got {batch} and {threads}")
        chosen = grid.chosen(where)
        groups = [chosen[start : start + batch] for start in range(0, len(chosen), batch)]
        return self._batches(grid, groups, threads, as_device(device))

    def _batches(
        self, grid: TileGrid, groups: list[list[tuple[int, int]]], threads: int, device: Any
    ) -> Iterator[TileBatch]:
        def submit(group: list[tuple[int, int]]) -> tuple[list[tuple[int, int]], list[Future[np.ndarray]]]:
            return group, [pool.submit(self.read, grid.level, *grid.box(*index)) for index in group]

        pool = ThreadPoolExecutor(threads, thread_name_prefix="stainxform-tiles")
        try:
            rest = iter(groups)
            ahead = deque(submit(group) for group in islice(rest, 2))
            while ahead:
                group, futures = ahead.popleft()
                width, height = grid.size
                pixels = np.full((len(group), height, width, 3), 255, np.uint8)
                for place, future in zip(pixels, futures):
                    tile = future.result()
                    place[: tile.shape[0], : tile.shape[1]] = tile
                ahead.extend(submit(following) for following in islice(rest, 1))
                yield batch_of(grid, group, pixels if device is None else _tensor(pixels, device))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def encoded_bytes(self, level: int = 0) -> np.ndarray | None:
        """Bytes that each stored tile of a level takes, int64 ``(rows, columns)``; None if the reader cannot tell."""
        self._level(level)
        return None

    def close(self) -> None:
        """Close the file, once reads under way have ended; closing again does nothing."""
        with self._free:
            if self._closed:
                return
            self._closed = True
            self._free.wait_for(lambda: not self._users)
        self._close()

    @contextmanager
    def opened(self) -> Iterator[Slide]:
        """The slide itself; it stays open after the block. What can be opened when needed has the same method."""
        yield self

    def __enter__(self) -> Slide:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        height, width = self.levels[0].shape
        return f"<Slide {width} x {height}, {len(self.levels)} levels, read by {self.reader}>"

    @abstractmethod
    def _read(self, level: int, box: Box) -> np.ndarray:
        """Pixels of a box that lies inside the level; called by several threads."""

    def _read_tensor(self, level: int, box: Box, device: Any) -> Any:
        """The same on a torch device."""
        return _tensor(self._read(level, box), device)

    @abstractmethod
    def _close(self) -> None:
        """Let go of the file; no read is under way."""

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        with self._free:
            if self._closed:
                raise SlideError(f"{self.path} was closed; open it again to read from it")
            self._users += 1
        try:
            yield
        finally:
            with self._free:
                self._users -= 1
                self._free.notify_all()

    def _level(self, level: int) -> Level:
        if not 0 <= operator.index(level) < len(self.levels):
            raise ParameterError(f"level must be between 0 and {len(self.levels) - 1}, got {level}")
        return self.levels[level]

    def _check_box(self, level: int, box: Box) -> Box:
        rows, columns = self._level(level).shape
        x, y, width, height = (operator.index(value) for value in box)
        if width < 1 or height < 1 or x < 0 or y < 0 or x + width > columns or y + height > rows:
            raise ParameterError(
                f"the region x={x}, y={y}, {width} x {height} does not lie inside level {level} ({columns} x {rows})"
            )
        return x, y, width, height


def batch_of(grid: TileGrid, group: list[tuple[int, int]], pixels: Any) -> TileBatch:
    """A batch of the tiles of a grid with these indices."""
    boxes = np.array([grid.box(*index) for index in group], np.int64)
    return TileBatch(grid.level, pixels, boxes, np.array(group, np.int64))


def as_device(device: Any) -> Any:
    """A torch device; "auto": CUDA where torch has it, else the CPU. None stays None."""
    if device is None:
        return None
    torch = require("torch", "torch")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


def _tensor(pixels: np.ndarray, device: Any) -> Any:
    return require("torch", "torch").from_numpy(pixels).to(device)
