"""How much of a group's difference from its center is stain, to be taken off, and how much is its tissue, to be left."""

from __future__ import annotations

import numpy as np

from stainxform.image.tissue_color import TissueColor
from stainxform.normalizers.transport import monge_map

__all__ = ["UNKNOWN", "center_weight"]

UNKNOWN = 0.5
"""The weight where the target says nothing of how much its own tiles differ."""

_RIDGE = 1e-4


def center_weight(target: TissueColor | None, center: TissueColor) -> float:
    """The part of the center in the map of a group, from how much tiles differ in both centers.

    What differs between tiles of our center may differ between those of the other one: it is their tissue. What differs
    more there, after the map of the whole center, is stain and belongs to the groups.

    Parameters
    ----------
    target : TissueColor or None
        Of our center.
    center : TissueColor
        Of the other center.

    Returns
    -------
    float
        Variance of the tiles' mean optical densities in our center over that in the other one, 1 at most.
    """
    if target is None or target.tile_covariance is None or center.tile_covariance is None:
        return UNKNOWN
    ridge = _RIDGE * np.eye(3)
    step = monge_map(center.pixels.covariance + ridge, target.pixels.covariance + ridge)
    spread = float(np.trace(step @ center.tile_covariance @ step))
    return min(1.0, float(np.trace(target.tile_covariance)) / spread) if spread > 0 else 1.0
