"""A slide as its map makes it look: regions of level 0, mapped as if the whole slide were."""

from __future__ import annotations

from typing import Any

import numpy as np

from stainxform.errors import ParameterError
from stainxform.image.tissue import MIN_TISSUE
from stainxform.maps import ImageMap
from stainxform.maps.tiling import Box, surroundings
from stainxform.slides.base import Slide
from stainxform.slides.grid import TileGrid
from stainxform.slides.tissue import tissue_of

__all__ = ["BACKGROUNDS", "MappedSlide", "keeps_glass", "read_mapped"]

BACKGROUNDS = ("normalize", "keep")
"""What becomes of tiles without tissue."""


def keeps_glass(background: str) -> bool:
    """Whether tiles without tissue keep their pixels; ParameterError for what is none of BACKGROUNDS."""
    if background not in BACKGROUNDS:
        raise ParameterError(f"background must be one of: {', '.join(BACKGROUNDS)}; got {background!r}")
    return background == "keep"


class MappedSlide:
    """Level 0 of a slide, mapped. Any thread may read.

    Parameters
    ----------
    slide : Slide
        The source.
    image_map : ImageMap or None
        The map of the whole slide, or None.
    keep_glass : bool
        Tiles with less than a hundredth of tissue keep their pixels.
    tile : int
        Side of those tiles.
    device : str or torch.device, optional
        A torch device, to have pixels mapped there, as tensors; None: as numpy arrays.

    Raises
    ------
    ParameterError
        A map that needs the whole image at once.
    """

    def __init__(self, slide: Slide, image_map: ImageMap | None, keep_glass: bool, tile: int, device: Any = None):
        self._slide, self._map, self._device = slide, image_map, device
        self._grid = slide.grid(0, tile)
        self._shape = slide.levels[0].shape
        self._is_glass: np.ndarray | None = None
        if image_map is not None:
            surroundings(image_map, self._grid.box(0, 0), self._shape)
            if keep_glass:
                self._is_glass = tissue_of(slide).on(self._grid).fraction < MIN_TISSUE

    def read(self, box: Box) -> np.ndarray:
        """Mapped pixels of a region, uint8 ``(height, width, 3)``.

        Raises
        ------
        SlideError
            A tile that cannot be read.
        """
        if self._map is None:
            return self._slide.read(0, *box)
        if self._is_glass is None:
            return self._mapped(self._map, box)
        kept = [index for index in _overlapping(self._grid, box) if self._is_glass[index]]
        if len(kept) == len(_overlapping(self._grid, box)):
            return self._slide.read(0, *box)
        pixels = self._mapped(self._map, box)
        for index in kept:
            part = _common(self._grid.box(*index), box)
            _window(pixels, part, box)[:] = self._slide.read(0, *part)
        return pixels

    def _mapped(self, image_map: ImageMap, box: Box) -> np.ndarray:
        if image_map.tile is None:
            return self._part(image_map, box, box)
        squares = TileGrid(0, self._shape, (image_map.tile, image_map.tile))
        pixels = np.empty((box[3], box[2], 3), np.uint8)
        for index in _overlapping(squares, box):
            square = squares.box(*index)
            part = _common(square, box)
            _window(pixels, part, box)[:] = self._part(image_map, square, part)
        return pixels

    def _part(self, image_map: ImageMap, mapped: Box, wanted: Box) -> np.ndarray:
        """Map a region at once; of the result, a part."""
        return _window(read_mapped(self._slide, 0, image_map, mapped, self._device), wanted, mapped)


def read_mapped(slide: Slide, level: int, image_map: ImageMap, box: Box, device: Any = None) -> np.ndarray:
    """A region, uint8 ``(height, width, 3)``, as the map of the whole level makes it; what it depends on is read, too."""
    region = surroundings(image_map, box, slide.levels[level].shape)
    if device is None:
        return _window(np.asarray(image_map(slide.read(level, *region), channel_axis=-1)), box, region)
    mapped = image_map(slide.read_tensor(level, *region, device=device), channel_axis=-1)
    found: np.ndarray = _window(mapped, box, region).cpu().numpy()
    return found


def _overlapping(grid: TileGrid, box: Box) -> list[tuple[int, int]]:
    """(row, column) of the tiles that share pixels with a box."""
    x, y, width, height = box
    across, down = grid.size
    return [
        (row, column)
        for row in range(y // down, (y + height - 1) // down + 1)
        for column in range(x // across, (x + width - 1) // across + 1)
    ]


def _common(one: Box, other: Box) -> Box:
    left, top = max(one[0], other[0]), max(one[1], other[1])
    right, bottom = (min(one[axis] + one[axis + 2], other[axis] + other[axis + 2]) for axis in (0, 1))
    return left, top, right - left, bottom - top


def _window(pixels: Any, part: Box, of: Box) -> Any:
    """The view of a part in the pixels of a larger box."""
    x, y = part[0] - of[0], part[1] - of[1]
    return pixels[y : y + part[3], x : x + part[2]]
