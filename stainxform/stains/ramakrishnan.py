"""Stains of a slide: Ramakrishnan, Anand, Sethi, "Fast GPU-enabled color normalization for digital pathology", arXiv
1901.03088, 2019: the sparse factorization of Vahadane et al., made robust by medians over tiles.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import numpy as np

from stainxform.color import BackgroundDensity
from stainxform.errors import NotEnoughTissueError, ParameterError
from stainxform.image.glass import WHITE, background_of, white_fraction, white_levels
from stainxform.image.histogram import ColorHistogram, weighted_percentile
from stainxform.image.tissue import MIN_TISSUE, is_blank
from stainxform.stains.estimator import StainEstimator
from stainxform.stains.factorization import sparse_stain_matrix
from stainxform.stains.macenko import all_present
from stainxform.stains.separation import LeastSquares

__all__ = ["RamakrishnanEstimator", "SlideStains", "Spread", "density_below", "positive_percentiles"]


class SlideStains(NamedTuple):
    """What is known of a slide.

    Attributes
    ----------
    stain_matrix : ndarray
        float64 ``(3, 2)``, unit columns, hematoxylin and eosin.
    max_concentrations : ndarray
        float64 ``(2,)``, medians of the tiles' 99th percentiles.
    background : ndarray
        float64 ``(3,)``, intensity of the glass in levels.
    """

    stain_matrix: np.ndarray
    max_concentrations: np.ndarray
    background: np.ndarray


@dataclass(frozen=True, kw_only=True)
class RamakrishnanEstimator(StainEstimator):
    """Settings of Ramakrishnan's method, and the estimation of stains with them.

    Parameters
    ----------
    regularization : float, optional
        L1 penalty of the factorization, above 0 (published code: .01).
    patches : int, optional
        At least so many tiles of a slide are factorized (paper: 20), if it has them, and fewer than twice as many.
    max_white : float, optional
        Tiles with a larger fraction of white pixels (all channels above 220) are not factorized (paper: .1), unless all
        are like that.

    Raises
    ------
    ParameterError
        Values that make no sense.
    """

    regularization: float = 0.01
    patches: int = 20
    max_white: float = 0.1

    name: ClassVar[str] = "ramakrishnan"

    def check(self) -> None:
        """See :class:`Settings`."""
        if not 0 < self.regularization < 1:
            raise ParameterError(f"regularization is a penalty above 0 and below 1, got {self.regularization}")
        if type(self.patches) is not int or self.patches < 1:
            raise ParameterError(f"patches is a whole number of at least 1, got {self.patches!r}")
        if not 0 <= self.max_white <= 1:
            raise ParameterError(f"max_white is a fraction from 0 to 1, got {self.max_white}")

    def estimate(self, histogram: ColorHistogram) -> SlideStains:
        """The stains of one image, which the published code, too, takes as a single tile, however white it is."""
        return self.estimate_tiles([histogram])

    def estimate_tiles(self, histograms: Iterable[ColorHistogram], min_tissue: float = MIN_TISSUE) -> SlideStains:
        """The stains of a slide from its tiles.

        They are looked at once; the colors of fewer than 4 x ``patches`` are held in memory.

        ``min_tissue`` is the fraction of tissue below which a tile is blank.

        Raises
        ------
        NotEnoughTissueError
            No tile shows two stains.
        """
        glass = np.zeros((3, 256), np.int64)
        full, pale = Spread(self.patches), Spread(self.patches)
        for histogram in histograms:
            glass += white_levels(histogram)
            if not is_blank(histogram, min_tissue):
                (full if white_fraction(histogram) <= self.max_white else pale).add(histogram)
        background = background_of(glass)
        space = density_below(background)
        problem = NotEnoughTissueError("every tile is blank")
        stained, matrices = [], []
        for histogram in full.kept or pale.kept:
            try:
                matrices.append(self._stain_matrix(histogram, space))
                stained.append(histogram)
            except NotEnoughTissueError as error:
                problem = error
        if not matrices:
            raise problem
        median = np.median(matrices, axis=0)
        stain_matrix = median / np.linalg.norm(median, axis=0)
        separate = LeastSquares(stain_matrix, positive=True)
        maxima = [positive_percentiles(separate(h.values(space)), h.counts) for h in stained]
        return SlideStains(stain_matrix, all_present(np.median(maxima, axis=0)), background)

    def _stain_matrix(self, histogram: ColorHistogram, space: BackgroundDensity) -> np.ndarray:
        """Stain matrix of one tile, from the pixels that absorb in every channel."""
        colored = histogram.where(histogram.colors.max(axis=0) < WHITE / 255)
        return sparse_stain_matrix(colored.values(space), colored.counts, penalty=self.regularization)


def density_below(background: np.ndarray) -> BackgroundDensity:
    """Optical density below glass of these levels ``(3,)``."""
    red, green, blue = background.tolist()
    return BackgroundDensity((red, green, blue))


def positive_percentiles(amounts: np.ndarray, counts: np.ndarray) -> list[float]:
    """99th percentile of each stain ``(k, K)`` over the pixels that have any of it; 0 if none has."""
    return [weighted_percentile(row[row > 0], counts[row > 0], 99) if (row > 0).any() else 0.0 for row in amounts]


@dataclass
class Spread:
    """Some of a stream of unknown length, evenly spread over it: between ``minimum`` and twice as many, or all."""

    minimum: int
    kept: list[ColorHistogram] = field(default_factory=list)
    seen: int = 0
    every: int = 1

    def add(self, histogram: ColorHistogram) -> None:
        """Keep every n-th; when there are too many, keep every other one of them."""
        if self.seen % self.every == 0:
            self.kept.append(histogram)
        if len(self.kept) == 2 * self.minimum:
            self.kept, self.every = self.kept[::2], 2 * self.every
        self.seen += 1
