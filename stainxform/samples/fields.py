"""Fields of numbers over the pixels of a tile: smooth noise, ramps, distances, random points."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MARGIN",
    "Floats",
    "consecutive",
    "distance_to",
    "magnify",
    "pixels_of",
    "ramp",
    "rotate",
    "scatter",
    "smooth_noise",
    "threshold",
    "uphill",
    "window_around",
]

Floats = NDArray[np.float32]

MARGIN = 32
"""Nuclei and holes are placed up to this far outside the tile, so that some cross its border."""


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> Floats:
    """Smooth noise of mean 0 and variance 1 with features about ``scale`` pixels wide."""
    rows, columns = (_bells(n, scale) for n in shape)
    return _resample(rows, rng.standard_normal((rows.shape[1], columns.shape[1]), dtype=np.float32), columns)


def magnify(values: Floats, shape: tuple[int, ...]) -> Floats:
    """Linear interpolation of values that lie 4 pixels apart."""
    rows, columns = (_hats(n, 4) for n in shape)
    return _resample(rows, values[: rows.shape[1], : columns.shape[1]], columns)


def _bells(n: int, scale: float) -> Any:
    """Matrix that spreads noise at knots ``scale`` pixels apart over n pixels and keeps its variance."""
    position = np.arange(n)[:, None] / scale
    knots = position.astype(int) + np.arange(6)
    weights = np.exp(-0.5 * ((position - (knots - 2)) / 0.6) ** 2)
    return _banded(knots, weights / np.linalg.norm(weights, axis=1, keepdims=True))


def _hats(n: int, scale: float) -> Any:
    """Matrix that interpolates values at knots ``scale`` pixels apart to n pixels."""
    position = np.arange(n)[:, None] / scale
    knots = position.astype(int) + np.arange(2)
    return _banded(knots, 1 - np.abs(position - knots))


def _banded(columns: NDArray[Any], weights: NDArray[Any]) -> Any:
    """Sparse matrix with the given columns and weights in each row."""
    from scipy.sparse import csr_array

    n, taps = weights.shape
    parts = weights.astype(np.float32).ravel(), columns.ravel(), np.arange(n + 1) * taps
    return csr_array(parts, shape=(n, columns[-1, -1] + 1))


def _resample(rows: Any, values: Floats, columns: Any) -> Floats:
    # Sparse, not BLAS, products: linear in the pixels, and the same bits whatever the number of threads.
    result: Floats = rows @ np.ascontiguousarray((columns @ values.T).T)
    return result


def ramp(values: Floats, low: float, high: float) -> Floats:
    """0 at ``low``, 1 at ``high``, smooth in between and clipped beyond."""
    x: Floats = np.clip((values - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)
    return x * x * (3 - 2 * x)


def window_around(
    shape: tuple[int, int], y: float, x: float, reach: float
) -> tuple[tuple[slice, slice], Floats, Floats]:
    """The part of the canvas within ``reach`` of a point, with the offsets of its rows and columns from it."""
    top, bottom = (min(max(int(edge), 0), shape[0]) for edge in (y - reach, y + reach + 1))
    left, right = (min(max(int(edge), 0), shape[1]) for edge in (x - reach, x + reach + 1))
    rows = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(y)
    columns = np.arange(left, right, dtype=np.float32) - np.float32(x)
    return (slice(top, bottom), slice(left, right)), rows, columns


def scatter(rng: np.random.Generator, shape: tuple[int, int], density: float) -> Floats:
    """Random points (y, x) on the tile and its margin, ``density`` of them per square pixel on average."""
    low, high = np.full(2, -MARGIN), np.array(shape) + MARGIN
    count = rng.poisson(density * np.prod(high - low, dtype=float))
    return rng.uniform(low, high, (count, 2)).astype(np.float32)


def consecutive(labels: NDArray[Any]) -> NDArray[np.int32]:
    """The same labels, renumbered 1, 2, ... without gaps."""
    used = np.bincount(labels.ravel()) > 0
    used[0] = False
    renumbered: NDArray[np.int32] = (np.cumsum(used) * used).astype(np.int32)[labels]
    return renumbered


def rotate(rows: Floats, columns: Floats, angle: float) -> tuple[Floats, Floats]:
    """Offsets along and across an axis."""
    sine, cosine = np.float32(np.sin(angle)), np.float32(np.cos(angle))
    return columns * cosine + rows * sine, rows * cosine - columns * sine


def pixels_of(sites: Floats, shape: tuple[int, ...]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the pixels that points lie in, or of the nearest ones."""
    y, x = np.clip(sites.astype(np.intp), 0, np.array(shape) - 1).T
    return y, x


def uphill(values: Floats, sites: Floats) -> Floats:
    """Direction of the gradient at each site, from the x axis towards the y axis."""
    step = np.array([[3, 0], [0, 3]], np.float32)
    down, right = (
        values[pixels_of(sites + s, values.shape)] - values[pixels_of(sites - s, values.shape)] for s in step
    )
    direction: Floats = np.arctan2(down, right)
    return direction


def distance_to(mask: NDArray[np.bool_]) -> Floats:
    """Pixels to the nearest pixel of the mask, to within a few, and 1000 where there is none."""
    from scipy.ndimage import distance_transform_edt

    if not mask.any():
        return np.full(mask.shape, 1e3, np.float32)
    coarse = np.pad(mask, ((0, 4), (0, 4)), mode="edge")[::4, ::4]
    return magnify(4 * distance_transform_edt(~coarse).astype(np.float32), mask.shape)


def threshold(values: Floats, fraction: float) -> np.float32:
    """The value that the given fraction of ``values`` exceeds."""
    if fraction in (0, 1):
        return np.float32(1e3 if fraction == 0 else -1e3)
    return np.float32(np.quantile(values, 1 - fraction))
