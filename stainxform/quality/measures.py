"""What quality control measures on one tile by itself; arrays are uint8 ``(H, W, 3)``."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from stainxform.color import OpticalDensity
from stainxform.image.histogram import ColorHistogram
from stainxform.image.tissue import MIN_TISSUE, is_blank, tissue_fraction, tissue_mask, tissue_planes
from stainxform.stains.features import stain_matrix, stain_maxima

__all__ = ["BLACK_DENSITY", "INK_CHROMA", "INK_DENSITY", "SMOOTH", "STAIN_NAMES", "TileMeasures", "share_above"]

FINE, MIDDLE, COARSE = 0.8, 1.6, 3.2
"""Standard deviations, in pixels, of the Gaussians between which the two bands of the focus measure lie."""

SMOOTH = 4.0
"""Standard deviation, in pixels, of the Gaussian that turns nuclei into regions before folds are looked for."""

INK_CHROMA = 0.15
"""How much more than green another channel must absorb, as a part of the length of the density vector, to be ink.
Hematoxylin and eosin absorb green most, or nearly so."""

INK_DENSITY = 0.4
"""Shorter density vectors have no reliable hue."""

BLACK_DENSITY = 1.6
"""Natural-log density in every channel above which a pixel is black: ink, a fold, padding. Nuclei absorb less blue."""

STAIN_NAMES = (
    "red in hematoxylin",
    "blue in hematoxylin",
    "red in eosin",
    "blue in eosin",
    "the amount of hematoxylin",
    "the amount of eosin",
)
"""What the numbers of ``TileMeasures.stains`` are: components of unit vectors, logarithms of 99th percentiles."""

_SPACE = OpticalDensity(io=256)
_PERCENTS = np.arange(101)


@dataclass(frozen=True, eq=False)
class TileMeasures:
    """Numbers of one tile.

    Attributes
    ----------
    blank : bool
        Whether it holds too little tissue; everything after ``black`` is then None.
    tissue, black, ink : float
        Fractions of pixels, 0..1.
    clipped : float or None
        Fraction of tissue pixels that are no ink and have a channel at 0 or 255.
    focus : float or None
        Decadic logarithm of the energy of density between 0.8 and 1.6 px over that between 1.6 and 3.2 px, in tissue. A
        ratio, so neither stain nor contrast change it; blur lowers it.
    density : ndarray or None
        Percentiles 0, 1, ..., 100 of the smoothed mean density, in tissue and black.
    stains : ndarray or None
        Six numbers, see STAIN_NAMES; None where the tile shows a single stain.
    """

    blank: bool
    tissue: float
    black: float
    ink: float
    clipped: float | None = None
    focus: float | None = None
    density: np.ndarray | None = None
    stains: np.ndarray | None = None

    @classmethod
    def of(
        cls, tile: np.ndarray, min_tissue: float = MIN_TISSUE, histogram: ColorHistogram | None = None
    ) -> TileMeasures:
        """Measure a tile, of any size; ``histogram`` are its colors, if they are counted already."""
        histogram = histogram or ColorHistogram.of(tile)
        density = _SPACE.from_rgb(histogram.colors)
        weights = histogram.counts / max(histogram.total, 1)
        black = float(weights[density.min(axis=0, initial=np.inf) > BLACK_DENSITY].sum())
        ink = _is_ink(density)
        common = (tissue_fraction(histogram), black, float(weights[ink].sum()))
        if is_blank(histogram, min_tissue):
            return cls(True, *common)
        tissue = histogram.where(tissue_planes(histogram.colors))
        ends = ((histogram.colors == 0) | (histogram.colors == 1)).any(axis=0) & ~ink & tissue_planes(histogram.colors)
        clipped = float(histogram.counts[ends].sum() / tissue.total)
        return cls(False, *common, clipped, *_structure(tile), stains=_stains(tissue))


def _is_ink(density: np.ndarray) -> np.ndarray:
    length = np.sqrt((density**2).sum(axis=0))
    excess = np.maximum(density[0], density[2]) - density[1]
    return np.asarray((length > INK_DENSITY) & (excess > INK_CHROMA * length) & (density.min(axis=0) <= BLACK_DENSITY))


def _structure(tile: np.ndarray) -> tuple[float, np.ndarray]:
    """Focus, and percentiles of the smoothed density."""
    gray = tile.mean(axis=-1, dtype=np.float32) / 255
    density = np.asarray(_SPACE.from_rgb(gray), np.float32)
    tissue = tissue_mask(tile)
    bands = pairwise(_smooth(density, sigma) for sigma in (FINE, MIDDLE, COARSE))
    fine, coarse = (np.square(a - b)[tissue].mean(dtype=np.float64) for a, b in bands)
    tiny = 1e-12  # a flat tile has no structure at either scale
    focus = float(np.log10((fine + tiny) / (coarse + tiny)))
    matter = _smooth(density, SMOOTH)[tissue | (gray < 0.5)]
    return focus, np.percentile(matter, _PERCENTS)


def _smooth(plane: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian of a float32 plane, cut off at three standard deviations, the border repeated; a fit loads no scipy."""
    reach = int(np.ceil(3 * sigma))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weights = (weights / weights.sum()).astype(np.float32)
    for _ in range(2):  # rows, then columns
        length = len(plane)
        padded = np.pad(plane, ((reach, reach), (0, 0)), mode="edge")
        total = weights[reach] * plane
        for step in range(1, reach + 1):
            both = padded[reach - step : reach - step + length] + padded[reach + step : reach + step + length]
            total += weights[reach + step] * both
        plane = np.ascontiguousarray(total.T)
    return plane


def _stains(tissue: ColorHistogram) -> np.ndarray | None:
    matrix = stain_matrix(tissue)
    if matrix is None:
        return None
    maxima = stain_maxima(tissue, matrix)
    if not (maxima > 0).all():
        return None
    return np.concatenate([matrix[[0, 2]].T.ravel(), np.log(maxima)])


def share_above(density: np.ndarray, limit: float) -> float:
    """Fraction of a tile's tissue whose smoothed density is above a limit, from its percentiles."""
    return float(1 - np.interp(limit, density, _PERCENTS / 100, left=0.0, right=1.0))
