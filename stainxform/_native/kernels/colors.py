"""The distinct colors of an image in compiled code: counted, converted, put back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stainxform._native import native
from stainxform.color import D65, XYZ_FROM_RGB


def recolor(
    source: np.ndarray,
    target: np.ndarray,
    colors_of: Callable[[np.ndarray], np.ndarray],
    levels: np.ndarray | None = None,
    threads: int | None = None,
) -> None:
    """Apply a function of color to uint8 pixels ``(3, H, W)``, once for each distinct color.

    ``colors_of`` takes uint8 colors ``(3, K)`` and returns theirs, ``(3, K)`` of the target's type. ``levels`` are the
    distinct colors, if they are known; ``threads`` None: by the size of the image.
    """
    if levels is None:
        levels, _ = color_counts(source)
    levels = np.ascontiguousarray(levels)
    colors = np.ascontiguousarray(colors_of(levels), target.dtype)
    threads = threads or native.threads_for(source[0].size)
    native.call("sx_recolor", native.view(source), native.view(target), levels, levels.shape[1], colors, threads)


def color_counts(source: np.ndarray, threads: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Distinct colors of uint8 pixels ``(3, H, W)``, uint8 ``(3, K)`` in Morton order, and their int64 counts."""
    k = native.call("sx_histogram_count", native.view(source), threads or native.threads_for(source[0].size))
    levels, counts = native.empty((3, k), np.uint8), native.empty((k,), np.int64)
    native.call("sx_histogram_take", levels, counts, k)
    return levels, counts


def mean_level(source: np.ndarray) -> float:
    """Mean of uint8 pixels ``(3, H, W)`` over pixels and channels."""
    return native.call("sx_sum", native.view(source), native.threads_for(source[0].size)) / source.size


def to_levels(source: np.ndarray, low: float, scale: float, tolerance: float) -> np.ndarray | None:
    """Float32 pixels ``(3, H, W)`` as uint8 if all lie on the 8-bit grid, within ``tolerance`` levels; else None."""
    out = np.empty(source.shape, np.uint8)
    on_grid = native.call("sx_to_levels", native.view(source, low, scale), native.view(out), tolerance)
    return out if on_grid else None


_LINEAR = np.array([v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in np.arange(256) / 255])


def lab_of_levels(levels: np.ndarray) -> np.ndarray:
    """CIELAB, float64 ``(3, K)``, of uint8 colors ``(3, K)``."""
    out = native.empty(levels.shape)
    matrix = np.ascontiguousarray(XYZ_FROM_RGB / D65[:, None])
    native.call("sx_lab_of_levels", np.ascontiguousarray(levels), levels.shape[1], _LINEAR, matrix, out)
    return out


def look_up(levels: np.ndarray, tables: np.ndarray) -> np.ndarray:
    """Values, float64 ``(3, K)``, of uint8 colors in a table ``(3, 256)`` of their channels."""
    out = native.empty(levels.shape)
    tables = np.ascontiguousarray(tables, np.float64)
    native.call("sx_look_up", np.ascontiguousarray(levels), levels.shape[1], tables, out)
    return out


def channel_counts(levels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Pixels at each level of each channel, int64 ``(3, 256)``, of uint8 colors ``(3, K)`` with counts."""
    out = np.empty((3, 256), np.int64)
    levels, counts = np.ascontiguousarray(levels), np.ascontiguousarray(counts, np.int64)
    native.call("sx_channel_counts", levels, counts, counts.size, out)
    return out


def count_between(levels: np.ndarray, counts: np.ndarray, smallest: int, largest: int) -> int:
    """Pixels of the colors whose smallest level is at most ``smallest``, and whose largest at least ``largest``."""
    levels, counts = np.ascontiguousarray(levels), np.ascontiguousarray(counts, np.int64)
    return native.call("sx_count_between", levels, counts, counts.size, smallest, largest)
