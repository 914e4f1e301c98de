"""How sure a map is, and how far two maps are from each other, on the colors of a center's tissue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from stainxform.errors import NotEnoughTissueError, ParameterError
from stainxform.image.moments import Moments
from stainxform.image.tissue_color import DENSITY
from stainxform.maps import ColorMap
from stainxform.normalizers.calibration.parts import Part

if TYPE_CHECKING:
    from stainxform.normalizers.calibration.normalizer import Calibration

__all__ = ["difference", "tissue_colors", "uncertainty"]

_COLORS = 512


def tissue_colors(pixels: Moments, seed: int = 0) -> np.ndarray:
    """Colors of tissue, float64 ``(3, 512)`` in [0, 1], drawn from a Gaussian of optical density: no pixel is kept."""
    draws = np.random.default_rng(seed).multivariate_normal(
        pixels.mean, pixels.covariance, _COLORS, check_valid="ignore", method="eigh"
    )
    return np.asarray(DENSITY.to_rgb(draws.T).clip(0, 1))


def difference(first: ColorMap, second: ColorMap, colors: np.ndarray) -> float:
    """Mean CIEDE2000 between what two maps make of colors ``(3, K)``; about 1 is just noticeable."""
    from skimage.color import deltaE_ciede2000, rgb2lab

    one, other = (rgb2lab(each.evaluate(colors).clip(0, 1).T) for each in (first, second))
    return float(deltaE_ciede2000(one, other).mean())  # type: ignore[no-untyped-call]


def uncertainty(calibration: Calibration, units: Sequence[Part], resamples: int, seed: int) -> float:
    """Mean difference between the center's map and those of units drawn with replacement."""
    if resamples < 1:
        raise ParameterError(f"resamples must be at least 1, got {resamples}")
    if len(units) < 2:
        raise ParameterError(
            "a bootstrap needs two groups or more; calibrate with groups=, and keep_groups=True if it is loaded from a file"
        )
    rng, colors = np.random.default_rng(seed), tissue_colors(calibration.center.tissue.pixels)
    center, found = calibration.closed_map_of(None), []
    for _ in range(resamples):
        drawn = Part.merge(units[index] for index in rng.integers(len(units), size=len(units)))
        try:
            found.append(difference(calibration.map_from_part(drawn), center, colors))
        except NotEnoughTissueError:
            continue
    if not found:
        raise NotEnoughTissueError("no draw of groups holds enough tissue to make a map from")
    return float(np.mean(found))
