"""What a network comes down to on another center's tiles: a smooth color map that is fitted to what it makes of them.

StainLUT looks at a pixel's neighborhood, StainGAN at more, so neither has a color map that could be kept. On one center's
tissue most of what they do follows from color, and a polynomial takes it up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from stainxform.image.layout import Image, as_numpy, check_image, read_planes
from stainxform.image.tissue import tissue_planes
from stainxform.io.sources import iterate
from stainxform.maps import ImageMap, PolynomialFit
from stainxform.normalizers.base import Normalizer

__all__ = ["COLORIZED", "distilled"]

COLORIZED = 0.5
"""Of a color that was aligned first, how much the network's color counts; the rest is the aligned color.

In PSNR the best of four weights for two of three pairs of slides in ``docs/results/calibration_scanners.md``.
"""

_AT_ONCE = 64
"""Sums of so many tiles wait before they are merged."""


def distilled(
    normalizer: Normalizer, tiles: Any, align: ImageMap | None = None, weight: float | None = None
) -> PolynomialFit:
    """The fit of a smooth color map to what a normalizer makes of tissue.

    Parameters
    ----------
    normalizer : Normalizer
        Fitted on our center; one map for all tiles where it has one, else one for each.
    tiles : object
        Of the other center: anything that :func:`stainxform.fit_center` takes and that can be read more than once.
    align : ImageMap, optional
        Maps tiles before the normalizer sees them; the fit is to colors after it.
    weight : float, optional
        How much the normalizer's color counts against the aligned one, in optical density, 0 to 1. Default:
        ``COLORIZED`` if there is an ``align``, else 1.

    Returns
    -------
    PolynomialFit
        From aligned color to the mean of aligned and normalized color.

    Raises
    ------
    NotEnoughTissueError
        Every tile is blank.
    """
    aligned = _Aligned(tiles, align)
    if weight is None:
        weight = 1.0 if align is None else COLORIZED
    has_one_map = type(normalizer).map_for_tiles is not Normalizer.map_for_tiles
    normalize: Callable[[Image], Image] = normalizer.map_for_tiles(aligned) if has_one_map else normalizer
    merged, waiting = PolynomialFit.merge([]), []
    for tile in aligned:
        waiting.append(_pairs(tile, normalize(tile)))
        if len(waiting) == _AT_ONCE:
            merged, waiting = PolynomialFit.merge([merged, *waiting]), []
    return PolynomialFit.merge([merged, *waiting]).scaled(weight)


class _Aligned:
    """Tiles after a map, one at a time, each time anew."""

    def __init__(self, tiles: Any, align: ImageMap | None):
        self._tiles, self._align = tiles, align

    def __iter__(self) -> Iterator[Image]:
        tiles = iterate(self._tiles)
        return tiles if self._align is None else map(self._align, tiles)


def _pairs(before: Image, after: Image) -> PolynomialFit:
    """The colors of tissue in a tile, and what became of them."""
    colors, results = (_colors(image) for image in (before, after))
    tissue = tissue_planes(colors)
    return PolynomialFit.of(colors[:, tissue], results[:, tissue])


def _colors(image: Image) -> np.ndarray:
    """RGB ``(3, K)`` in [0, 1] of a tile in numpy."""
    spec = check_image(image)
    return read_planes(np.moveaxis(as_numpy(image), spec.channel_axis, 0), spec).reshape(3, -1)
