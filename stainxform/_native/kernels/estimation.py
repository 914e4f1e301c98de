"""Statistics of weighted colors in compiled code, in float64."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from stainxform._native import native, signatures
from stainxform._native.kernels.maps import numbers


def project(matrix: np.ndarray, values: np.ndarray) -> np.ndarray:
    """``matrix @ values``, float64 ``(m, 3)`` and ``(3, K)``."""
    out = native.empty((len(matrix), values.shape[1]))
    values, matrix = np.ascontiguousarray(values, np.float64), np.ascontiguousarray(matrix, np.float64)
    native.call("sx_project", values, values.shape[1], matrix, len(matrix), out)
    return out


def lasso(values: np.ndarray, stain_matrix: np.ndarray, penalty: float, determinant: float) -> np.ndarray:
    """Non-negative lasso amounts, float64 ``(2, K)``, of two stains ``(3, 2)`` in densities ``(3, K)``."""
    out = native.empty((2, values.shape[1]))
    values, stains = np.ascontiguousarray(values, np.float64), np.ascontiguousarray(stain_matrix.T, np.float64)
    native.call("sx_lasso", values, values.shape[1], stains, penalty, determinant, out)
    return out


def percentiles(values: np.ndarray, counts: np.ndarray, percents: tuple[float, ...]) -> np.ndarray:
    """Percentiles of ``values`` (K,) repeated ``counts`` times, by selection."""
    out = np.empty(len(percents))
    values, counts = np.ascontiguousarray(values, np.float64), np.ascontiguousarray(counts, np.int64)
    native.call("sx_percentiles", values, counts, values.size, np.array(percents, np.float64), len(percents), out)
    return out


@dataclass(frozen=True, eq=False)
class Colors:
    """8-bit colors ``(3, K)``, int64 counts, densities by a table ``(3, 256)``, and the lowest density that counts."""

    levels: np.ndarray
    counts: np.ndarray
    tables: np.ndarray
    lowest: float

    @cached_property
    def structure(self) -> signatures.Colors:
        """What the kernels take."""
        levels, counts = np.ascontiguousarray(self.levels), np.ascontiguousarray(self.counts, np.int64)
        tables = np.ascontiguousarray(self.tables, np.float64)
        return signatures.Colors.of(levels, counts, counts.size, tables, self.lowest)


def level_moments(colors: Colors, centered: bool) -> tuple[int, np.ndarray]:
    """Pixels that count, and second moments ``(3, 3)`` of densities about their means, or about zero."""
    levels, tables = colors.levels, colors.tables
    # About a point near the mean, so that little cancels, and moved.
    sample = levels[:, :: 1 + levels.shape[1] // 1024]
    point = (
        np.array([table[row].mean() for table, row in zip(tables, sample)]) if centered and sample.size else np.zeros(3)
    )
    out = np.empty(10)
    native.call("sx_level_moments", colors.structure, point, out)
    total = int(out[9])
    if not total:
        return 0, np.zeros((3, 3))
    second, shift = _symmetric(out[3:9] / total), out[:3] / total
    return total, second - np.outer(shift, shift) if centered else second


def _symmetric(upper: np.ndarray) -> np.ndarray:
    a, b, c, d, e, f = upper
    return np.array([[a, b, c], [b, d, e], [c, e, f]])


def level_angle_percentiles(colors: Colors, plane: np.ndarray, percents: tuple[float, ...]) -> np.ndarray:
    """Percentiles of the angles of densities in a plane ``(3, 2)``."""
    out, wanted = np.empty(len(percents)), np.array(percents, np.float64)
    plane = np.ascontiguousarray(plane)
    native.call("sx_level_angle_percentiles", colors.structure, plane, wanted, len(percents), out)
    return out


def level_amount_percentiles(
    colors: Colors, rows: np.ndarray, penalty: float | None, determinant: float | None, percent: float
) -> np.ndarray:
    """A percentile of the amounts of two stains: ``rows @ density``, or, with a penalty, their lasso amounts."""
    by = signatures.Separation(numbers(rows), penalty is not None, penalty or 0.0, determinant or 0.0)
    out = np.empty(2)
    native.call("sx_level_amount_percentiles", colors.structure, by, percent, out)
    return out


def moments(values: np.ndarray, counts: np.ndarray, about: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Mean ``(3,)`` of ``values`` (3, K) and second moments ``(3, 3)`` about a point; None: about the mean."""
    total = float(counts.sum())
    values, counts = np.ascontiguousarray(values, np.float64), np.ascontiguousarray(counts, np.int64)
    out = np.empty(9)
    # About the mean: about a point near it, so that little cancels, and moved.
    point = values[:, :: 1 + counts.size // 1024].mean(axis=1) if about is None else np.asarray(about, np.float64)
    native.call("sx_moments", values, counts, counts.size, point, out)
    mean = out[:3] / total
    second = _symmetric(out[3:] / total)
    return mean, second - np.outer(mean - point, mean - point) if about is None else second


def factorize(
    atoms: np.ndarray,
    od: np.ndarray,
    weights: np.ndarray,
    penalty: float,
    tolerance: float,
    collinear: float,
    steps: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Atoms ``(3, 2)`` at the minimum next to the given ones, and mean amounts; see ``factorization``."""
    rows, mean = np.array(atoms.T, np.float64, order="C"), np.empty(2)
    how = signatures.Factorization(penalty, tolerance, collinear, steps)
    native.call("sx_factorize", od, weights, weights.size, how, rows, mean)
    return rows.T, mean
