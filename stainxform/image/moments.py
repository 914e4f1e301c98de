"""Count, mean and covariance of colors: ten numbers that merge exactly, however an image was cut into tiles."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from stainxform._native import kernels, native

__all__ = ["Moments", "sum_in_any_order"]


@dataclass(frozen=True, eq=False)
class Moments:
    """The first two moments of colors in some color space.

    Parameters
    ----------
    count : int
        Pixels.
    mean : ndarray
        Float64 ``(3,)``, in units of the space.
    covariance : ndarray
        Float64 ``(3, 3)``, of the population: divided by the count.
    """

    count: int
    mean: np.ndarray
    covariance: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, counts: np.ndarray) -> Moments:
        """Moments of colors ``(3, K)``, each of which ``counts`` pixels have; of no pixel they are zero."""
        total = int(counts.sum())
        if not total:
            return cls(0, np.zeros(3), np.zeros((3, 3)))
        if native.active():
            mean, second = kernels.moments(values, counts)
            return cls(total, mean, second)
        mean = (values * counts).sum(axis=1) / total
        deviation = values - mean[:, None]
        return cls(total, mean, (deviation * counts) @ deviation.T / total)

    @classmethod
    def merge(cls, parts: Iterable[Moments]) -> Moments:
        """Moments of all pixels together (Chan, Golub, LeVeque, COMPSTAT 1982), whatever the order of the parts."""
        found = [part for part in parts if part.count]
        if not found:
            return cls(0, np.zeros(3), np.zeros((3, 3)))
        total = sum(part.count for part in found)
        mean = sum_in_any_order(part.count * part.mean for part in found) / total
        spread = (part.covariance + np.outer(part.mean - mean, part.mean - mean) for part in found)
        return cls(total, mean, sum_in_any_order(part.count * each for part, each in zip(found, spread)) / total)


def sum_in_any_order(arrays: Iterable[np.ndarray]) -> np.ndarray:
    """Sum of arrays of one shape, each element rounded once, so that their order does not matter."""
    rows = np.array(list(arrays))
    sums = [math.fsum(column) for column in rows.reshape(len(rows), -1).T.tolist()]
    return np.array(sums).reshape(rows.shape[1:])
