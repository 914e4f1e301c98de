"""Count, mean and covariance of colors: ten numbers that merge exactly, however an image was cut into tiles."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

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
    def none(cls) -> Moments:
        """Moments of no pixel."""
        return cls(0, np.zeros(3), np.zeros((3, 3)))

    @classmethod
    def of(cls, values: np.ndarray, counts: np.ndarray) -> Moments:
        """Moments of colors ``(3, K)``, each of which ``counts`` pixels have; of no pixel they are zero."""
        total = int(counts.sum())
        if not total:
            return cls.none()
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
            return cls.none()
        if len(found) == 1:
            return found[0]
        total = sum(part.count for part in found)
        mean = sum_in_any_order(part.count * part.mean for part in found) / total
        spread = (part.covariance + np.outer(part.mean - mean, part.mean - mean) for part in found)
        return cls(total, mean, sum_in_any_order(part.count * each for part, each in zip(found, spread)) / total)

    def arrays(self) -> dict[str, np.ndarray]:
        """The ten numbers as arrays."""
        return {"count": np.array([self.count]), "mean": self.mean, "covariance": self.covariance}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Moments:
        """Rebuild from :meth:`arrays`; KeyError, TypeError or ValueError for anything else: they come from a file."""
        covariance = arrays["covariance"]
        if covariance.shape != (3, 3) or not np.array_equal(covariance, covariance.T):
            raise ValueError("a covariance is not symmetric")
        return cls.from_numbers([int(arrays["count"].item()), *arrays["mean"].tolist(), *covariance[_UPPER].tolist()])

    def numbers(self) -> list[float]:
        """Count, mean, and the covariance's upper triangle: ten numbers, as JSON holds them."""
        return [self.count, *self.mean.tolist(), *self.covariance[_UPPER].tolist()]

    @classmethod
    def from_numbers(cls, numbers: Any) -> Moments:
        """Rebuild from :meth:`numbers`; TypeError or ValueError for anything else: they come from a file."""
        count, *values = numbers
        found = np.array(values, np.float64)
        if found.shape != (9,) or not np.isfinite(found).all() or type(count) is not int or count < 0:
            raise ValueError(f"moments are a count and nine finite numbers, got {numbers!r}")
        covariance = np.zeros((3, 3))
        covariance[_UPPER] = found[3:]
        covariance = covariance + np.triu(covariance, 1).T
        if np.linalg.eigvalsh(covariance)[0] < -1e-9 * max(1.0, float(np.trace(covariance))):
            raise ValueError("a covariance is not positive")
        return cls(count, found[:3], covariance)


_UPPER = np.triu_indices(3)


def sum_in_any_order(arrays: Iterable[np.ndarray]) -> np.ndarray:
    """Sum of arrays of one shape, each element rounded once, so that their order does not matter."""
    rows = np.array(list(arrays))
    sums = [math.fsum(column) for column in rows.reshape(len(rows), -1).T.tolist()]
    return np.array(sums).reshape(rows.shape[1:])
