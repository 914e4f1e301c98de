"""What counts as tissue: the one rule that decides whether a tile is blank."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from stainxform._native import kernels, native
from stainxform.color import Planes, namespace
from stainxform.image.histogram import ColorHistogram
from stainxform.image.layout import Image, ValueRange, as_numpy, check_image, read_planes

__all__ = [
    "BLACK_OD",
    "GLASS_OD",
    "MIN_TISSUE",
    "MIN_TISSUE_PIXELS",
    "TISSUE_OD",
    "is_blank",
    "tissue_fraction",
    "tissue_mask",
    "tissue_planes",
    "tissue_weight",
    "too_little",
]

TISSUE_OD = 0.15
"""A tissue pixel absorbs at least this much (natural-log optical density) in its most absorbing channel: Macenko's
beta, but asked of one channel, so that pale eosin counts."""

GLASS_OD = 0.05
"""Up to this optical density, natural log, a color is glass: maps that keep glass do not move it."""

BLACK_OD = 2.3
"""A pixel that absorbs more than this (a tenth of the light) in every channel is a fold, ink or padding."""

MIN_TISSUE = 0.01
"""A tile with a smaller fraction of tissue is blank."""

MIN_TISSUE_PIXELS = 32
"""Nothing can be estimated from fewer pixels."""


def tissue_planes(planes: Planes) -> Planes:
    """Boolean tissue mask ``(...)`` of RGB planes ``(3, ...)`` in [0, 1]."""
    xp = namespace(planes)
    lightest, darkest = (float(np.exp(-od)) for od in (TISSUE_OD, BLACK_OD))
    lowest = xp.minimum(xp.minimum(planes[0], planes[1]), planes[2])
    highest = xp.maximum(xp.maximum(planes[0], planes[1]), planes[2])
    return (lowest <= lightest) & (highest >= darkest)


def tissue_weight(planes: Planes) -> Planes:
    """0 for glass, 1 for tissue, linear in the largest optical density of a color in between: ``(...)``."""
    xp = namespace(planes)
    darkest = xp.minimum(xp.minimum(planes[0], planes[1]), planes[2])
    density = -xp.log(xp.clip(darkest, 1 / 255, None))
    return xp.clip((density - GLASS_OD) / (TISSUE_OD - GLASS_OD), 0, 1)


def tissue_mask(image: Image, *, value_range: ValueRange | None = None, channel_axis: int | None = None) -> np.ndarray:
    """Tissue mask of an image, bool ``(H, W)`` (or ``(N, H, W)``): neither glass nor black.

    Raises
    ------
    InvalidImageError
        No RGB image.
    """
    spec = check_image(image, value_range, channel_axis)
    return np.asarray(tissue_planes(read_planes(np.moveaxis(as_numpy(image), spec.channel_axis, 0), spec)))


def tissue_fraction(histogram: ColorHistogram) -> float:
    """Fraction of pixels that are tissue; 0 for an empty image."""
    if not histogram.total:
        return 0.0
    return _tissue_pixels(histogram) / histogram.total


def _tissue_pixels(histogram: ColorHistogram) -> int:
    if histogram.levels is None or not native.active():
        return int(histogram.counts[tissue_planes(histogram.colors)].sum())
    return kernels.count_between(histogram.levels, histogram.counts, *_bounds())


@lru_cache(maxsize=1)
def _bounds() -> tuple[int, int]:
    """The rule for 8-bit colors: the smallest of three levels is at most the first, the largest at least the second."""
    ramp = np.arange(256) / 255.0
    light_enough = tissue_planes(np.stack([ramp, np.ones(256), np.ones(256)]))
    dark_enough = tissue_planes(np.stack([ramp, np.zeros(256), np.zeros(256)]))
    return int(np.flatnonzero(light_enough)[-1]), int(np.flatnonzero(dark_enough)[0])


def is_blank(histogram: ColorHistogram, min_tissue: float = MIN_TISSUE) -> bool:
    """Whether a tile holds too little tissue to be normalized."""
    tissue = tissue_fraction(histogram)
    return bool(too_little(tissue, tissue * histogram.total, min_tissue))


def too_little(fraction: Any, pixels: Any, min_tissue: float) -> Any:
    """The rule for blank images: a fraction of tissue below ``min_tissue``, or too few pixels; numbers or tensors."""
    return (fraction < min_tissue) | (pixels < MIN_TISSUE_PIXELS)
