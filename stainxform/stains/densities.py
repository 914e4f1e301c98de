"""What stain estimation asks of the optical densities of an image: moments, angles in a plane, amounts of stains.

Plain numpy on all colors at once is the definition. For 8-bit colors compiled code does the same from a table of their
levels, without writing the densities down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from stainxform._native import kernels, native
from stainxform.color import LogarithmicSpace
from stainxform.image.histogram import ColorHistogram, level_tables, weighted_percentile
from stainxform.stains.separation import LeastSquares, NonnegativeLasso

__all__ = ["Densities"]


@dataclass(frozen=True, eq=False)
class Densities:
    """The densities of a histogram's colors, and how many pixels of each count.

    Parameters
    ----------
    histogram : ColorHistogram
        The colors.
    space : LogarithmicSpace
        Optical density.
    counts : ndarray
        int64 ``(K,)``; 0 leaves a color out.
    minimum : float, optional
        A color counts if every one of its densities is at least this.
    """

    histogram: ColorHistogram
    space: LogarithmicSpace
    counts: np.ndarray
    minimum: float = -math.inf

    def second_moments(self, centered: bool) -> tuple[int, np.ndarray]:
        """Pixels that count, and the mean products ``(3, 3)`` of densities, about their means or about zero."""
        if self._colors:
            return kernels.level_moments(self._colors, centered)
        total = int(self._weights.sum())
        if not total:
            return 0, np.zeros((3, 3))
        mean = (self._values * self._weights).sum(1) / total
        deviation = self._values - mean[:, None] if centered else self._values
        return total, np.asarray((deviation * self._weights) @ deviation.T / total)

    def angle_percentiles(self, plane: np.ndarray, percents: tuple[float, ...]) -> np.ndarray:
        """Percentiles of the angles ``arctan2(y, x)``, in radians, of the densities in a plane ``(3, 2)``."""
        if self._colors:
            return kernels.level_angle_percentiles(self._colors, plane, percents)
        x, y = plane.T @ self._values
        angle = np.arctan2(y, x)
        return np.array([weighted_percentile(angle, self._weights, percent) for percent in percents])

    def amount_percentiles(self, separation: LeastSquares | NonnegativeLasso, percent: float) -> np.ndarray:
        """A percentile of the amounts of each of two stains, over the pixels that ``counts`` says, ``(2,)``."""
        if self._colors:
            rows, penalty, determinant = separation.numbers
            return kernels.level_amount_percentiles(self._colors, rows, penalty, determinant, percent)
        return np.array([weighted_percentile(row, self.counts, percent) for row in separation(self._values)])

    @cached_property
    def _colors(self) -> kernels.Colors | None:
        levels = self.histogram.levels
        if levels is None or not native.active():
            return None
        return kernels.Colors(levels, self.counts, level_tables(self.space), self.minimum)

    @cached_property
    def _values(self) -> np.ndarray:
        return self.histogram.values(self.space)

    @cached_property
    def _weights(self) -> np.ndarray:
        return self.counts * (self._values.min(axis=0) >= self.minimum)
