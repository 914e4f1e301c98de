"""Weighted colors: what every pointwise method estimates from.

An 8-bit image is reduced to its distinct colors and their counts, exactly. Histograms merge, in any order, so a center
or a slide is fitted in bounded memory: map -> sum -> fit.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

import numpy as np

from stainxform._native import kernels, native
from stainxform.color import CIELab, ColorSpace
from stainxform.image.layout import Image, ImageSpec, as_numpy, check_image

__all__ = ["ON_GRID", "ColorHistogram", "PixelHistogram", "level_tables", "weighted_moments", "weighted_percentile"]

ON_GRID = 1e-3
"""Floats this close to an 8-bit level, in levels, are that level: they were 8-bit once."""

_LEVELS = np.tile(np.arange(256) / 255.0, (3, 1))


class ColorHistogram:
    """Distinct colors with counts.

    Parameters
    ----------
    colors : ndarray or None
        float64 ``(3, K)`` in [0, 1]; None: those of ``levels``.
    counts : ndarray
        int64 ``(K,)``, all positive.
    levels : ndarray, optional
        uint8 ``(3, K)``, the same colors if every one lies on the 8-bit grid, so that equal ones are merged; they stand
        in Morton order (bits of red, green and blue interleaved), neighbors in color next to each other.
    """

    def __init__(self, colors: np.ndarray | None, counts: np.ndarray, levels: np.ndarray | None = None):
        self._colors, self._counts, self._levels = colors, counts, levels

    def __getstate__(self) -> dict[str, object]:
        """Without what is made again when it is asked for, so that a pickle does not depend on use."""
        return {name: value for name, value in vars(self).items() if name.startswith("_")}

    @property
    def counts(self) -> np.ndarray:
        """How many pixels have each color, int64 ``(K,)``."""
        return self._counts

    @property
    def levels(self) -> np.ndarray | None:
        """The colors as uint8 ``(3, K)`` if all of them are 8-bit colors."""
        return self._levels

    @cached_property
    def colors(self) -> np.ndarray:
        """The colors, float64 ``(3, K)`` in [0, 1]."""
        if self._colors is not None:
            return self._colors
        assert self.levels is not None
        return self.levels / 255.0

    @cached_property
    def total(self) -> int:
        """Number of pixels."""
        return int(self.counts.sum())

    @property
    def nbytes(self) -> int:
        """Memory that the colors and counts take, in bytes."""
        colors = self.colors if self.levels is None else self.levels
        return colors.nbytes + self.counts.nbytes

    @property
    def mean(self) -> float:
        """Mean over pixels and channels, in [0, 1]."""
        return float(weighted_moments(self.colors, self.counts)[0].mean())

    @classmethod
    def of(cls, image: Image, spec: ImageSpec | None = None) -> ColorHistogram:
        """Histogram of one image or batch; 8-bit colors are merged exactly, other floats are kept one by one."""
        spec = spec or check_image(image)
        planes = np.moveaxis(as_numpy(image), spec.channel_axis, 0)
        planes = planes.reshape(3, -1, planes.shape[-1]) if planes.ndim > 3 else planes
        levels = planes if spec.integer else _levels(planes, spec)
        if levels is not None:
            return cls._of_levels(*_count(levels))
        colors = (planes.reshape(3, -1).astype(np.float64) - spec.low) / spec.scale
        return cls(np.clip(colors, 0, 1), np.ones(colors.shape[1], np.int64))

    @classmethod
    def _of_levels(cls, levels: np.ndarray, counts: np.ndarray) -> ColorHistogram:
        return cls(None, counts, levels)

    def values(self, space: ColorSpace) -> np.ndarray:
        """The colors in another color space, float64 ``(3, K)``."""
        if self.levels is None:
            return np.asarray(space.from_rgb(self.colors))
        if isinstance(space, CIELab) and native.active():
            return kernels.lab_of_levels(self.levels)
        if hasattr(space, "logarithm"):  # each channel by itself: a table serves
            tables = level_tables(space)
            if native.active():
                return kernels.look_up(self.levels, tables)
            return np.stack([table[level] for table, level in zip(tables, self.levels)])
        return np.asarray(space.from_rgb(self.colors))

    @classmethod
    def pool(cls, histograms: Iterable[ColorHistogram], at_once: int = 16) -> ColorHistogram:
        """Merge a stream of histograms in bounded memory."""
        total, waiting = cls.merge([]), []
        for histogram in histograms:
            waiting.append(histogram)
            if len(waiting) == at_once:
                total, waiting = cls.merge([total, *waiting]), []
        return cls.merge([total, *waiting])

    @classmethod
    def merge(cls, histograms: Iterable[ColorHistogram]) -> ColorHistogram:
        """Pool histograms. Colors on the 8-bit grid are merged; others are kept apart."""
        parts = list(histograms)
        if len(parts) == 1:
            return parts[0]
        counts = np.concatenate([part.counts for part in parts]) if parts else np.zeros(0, np.int64)
        on_grid = [part.levels for part in parts if part.levels is not None]
        if len(on_grid) < len(parts):
            return cls(np.concatenate([part.colors for part in parts], axis=1), counts)
        levels = np.concatenate(on_grid, axis=1) if parts else np.zeros((3, 0), np.uint8)
        codes, inverse = np.unique(_morton(levels), return_inverse=True)
        return cls._of_levels(
            _from_morton(codes), np.bincount(inverse, weights=counts, minlength=codes.size).astype(np.int64)
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """Colors and counts, for a model file."""
        colors = {"colors": self.colors} if self.levels is None else {"levels": self.levels}
        return {**colors, "counts": self.counts}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> ColorHistogram:
        """Rebuild from :meth:`arrays`; KeyError or ValueError for anything else: they come from a file."""
        counts, levels = arrays["counts"], arrays.get("levels")
        colors = arrays["colors"] if levels is None else levels
        if counts.dtype != np.int64 or colors.shape != (3, *counts.shape) or not (counts > 0).all():
            raise ValueError("counted colors are (3, K) with K positive counts")
        if levels is None and colors.dtype == np.float64:
            return cls(np.clip(colors, 0, 1), counts)
        if colors.dtype != np.uint8:
            raise ValueError(f"counted colors are uint8 levels or float64, got {colors.dtype}")
        return cls._of_levels(colors, counts)

    def where(self, mask: np.ndarray) -> ColorHistogram:
        """The colors for which ``mask`` (K,) holds."""
        (chosen,) = np.nonzero(mask)
        if self.levels is not None:
            return ColorHistogram(None, self.counts.take(chosen), self.levels.take(chosen, axis=1))
        return ColorHistogram(self.colors.take(chosen, axis=1), self.counts.take(chosen))


def level_tables(space: ColorSpace) -> np.ndarray:
    """What a space that takes each channel by itself makes of the 256 levels, float64 ``(3, 256)``."""
    return np.asarray(space.from_rgb(_LEVELS))


class PixelHistogram(ColorHistogram):
    """That of one image, counted when it is first asked for: some augmentations want the mean and no more."""

    def __init__(self, image: Image, spec: ImageSpec):
        self._image, self._spec = image, spec

    @property
    def total(self) -> int:
        """Number of pixels."""
        return int(np.prod(self._image.shape)) // 3

    @cached_property
    def _counted(self) -> ColorHistogram:
        return ColorHistogram.of(self._image, self._spec)

    @property
    def counts(self) -> np.ndarray:
        """See :class:`ColorHistogram`."""
        return self._counted.counts

    @property
    def levels(self) -> np.ndarray | None:
        """See :class:`ColorHistogram`."""
        return self._counted.levels

    @cached_property
    def colors(self) -> np.ndarray:
        """See :class:`ColorHistogram`."""
        return self._counted.colors

    @property
    def mean(self) -> float:
        """Mean over pixels and channels, in [0, 1]; 8-bit pixels are added up as they are."""
        planes = np.moveaxis(as_numpy(self._image), self._spec.channel_axis, 0)
        if self._spec.integer and planes.ndim == 3 and planes.size and native.takes(planes):
            return kernels.mean_level(planes) / 255.0
        return super().mean


def _levels(planes: np.ndarray, spec: ImageSpec) -> np.ndarray | None:
    """Float pixels ``(3, ...)`` as uint8 if all of them lie on the 8-bit grid, else None."""
    if planes.ndim == 3 and native.takes(planes):
        return kernels.to_levels(planes, spec.low, spec.scale, ON_GRID)
    exact = planes.astype(np.float64)
    levels = (np.clip(exact, spec.low, spec.high) - spec.low) * (255.0 / spec.scale)
    whole = np.rint(levels)
    return whole.astype(np.uint8) if np.all(np.abs(levels - whole) <= ON_GRID) else None


def _count(levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct colors of uint8 pixels ``(3, ...)``, in Morton order, and their counts."""
    if levels.ndim == 3 and native.takes(levels):
        return kernels.color_counts(levels)
    codes = _morton(levels.reshape(3, -1))
    codes.sort()
    starts = np.flatnonzero(np.diff(codes, prepend=np.uint32(0xFFFFFFFF)))
    return _from_morton(codes[starts]), np.diff(starts, append=codes.size).astype(np.int64)


