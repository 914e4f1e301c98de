"""Histogram matching: a baseline that knows nothing of stains.

Gonzalez and Woods, "Digital Image Processing", section 3.3 ("histogram specification"); the definition of
``skimage.exposure.match_histograms``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from stainxform._native import kernels, native
from stainxform.errors import NotEnoughTissueError, ParameterError
from stainxform.image.histogram import ColorHistogram
from stainxform.io.settings import Settings
from stainxform.maps import CurveMap
from stainxform.normalizers.base import PointwiseNormalizer, fitted

__all__ = ["LEVELS", "HistogramMatching", "cumulative_histogram"]

LEVELS = np.arange(256) / 255.0
"""Values of the 256 bins."""


@dataclass(frozen=True, eq=False, kw_only=True)
class HistogramMatching(PointwiseNormalizer):
    """Give each RGB channel the cumulative histogram of the target.

    Parameters
    ----------
    cumulative : ndarray, optional
        float64 ``(3, 256)``, the fraction of the target's pixels at or below each 8-bit level; each row rises to 1.
    """

    cumulative: np.ndarray = fitted(3, 256)

    method: ClassVar[str] = "histogram_matching"

    def __post_init__(self) -> None:
        super().__post_init__()
        rising = (np.diff(self.cumulative, prepend=0.0) >= 0).all()
        if not (rising and (self.cumulative[:, -1] == 1).all()):
            raise ParameterError("cumulative must rise from 0 or more to 1 in every channel")

    @classmethod
    def fit_histogram(cls, histogram: ColorHistogram, settings: Settings) -> Self:
        """Fit on pooled pixels.

        Raises
        ------
        NotEnoughTissueError
            There is none.
        """
        return cls(cumulative=cumulative_histogram(histogram))

    def color_map(self, histogram: ColorHistogram) -> CurveMap:
        """Each level goes to the level at which the target's cumulative histogram is the same, interpolated."""
        curves = []
        for source, target in zip(cumulative_histogram(histogram), self.cumulative):
            present = np.diff(target, prepend=0.0) > 0
            curves.append(np.interp(source, target[present], LEVELS[present]))
        return CurveMap(np.stack(curves))


def cumulative_histogram(histogram: ColorHistogram) -> np.ndarray:
    """Fraction of pixels at or below each 8-bit level, float64 ``(3, 256)``; float colors count as the nearest level.

    Raises
    ------
    NotEnoughTissueError
        There is no pixel.
    """
    if not histogram.total:
        raise NotEnoughTissueError("there is no pixel to take a histogram of")
    levels = np.rint(histogram.colors * 255).astype(np.uint8) if histogram.levels is None else histogram.levels
    if native.active():
        counts = kernels.channel_counts(levels, histogram.counts)
    else:
        counts = np.stack([np.bincount(channel, histogram.counts, minlength=256) for channel in levels])
    return np.cumsum(counts, axis=1) / histogram.total
