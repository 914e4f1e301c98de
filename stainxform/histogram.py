"""Weighted colors: what every pointwise method estimates from.

An 8-bit image is reduced to its distinct colors and their counts, exactly. Histograms merge, in any order, so a center
or a slide is fitted in bounded memory: map -> sum -> fit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from stainxform.images import Image, ImageSpec, as_numpy, check_image


@dataclass(frozen=True)
class ColorHistogram:
    """Distinct colors with counts.

    Attributes
    ----------
    colors : float64 ``(3, K)`` in [0, 1].
    counts : int64 ``(K,)``, all positive.
    eight_bit : whether every color lies on the 8-bit grid, so that equal colors can be merged.
    """

    colors: np.ndarray
    counts: np.ndarray
    eight_bit: bool = False

    @property
    def total(self) -> int:
        """Number of pixels."""
        return int(self.counts.sum())

    @classmethod
    def of(cls, image: Image, spec: ImageSpec | None = None) -> ColorHistogram:
        """Histogram of one image or batch; uint8 colors are merged exactly, float pixels are kept one by one."""
        spec = spec or check_image(image)
        planes = np.moveaxis(as_numpy(image), spec.channel_axis, 0).reshape(3, -1)
        if not spec.integer:
            colors = (planes.astype(np.float64) - spec.low) / spec.scale
            return cls(np.clip(colors, 0, 1), np.ones(colors.shape[1], np.int64))
        codes = planes[0].astype(np.uint32) << 16
        codes |= planes[1].astype(np.uint32) << 8
        codes |= planes[2]
        codes.sort()
        starts = np.flatnonzero(np.diff(codes, prepend=np.uint32(0xFFFFFFFF)))
        return cls._from_codes(codes[starts], np.diff(starts, append=codes.size).astype(np.int64))

    @classmethod
    def _from_codes(cls, codes: np.ndarray, counts: np.ndarray) -> ColorHistogram:
        return cls(np.stack([codes >> 16, (codes >> 8) & 255, codes & 255]) / 255.0, counts, True)

    @classmethod
    def pool(cls, histograms: Iterable[ColorHistogram], at_once: int = 16) -> ColorHistogram:
        """Merge a stream of histograms in bounded memory."""
        total, waiting = cls(np.zeros((3, 0)), np.zeros(0, np.int64), True), []
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
        colors = np.concatenate([part.colors for part in parts], axis=1) if parts else np.zeros((3, 0))
        counts = np.concatenate([part.counts for part in parts]) if parts else np.zeros(0, np.int64)
        if not all(part.eight_bit for part in parts):
            return cls(colors, counts)
        r, g, b = np.rint(colors * 255).astype(np.uint32)
        codes, inverse = np.unique((r << 16) | (g << 8) | b, return_inverse=True)
        return cls._from_codes(codes, np.bincount(inverse, weights=counts, minlength=codes.size).astype(np.int64))

    def where(self, mask: np.ndarray) -> ColorHistogram:
        """The colors for which ``mask`` (K,) holds."""
        return ColorHistogram(self.colors[:, mask], self.counts[mask], self.eight_bit)


def weighted_percentile(values: np.ndarray, counts: np.ndarray, percent: float) -> float:
    """Percentile with linear interpolation of ``values`` repeated ``counts`` times (numpy's "linear" definition)."""
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(counts[order])
    position = (cumulative[-1] - 1) * (percent / 100)
    lower, upper = (np.searchsorted(cumulative, edge, side="right") for edge in (np.floor(position), np.ceil(position)))
    low, high = values[order[lower]], values[order[upper]]
    return float(low + (high - low) * (position - np.floor(position)))


def weighted_moments(values: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and population standard deviation of each row of ``values`` (C, K)."""
    mean = (values * counts).sum(1) / counts.sum()
    variance = (np.square(values - mean[:, None]) * counts).sum(1) / counts.sum()
    return mean, np.sqrt(variance)
