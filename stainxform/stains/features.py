"""The color of one tile as a few numbers: what evaluation compares between centers, and quality control within one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from stainxform.color import CIELab, OpticalDensity
from stainxform.errors import NotEnoughTissueError
from stainxform.image.histogram import ColorHistogram, weighted_percentile
from stainxform.image.layout import Image
from stainxform.image.tissue import TISSUE_OD, is_blank, tissue_planes
from stainxform.stains.densities import Densities
from stainxform.stains.macenko import macenko_stain_matrix
from stainxform.stains.references import REFERENCES
from stainxform.stains.separation import LeastSquares

__all__ = [
    "FEATURE_NAMES",
    "LAB_NAMES",
    "QUANTILES",
    "STAIN_NAMES",
    "TileColors",
    "color_features",
    "stain_matrix",
    "stain_maxima",
    "tissue_colors",
]

QUANTILES = (5, 25, 50, 75, 95)
"""Percentiles of each CIELAB channel among the features."""

LAB_NAMES = tuple(
    f"{channel} {what}" for channel in "Lab" for what in ("mean", "sd", "skew", *(f"{q} %" for q in QUANTILES))
)
STAIN_NAMES = tuple(f"{stain} {what}" for stain in ("hematoxylin", "eosin") for what in ("mean", "sd", "95 %"))

FEATURE_NAMES = (*LAB_NAMES, *STAIN_NAMES)
"""What the 30 color features are, in order."""

_DENSITY = OpticalDensity()
_SEPARATION = LeastSquares(REFERENCES["he"].matrix)


def tissue_colors(tile: Image) -> ColorHistogram:
    """The colors of the tissue of one image.

    Raises
    ------
    InvalidImageError
        No RGB image.
    NotEnoughTissueError
        A blank tile.
    """
    histogram = ColorHistogram.of(tile)
    if is_blank(histogram):
        raise NotEnoughTissueError("a blank tile has no color of tissue")
    return histogram.where(tissue_planes(histogram.colors))


def color_features(tissue: ColorHistogram) -> np.ndarray:
    """Color moments and quantiles of CIELAB, and amounts of hematoxylin and eosin, of the tissue of one tile.

    Parameters
    ----------
    tissue : ColorHistogram
        See :func:`tissue_colors`.

    Returns
    -------
    ndarray
        float64 ``(30,)``, named by FEATURE_NAMES. Always defined: amounts are those of the published stain vectors of
        Ruifrok and Johnston (2001), by least squares, not of vectors estimated from the tile.

    Notes
    -----
    Moments as in Stricker and Orengo, "Similarity of color images", SPIE 2420, 1995: mean, standard deviation and the
    signed cube root of the third central moment, here called skew.
    """
    counts = tissue.counts
    found = [_moments(row, counts) + _percentiles(row, counts, QUANTILES) for row in tissue.values(CIELab())]
    amounts = _SEPARATION(tissue.values(_DENSITY))
    found += [_moments(row, counts)[:2] + _percentiles(row, counts, (95,)) for row in amounts]
    return np.concatenate(found)


def stain_matrix(tissue: ColorHistogram) -> np.ndarray | None:
    """Macenko's stain matrix of the tissue of one tile, float64 ``(3, 2)``; None where it shows a single stain."""
    try:
        return macenko_stain_matrix(Densities(tissue, _DENSITY, tissue.counts, TISSUE_OD))
    except NotEnoughTissueError:
        return None


def stain_maxima(tissue: ColorHistogram, matrix: np.ndarray) -> np.ndarray:
    """99th percentiles of the amounts of both stains of a matrix, ``(2,)``."""
    return Densities(tissue, _DENSITY, tissue.counts).amount_percentiles(LeastSquares(matrix), 99)


@dataclass(frozen=True, eq=False)
class TileColors:
    """What evaluation knows about the colors of some tiles; blank tiles are left out.

    Attributes
    ----------
    index : ndarray
        Which tiles were not blank, ``(n,)``.
    features : ndarray
        float64 ``(n, 30)``, see :func:`color_features`.
    lab : ndarray
        float64 ``(n, 3, bins)``: distribution of L, a and b of the tissue of each tile; each sums to 1.
    stains : ndarray
        float64 ``(n, 3, 2)``; NaN where a tile shows a single stain.
    """

    index: np.ndarray
    features: np.ndarray
    lab: np.ndarray
    stains: np.ndarray

    LOWEST = -128.0
    BIN = 0.25
    """Lab values are counted in bins of this width."""
    BINS = 1024

    @classmethod
    def of(cls, tiles: Iterable[Image]) -> TileColors:
        """Measure tiles; all of them may be blank."""
        rows = []
        for i, tile in enumerate(tiles):
            try:
                tissue = tissue_colors(tile)
            except NotEnoughTissueError:
                continue
            matrix = stain_matrix(tissue)
            unknown = np.full((3, 2), np.nan)
            rows.append((i, color_features(tissue), cls._lab(tissue), unknown if matrix is None else matrix))
        shapes = ((), (len(FEATURE_NAMES),), (3, cls.BINS), (3, 2))
        arrays = [np.array(column) for column in zip(*rows)] or [np.zeros((0, *shape)) for shape in shapes]
        return cls(arrays[0].astype(np.intp), *arrays[1:])

    @classmethod
    def _lab(cls, tissue: ColorHistogram) -> np.ndarray:
        bins = ((tissue.values(CIELab()) - cls.LOWEST) / cls.BIN).astype(np.intp).clip(0, cls.BINS - 1)
        return np.stack([np.bincount(row, tissue.counts, cls.BINS) for row in bins]) / tissue.total

    def __len__(self) -> int:
        return len(self.index)


def _moments(values: np.ndarray, counts: np.ndarray) -> list[float]:
    weights = counts / counts.sum()
    mean = float(values @ weights)
    deviation = values - mean
    second, third = (float(deviation**power @ weights) for power in (2, 3))
    return [mean, float(np.sqrt(second)), float(np.cbrt(third))]


def _percentiles(values: np.ndarray, counts: np.ndarray, percents: Iterable[float]) -> list[float]:
    return [weighted_percentile(values, counts, percent) for percent in percents]