_SPREAD = np.array([sum((v >> bit & 1) << 3 * bit for bit in range(8)) for v in range(256)], np.uint32)


def _morton(levels: np.ndarray) -> np.ndarray:
    """Interleave the bits of red, green and blue, uint8 ``(3, K)``, from the highest to the lowest."""
    red, green, blue = (_SPREAD[channel] for channel in levels)
    return (red << 2) | (green << 1) | blue


def _from_morton(codes: np.ndarray) -> np.ndarray:
    """The colors ``(3, K)`` of Morton codes."""
    return np.stack([sum((codes >> (3 * bit + shift) & 1) << bit for bit in range(8)) for shift in (2, 1, 0)]).astype(
        np.uint8
    )


def weighted_percentile(values: np.ndarray, counts: np.ndarray, percent: float) -> float:
    """Percentile with linear interpolation of ``values`` repeated ``counts`` times (numpy's "linear" definition)."""
    if native.active():
        return float(kernels.percentiles(values, counts, (percent,))[0])
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(counts[order])
    position = (cumulative[-1] - 1) * (percent / 100)
    lower, upper = (np.searchsorted(cumulative, edge, side="right") for edge in (np.floor(position), np.ceil(position)))
    low, high = values[order[lower]], values[order[upper]]
    return float(low + (high - low) * (position - np.floor(position)))


def weighted_moments(values: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and population standard deviation of each row of ``values`` (C, K)."""
    if native.active() and len(values) == 3:
        mean, second = kernels.moments(values, counts)
        return mean, np.sqrt(np.maximum(np.diag(second), 0.0))
    mean = (values * counts).sum(1) / counts.sum()
    variance = (np.square(values - mean[:, None]) * counts).sum(1) / counts.sum()
    return mean, np.sqrt(variance)
