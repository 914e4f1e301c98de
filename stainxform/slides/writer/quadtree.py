"""The order in which a pyramid is made: block by block along a Z, so that little of it waits for its neighbors."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stainxform._native.kernels import halve

__all__ = ["PendingLevels", "level_shapes", "z_order"]


def level_shapes(shape: tuple[int, int], tile: int) -> list[tuple[int, int]]:
    """(height, width) of each level, the last of which fits one tile; sides are halved and rounded up."""
    shapes = [shape]
    while max(shapes[-1]) > tile:
        shapes.append((-(-shapes[-1][0] // 2), -(-shapes[-1][1] // 2)))
    return shapes


def z_order(rows: int, columns: int) -> Iterator[tuple[int, int]]:
    """(row, column) of a grid along a Z-order curve: the four children of a node follow one another."""
    side = 1
    while side < max(rows, columns):
        side *= 2

    def visit(row: int, column: int, side: int) -> Iterator[tuple[int, int]]:
        if row >= rows or column >= columns:
            return
        if side == 1:
            yield row, column
            return
        half = side // 2
        for down in (0, half):
            for across in (0, half):
                yield from visit(row + down, column + across, half)

    yield from visit(0, 0, side)


class PendingLevels:
    """Levels of a pyramid above one whose tiles come in Z order; one tile of each is unfinished at a time.

    Parameters
    ----------
    shapes : list of (int, int)
        (height, width) of all levels.
    tile : int
        Side of the tiles.
    first : int
        The level whose tiles are added.
    """

    def __init__(self, shapes: list[tuple[int, int]], tile: int, first: int):
        self.shapes, self.tile, self.first = shapes, tile, first
        self.unfinished: dict[int, np.ndarray] = {}
        """By level: uint8 ``(height, width, 3)``, the pixels of the tile that waits for others."""

    def add(self, row: int, column: int, pixels: np.ndarray) -> Iterator[tuple[int, int, int, np.ndarray]]:
        """Add a tile; yields (level, row, column, pixels) of each tile that it completes, from fine to coarse."""
        for level in range(self.first, len(self.shapes) - 1):
            rows, columns = (-(-side // self.tile) for side in self.shapes[level])
            last = row == min(row | 1, rows - 1) and column == min(column | 1, columns - 1)
            half = halve(pixels)
            parent = self.unfinished.get(level + 1)
            if parent is None:
                parent = self.unfinished[level + 1] = self._empty(level + 1, row // 2, column // 2)
            top, left = row % 2 * (self.tile // 2), column % 2 * (self.tile // 2)
            parent[top : top + half.shape[0], left : left + half.shape[1]] = half
            if not last:
                return
            row, column, pixels = row // 2, column // 2, self.unfinished.pop(level + 1)
            yield level + 1, row, column, pixels

    def _empty(self, level: int, row: int, column: int) -> np.ndarray:
        height, width = self.shapes[level]
        return np.zeros(
            (min(self.tile, height - row * self.tile), min(self.tile, width - column * self.tile), 3), np.uint8
        )
