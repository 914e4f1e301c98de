"""Where the tiles of a level lie."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

import numpy as np

from stainxform.errors import ParameterError

__all__ = ["TileGrid"]


@dataclass(frozen=True)
class TileGrid:
    """Tiles that cover a level, row by row; those at the right and lower edge are cut off there.

    Parameters
    ----------
    level : int
        Which level of the slide.
    shape : (int, int)
        (height, width) of that level.
    size : (int, int)
        (width, height) of a tile.
    overlap : int, optional
        Pixels that neighbors share, less than either side of a tile.
    """

    level: int
    shape: tuple[int, int]
    size: tuple[int, int]
    overlap: int = 0

    def __post_init__(self) -> None:
        if not all(isinstance(side, Integral) for side in (*self.size, self.overlap)):
            raise ParameterError(
                f"the size of a tile and the overlap are whole numbers, got {self.size} and {self.overlap!r}"
            )
        if min(self.size) < 1:
            raise ParameterError(f"a tile must be at least 1 pixel wide and high, got {self.size}")
        if not 0 <= self.overlap < min(self.size):
            raise ParameterError(
                f"overlap must be between 0 and the tile's side ({min(self.size)}), got {self.overlap}"
            )

    @property
    def rows(self) -> int:
        """Tiles from top to bottom."""
        return _count(self.shape[0], self.size[1], self.overlap)

    @property
    def columns(self) -> int:
        """Tiles from left to right."""
        return _count(self.shape[1], self.size[0], self.overlap)

    def __len__(self) -> int:
        return self.rows * self.columns

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """(x, y, width, height) of a tile in pixels of the level."""
        x, y = column * (self.size[0] - self.overlap), row * (self.size[1] - self.overlap)
        return x, y, min(self.size[0], self.shape[1] - x), min(self.size[1], self.shape[0] - y)

    def chosen(self, where: np.ndarray | None = None) -> list[tuple[int, int]]:
        """(row, column) of all tiles, or of those where the mask, bool ``(rows, columns)``, holds; row by row."""
        if where is None:
            return [(row, column) for row in range(self.rows) for column in range(self.columns)]
        mask = np.asarray(where)
        if mask.shape != (self.rows, self.columns) or mask.dtype != bool:
            raise ParameterError(
                f"where must be a bool mask of shape {(self.rows, self.columns)}, got {mask.dtype} {mask.shape}"
            )
        return [(int(row), int(column)) for row, column in np.argwhere(mask)]


def _count(length: int, side: int, overlap: int) -> int:
    return max(1, -(-(length - overlap) // (side - overlap)))
