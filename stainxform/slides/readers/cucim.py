"""Slides through cuCIM: whole batches decoded at a time, on a CUDA device where one is asked for."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stainxform._optional import require
from stainxform.errors import MissingDependencyError, SlideError, UnsupportedSlideError
from stainxform.maps.tiling import Box
from stainxform.slides.base import Slide, TileBatch, batch_of
from stainxform.slides.grid import TileGrid
from stainxform.slides.readers.tifffile import TifffileSlide

__all__ = ["COMPRESSIONS", "CucimSlide"]

COMPRESSIONS = {1, 5, 7, 8, 32946, 33003, 33005}
"""None, LZW, JPEG, deflate (two numbers), JPEG 2000 of Aperio (two)."""


class CucimSlide(Slide):
    """Tiled TIFF files whose levels cuCIM sees all. Metadata comes from tifffile's index, as does the second opinion.

    Where a JPEG tile's header is destroyed, cuCIM gives whatever was in memory, or black, without an error. So the markers
    of every stored tile are checked, and one that comes back all zero is decoded again by imagecodecs, which says whether
    it is black or damaged.
    """

    reader = "cucim"

    def __init__(self, path: Path):
        cucim = require("cucim", "cuda")
        self._second = TifffileSlide(path)
        try:
            self._image = _opened(cucim, path, self._second)
        except SlideError:
            self._second.close()
            raise
        second = self._second
        super().__init__(path, second.levels, mpp=second.mpp, magnification=second.magnification, icc=second.icc)
        self._missing = [second.missing_tiles(rank) for rank in range(len(second.levels))]
        self._downsamples = self._image.resolutions["level_downsamples"]

    @classmethod
    def tried_by_auto(cls) -> bool:
        """Where it can decode on a CUDA device; torch is not imported where cuCIM is not installed."""
        try:
            require("cucim", "cuda")
            return bool(require("torch", "torch").cuda.is_available())
        except MissingDependencyError:
            return False

    def tell(self, mpp: float | tuple[float, float] | None = None, missing: str = "fail") -> None:
        """The same to tifffile's reader, which reads what is missing."""
        super().tell(mpp, missing)
        self._second.tell(mpp, missing)

    def missing_tiles(self, level: int = 0) -> np.ndarray:
        """Stored tiles that the file does not hold, bool ``(rows, columns)``."""
        return self._second.missing_tiles(level)

    def encoded_bytes(self, level: int = 0) -> np.ndarray:
        """Bytes that each stored tile of a level takes, int64 ``(rows, columns)``."""
        return self._second.encoded_bytes(level)

    def read_pixels(self, level: int, box: Box) -> np.ndarray:
        """Pixels of a region."""
        if self._lacks(level, [box]):
            return self._second.read(level, *box)
        pixels = np.array(self._decode(level, box, self._corner(level, box)))
        return np.asarray(self._checked(level, [box], pixels[None])[0])

    def read_pixels_on(self, level: int, box: Box, device: Any) -> Any:
        """The same, decoded on the device."""
        if self._lacks(level, [box]):
            return super().read_pixels_on(level, box, device)
        return self._whole(level, [box], 1, device)[0]

    def _lacks(self, level: int, boxes: list[Box]) -> bool:
        """Whether a stored tile of these regions is missing."""
        if not self._missing[level].any():
            return False
        across, down = self.levels[level].tile
        return any(
            self._missing[level][y // down : -(-(y + height) // down), x // across : -(-(x + width) // across)].any()
            for x, y, width, height in boxes
        )

    def _corner(self, level: int, box: Box) -> tuple[int, int]:
        """The region's corner in pixels of level 0; cuCIM divides by the downsample and rounds down."""
        downsample = self._downsamples[level]
        return math.ceil(box[0] * downsample - 1e-6), math.ceil(box[1] * downsample - 1e-6)

    def _decode(self, level: int, box: Box, corners: Any, **options: Any) -> Any:
        try:
            return self._image.read_region(corners, box[2:], level, **options)
        except (RuntimeError, ValueError, MemoryError) as error:
            raise SlideError(
                f"{self.path}: level {level}, the tile at x={box[0]}, y={box[1]} is damaged ({error})"
            ) from error

    def read_batches(
        self, grid: TileGrid, groups: Sequence[list[tuple[int, int]]], threads: int, device: Any
    ) -> Generator[TileBatch, None, None]:
        """Each batch of whole tiles in one call, decoded on the device; batches with cut or missing tiles one by one."""
        for group in groups:
            boxes = [grid.box(*index) for index in group]
            if any(box[2:] != grid.size for box in boxes) or self._lacks(grid.level, boxes):
                yield from super().read_batches(grid, [group], threads, device)
                continue
            with self.in_use():
                found = batch_of(grid, group, self._whole(grid.level, boxes, threads, device))
            yield found

    def _whole(self, level: int, boxes: list[Box], threads: int, device: Any) -> Any:
        corners: Any = [self._corner(level, box) for box in boxes]
        on_cuda = device is not None and device.type == "cuda"
        options: dict[str, Any] = {
            "batch_size": len(boxes),
            "num_workers": threads,
            "device": str(device) if on_cuda else "cpu",
        }
        if len(boxes) == 1:
            corners, options = corners[0], {"device": options["device"]}
        found = self._decode(level, boxes[0], corners, **options)
        decoded = found if len(boxes) == 1 else next(iter(found))
        pixels = _shared(decoded, device).reshape(len(boxes), boxes[0][3], boxes[0][2], 3)
        return self._checked(level, boxes, pixels)

    def _checked(self, level: int, boxes: list[Box], pixels: Any) -> Any:
        """The pixels, of whose all-zero tiles imagecodecs has confirmed that they are black."""
        across, down = self.levels[level].tile
        parts = []
        for number, (x, y, width, height) in enumerate(boxes):
            for row in range(y // down, (y + height - 1) // down + 1):
                for column in range(x // across, (x + width - 1) // across + 1):
                    left, top = max(0, column * across - x), max(0, row * down - y)
                    right, bottom = min(width, (column + 1) * across - x), min(height, (row + 1) * down - y)
                    self._second.stored(level, row, column)
                    parts.append((number, x, y, left, top, right, bottom))
        for number, x, y, left, top, right, bottom in parts:
            if not pixels[number, top:bottom, left:right].any():
                again = self._second.read(level, x + left, y + top, right - left, bottom - top)
                if again.any():
                    raise SlideError(
                        f"{self.path}: level {level}, the tile at x={x + left}, y={y + top} is black to cuCIM and not "
                        "to imagecodecs; open the slide with reader='tifffile'"
                    )
        return pixels

    def close_file(self) -> None:
        """Close the file in cuCIM, and in tifffile."""
        self._image.close()
        self._second.close()


def _opened(cucim: Any, path: Path, index: TifffileSlide) -> Any:
    if not index.plain:
        raise UnsupportedSlideError(
            f"{path} does not begin with the slide, or keeps its colors in planes or with alpha, which is not read by cuCIM"
        )
    if not index.plainly_tiled():  # cuCIM 26.10 ends the process on some of these
        raise UnsupportedSlideError(f"{path} is stored in strips or with a predictor, which is not read by cuCIM")
    if not index.compressions <= COMPRESSIONS:
        raise UnsupportedSlideError(f"{path} is compressed in a way that cuCIM does not read ({index.compressions})")
    try:
        image = cucim.CuImage(str(path))
        sizes = [tuple(size) for size in image.resolutions["level_dimensions"]]
    except (RuntimeError, ValueError) as error:
        raise UnsupportedSlideError(f"{path} cannot be opened by cuCIM ({error})") from error
    if sizes != [level.shape[::-1] for level in index.levels]:
        image.close()
        raise UnsupportedSlideError(f"{path} has levels of {index.levels}, of which cuCIM sees only {sizes}")
    return image


def _shared(decoded: Any, device: Any) -> Any:
    """What cuCIM decoded as an array or, for a device, a tensor; where it was decoded there, nothing is copied."""
    if device is None:
        return np.array(decoded)
    torch = require("torch", "torch")
    if hasattr(decoded, "__dlpack__"):
        return torch.from_dlpack(decoded)
    if hasattr(decoded, "__cuda_array_interface__"):
        return torch.as_tensor(decoded, device=device)
    return torch.from_numpy(np.array(decoded)).to(device)
