"""Separation: from the optical density of a color to the amounts of its stains.

Closed forms on optical-density planes ``(3, ...)``, numpy or torch, element by element, without BLAS and without
branches on the data: layout and batching cannot change a bit of the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from stainxform._native import kernels, native
from stainxform._optional import is_tensor
from stainxform.color import Planes, mix, namespace, stack

__all__ = ["COLLINEAR", "LeastSquares", "NonnegativeLasso", "Separation", "inverse_determinant", "lasso_pair"]

COLLINEAR = 1e-9
"""1 - cosine^2 of two stains counts as at least this (an angle of .002 degrees), so that nothing divides by zero."""


class Separation(Protocol):
    """A way to separate stains."""

    def __call__(self, od: Planes) -> Planes:
        """Optical density ``(3, ...)`` to amounts ``(k, ...)`` of the k stains."""
        ...


@dataclass(frozen=True, eq=False)
class LeastSquares:
    """Amounts that come closest to the color, pinv(W) OD; they may be negative.

    Parameters
    ----------
    stain_matrix : ndarray
        float64 ``(3, k)``.
    positive : bool, optional
        Set negative amounts to 0.
    """

    stain_matrix: np.ndarray
    positive: bool = False

    def __call__(self, od: Planes) -> Planes:
        """Optical density ``(3, ...)`` to amounts ``(k, ...)``."""
        amounts = kernels.project(self.inverse, od) if _estimates(od) else mix(self.inverse, od)
        return namespace(od).clip(amounts, 0.0, None) if self.positive else amounts

    @property
    def numbers(self) -> tuple[np.ndarray, None, None]:
        """The matrix ``(k, 3)``; see ``kernels.level_amount_percentiles``."""
        return self.inverse, None, None

    @cached_property
    def inverse(self) -> np.ndarray:
        """Pseudo-inverse ``(k, 3)``."""
        return np.linalg.pinv(self.stain_matrix)


@dataclass(frozen=True, eq=False)
class NonnegativeLasso:
    """Amounts a >= 0 of two stains that minimize 1/2 |OD - W a|^2 + penalty (a_1 + a_2), exactly.

    Parameters
    ----------
    stain_matrix : ndarray
        float64 ``(3, 2)``, unit columns.
    penalty : float, optional
        0 or more; 0 is non-negative least squares.
    """

    stain_matrix: np.ndarray
    penalty: float = 0.0

    def __call__(self, od: Planes) -> Planes:
        """Optical density ``(3, ...)`` to amounts ``(2, ...)``."""
        if _estimates(od):
            return kernels.lasso(od, self.stain_matrix, self.penalty, self.determinant)
        first, second = mix(self.stain_matrix.T, od) - self.penalty
        return lasso_pair(first, second, float(self.stain_matrix[:, 0] @ self.stain_matrix[:, 1]))

    @property
    def numbers(self) -> tuple[np.ndarray, float, float]:
        """The stains ``(2, 3)``, the penalty and the determinant; see ``kernels.level_amount_percentiles``."""
        return self.stain_matrix.T, self.penalty, self.determinant

    @property
    def determinant(self) -> float:
        """1 / (1 - cosine^2) of the two stains."""
        return inverse_determinant(float(self.stain_matrix[:, 0] @ self.stain_matrix[:, 1]))


def _estimates(od: Planes) -> bool:
    """Whether these are the colors of a histogram, for which there is compiled code."""
    return bool(native.active()) and not is_tensor(od) and od.ndim == 2 and od.dtype == np.float64


def inverse_determinant(cosine: float) -> float:
    """Of the Gram matrix of two unit vectors."""
    return 1.0 / max(1.0 - cosine * cosine, COLLINEAR)


def lasso_pair(first: Planes, second: Planes, cosine: float) -> Planes:
    """Minimize 1/2 (a_1^2 + a_2^2) + cosine a_1 a_2 - first a_1 - second a_2 over amounts a >= 0, ``(2, ...)``.

    ``first`` and ``second`` are the inner products of a color with each unit stain vector, less the penalty; the cosine
    is that between the stains.

    Notes
    -----
    One stain alone would be there in the amount max(b, 0). Where the other has nothing to gain then, that is the
    solution; where both would gain, the unconstrained minimum is, and it is positive.
    """
    xp = namespace(first)
    alone_first, alone_second = xp.clip(first, 0.0, None), xp.clip(second, 0.0, None)
    only_first = second - cosine * alone_first <= 0
    only_second = first - cosine * alone_second <= 0
    scale = inverse_determinant(cosine)
    both_first, both_second = (first - cosine * second) * scale, (second - cosine * first) * scale
    none = xp.zeros_like(first)
    return stack(
        [
            xp.where(only_first, alone_first, xp.where(only_second, none, both_first)),
            xp.where(only_first, none, xp.where(only_second, alone_second, both_second)),
        ]
    )
