"""Where the tissue of a slide lies: a small mask, and how much of it each tile of a grid holds."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stainxform.errors import ParameterError
from stainxform.image.tissue import tissue_mask
from stainxform.io.atomic import atomic_write
from stainxform.slides.base import Slide
from stainxform.slides.grid import TileGrid

__all__ = ["MASK_SIDE", "TISSUE_BYTES", "TissueGrid", "TissueMask", "likely_tissue", "tissue_of"]

MASK_SIDE = 2048
"""A mask has no more pixels than this along a side."""

TISSUE_BYTES = 0.06
"""Bytes per pixel that a JPEG tile with tissue takes or more; 98 % of such tiles of a test slide do (quality 85)."""


@dataclass(frozen=True)
class TissueMask:
    """Tissue of a whole slide.

    ``fraction`` is float32 ``(height, width)``: how much of the pixels that one of the mask's stands for is tissue.
    ``shape`` is (height, width) of level 0, which the mask covers; ``pitch`` how many pixels of level 0 one of the
    mask's spans down and across.
    """

    fraction: np.ndarray
    shape: tuple[int, int]
    pitch: tuple[float, float]

    @property
    def mask(self) -> np.ndarray:
        """Bool ``(height, width)``: at least half is tissue."""
        return self.fraction >= 0.5

    def save(self, path: str | Path) -> None:
        """Write the mask as a PNG file: white tissue on black."""
        from PIL import Image

        buffer = io.BytesIO()
        Image.fromarray(self.mask.astype(np.uint8) * 255).save(buffer, "PNG")
        atomic_write(path, buffer.getvalue())

    def on(self, grid: TileGrid) -> TissueGrid:
        """How much tissue each tile of a grid holds."""
        scale = [whole / part for whole, part in zip(self.shape, grid.shape)]
        total = np.pad(self.fraction.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        boxes = np.array([grid.box(*index) for index in grid.chosen()], np.float64).reshape(-1, 4)
        edges = []
        for axis, start, side in ((0, boxes[:, 1], boxes[:, 3]), (1, boxes[:, 0], boxes[:, 2])):
            factor, count = scale[axis] / self.pitch[axis], self.fraction.shape[axis]
            edges.append([np.clip(edge * factor, 0, count) for edge in (start, start + side)])
        (top, bottom), (left, right) = edges
        area = (bottom - top) * (right - left)
        inside = _at(total, bottom, right) - _at(total, top, right) - _at(total, bottom, left) + _at(total, top, left)
        fraction = np.clip(inside / area, 0, 1).reshape(grid.rows, grid.columns)
        return TissueGrid(grid, fraction, self.shape)


@dataclass(frozen=True)
class TissueGrid:
    """Tiles of a level and how much of each is tissue, float64 ``(rows, columns)``; ``shape`` is that of level 0."""

    grid: TileGrid
    fraction: np.ndarray
    shape: tuple[int, int]

    def where(self, min_tissue: float = 0.5) -> np.ndarray:
        """Tiles with this much tissue or more, bool ``(rows, columns)``: what ``Slide.tiles(where=...)`` takes."""
        if not 0 <= min_tissue <= 1:
            raise ParameterError(f"min_tissue must be between 0 and 1, got {min_tissue}")
        return self.fraction >= min_tissue

    def boxes(self, min_tissue: float = 0.5) -> np.ndarray:
        """x, y, width, height of those tiles in pixels of their level, int64 ``(N, 4)``."""
        found = [self.grid.box(*index) for index in self.grid.chosen(self.where(min_tissue))]
        return np.array(found, np.int64).reshape(-1, 4)

    def save(self, path: str | Path, min_tissue: float = 0.5) -> None:
        """Write those tiles as GeoJSON polygons in pixels of level 0, which viewers such as QuPath lay over the slide."""
        down, across = (whole / part for whole, part in zip(self.shape, self.grid.shape))
        features = []
        for row, column in self.grid.chosen(self.where(min_tissue)):
            x, y, width, height = self.grid.box(row, column)
            left, top, right, bottom = x * across, y * down, (x + width) * across, (y + height) * down
            ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
            features.append(
                {
                    "type": "Feature",
                    "geometry": {"type": "Polygon", "coordinates": [ring]},
                    "properties": {
                        "objectType": "tile",
                        "row": row,
                        "column": column,
                        "tissue": round(float(self.fraction[row, column]), 4),
                    },
                }
            )
        text = json.dumps({"type": "FeatureCollection", "features": features})
        atomic_write(path, text.encode())


def tissue_of(slide: Slide, level: int | None = None) -> TissueMask:
    """Tissue mask of a slide by the rule of ``stainxform.tissue_mask``.

    Parameters
    ----------
    slide : Slide
        An open slide.
    level : int, optional
        Where to look; default the coarsest with a side of at least 1024 pixels, or else level 0. A level larger than
        2048 pixels is read in parts, and whole blocks of its pixels become one of the mask.
    """
    if level is None:
        large = [rank for rank, found in enumerate(slide.levels) if max(found.shape) >= MASK_SIDE // 2]
        level = large[-1] if large else 0
    grid = slide.grid(level)
    block = -(-max(grid.shape) // MASK_SIDE)
    side = block * max(1, 1024 // block)
    rows, columns = (-(-length // block) for length in grid.shape)
    fraction = np.zeros((rows, columns), np.float32)
    for batch in slide.tiles(level, side, batch=1, threads=1):
        x, y, width, height = (int(value) for value in batch.boxes[0])
        tissue = tissue_mask(batch.pixels[0][:height, :width]).astype(np.float32)
        part = _block_means(tissue, block)
        fraction[y // block : y // block + part.shape[0], x // block : x // block + part.shape[1]] = part
    shape = slide.levels[0].shape
    pitch = shape[0] / grid.shape[0] * block, shape[1] / grid.shape[1] * block
    return TissueMask(fraction, shape, pitch)


def likely_tissue(slide: Slide, level: int = 0, bytes_per_pixel: float = TISSUE_BYTES) -> np.ndarray | None:
    """Stored tiles that may hold tissue, by the bytes they take, bool ``(rows, columns)`` of ``slide.grid(level)``.

    Nothing is decoded: glass compresses to little. A rough filter for JPEG slides; None if the reader cannot tell.
    """
    counts = slide.encoded_bytes(level)
    if counts is None:
        return None
    across, down = slide.levels[level].tile
    return counts >= bytes_per_pixel * across * down


def _block_means(values: np.ndarray, block: int) -> np.ndarray:
    """Means of ``block x block`` pixels; blocks at the right and lower edge may be smaller."""
    for axis in (0, 1):
        starts = np.arange(0, values.shape[axis], block)
        sizes = np.diff(np.append(starts, values.shape[axis]))
        sums = np.add.reduceat(values, starts, axis=axis)
        values = sums / (sizes[:, None] if axis == 0 else sizes)
    return values


def _at(total: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """A summed-area table between its entries, bilinearly: exact where each mask pixel is uniform."""
    above, left = (np.minimum(position.astype(int), size - 2) for position, size in zip((row, column), total.shape))
    down, across = row - above, column - left
    upper = total[above, left] * (1 - across) + total[above, left + 1] * across
    lower = total[above + 1, left] * (1 - across) + total[above + 1, left + 1] * across
    return upper * (1 - down) + lower * down
