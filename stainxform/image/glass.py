"""The glass of a slide: how bright it is where nothing absorbs."""

from __future__ import annotations

import numpy as np

from stainxform.color import Planes
from stainxform.image.histogram import ColorHistogram, weighted_percentile
from stainxform.image.layout import Image, ValueRange, check_image

__all__ = [
    "DEFAULT_BACKGROUND",
    "MIN_WHITE_PIXELS",
    "WHITE",
    "background_intensity",
    "background_of",
    "white_fraction",
    "white_levels",
    "white_planes",
]

WHITE = 220
"""A pixel is white if every channel is above this level (Ramakrishnan et al. 2019, published code)."""

MIN_WHITE_PIXELS = 100
"""Fewer white pixels say nothing about the glass."""

DEFAULT_BACKGROUND = 255.0
"""Level of the glass where there is none to be seen: that of an ideal scanner, as in the published code."""


def white_planes(planes: Planes) -> Planes:
    """Boolean mask ``(...)`` of the white among RGB planes ``(3, ...)`` in [0, 1]."""
    red, green, blue = (plane > WHITE / 255.0 for plane in planes)
    return red & green & blue


def white_fraction(histogram: ColorHistogram) -> float:
    """Fraction of pixels that are white; 0 for an empty image."""
    white = int(histogram.counts[white_planes(histogram.colors)].sum())
    return white / max(histogram.total, 1)


def background_intensity(
    image: Image,
    *,
    percent: float = 90.0,
    value_range: ValueRange | None = None,
    channel_axis: int | None = None,
) -> np.ndarray:
    """Intensity Io of the background of an image or a batch, per channel.

    Parameters
    ----------
    image : ndarray or Tensor
        numpy ``(H, W, 3)`` or ``(N, H, W, 3)``, or torch ``(..., 3, H, W)``; uint8 or float.
    percent : float, optional
        Percentile of the white pixels (all channels above 220), in percent.
    value_range : (float, float), optional
        As for every image.
    channel_axis : int, optional
        As for every image.

    Returns
    -------
    ndarray
        float64 ``(3,)``, in levels of 0..255; 255 where fewer than 100 pixels are white.

    Raises
    ------
    InvalidImageError
        No RGB image.

    Notes
    -----
    Ramakrishnan, Anand and Sethi, "Fast GPU-enabled color normalization for digital pathology", arXiv 1901.03088, 2019.
    """
    histogram = ColorHistogram.of(image, check_image(image, value_range, channel_axis))
    return background_of(white_levels(histogram), percent)


def white_levels(histogram: ColorHistogram) -> np.ndarray:
    """How many white pixels have each level, int64 ``(3, 256)``; floats are rounded to levels. Adds up over images."""
    white = histogram.where(white_planes(histogram.colors))
    levels = np.rint(white.colors * 255).astype(np.intp)
    return np.stack([np.bincount(channel, white.counts, 256) for channel in levels]).astype(np.int64)


def background_of(levels: np.ndarray, percent: float = 90.0) -> np.ndarray:
    """:func:`background_intensity` from the counts of :func:`white_levels`, of one image or the sum of many."""
    if levels[0].sum() < MIN_WHITE_PIXELS:
        return np.full(3, DEFAULT_BACKGROUND)
    return np.array([weighted_percentile(np.arange(256), channel, percent) for channel in levels])
