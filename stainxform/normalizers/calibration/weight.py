"""How far to trust a group: what sets it apart from its center may be stain, to be taken off, or tissue, to be left."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from stainxform.image.moments import Moments
from stainxform.image.tissue_color import TissueColor

__all__ = ["EVEN", "POWER", "center_weight", "separation"]

EVEN = 0.5
"""Separation of groups at which a map is made for group and center in equal parts."""

POWER = 4
"""How sharply the weight turns from the center to the group."""

_NOISE = 0.005**2
"""Variance of optical density that an image of one color has."""


def separation(groups: Iterable[TissueColor]) -> float:
    """How far groups are apart, in units of the spread of colors within them.

    Tissue makes groups differ along the stains, where colors within a group are spread, too; another stain, another
    thickness or another scanner makes them differ in any direction.

    Parameters
    ----------
    groups : iterable of TissueColor
        One for each group.

    Returns
    -------
    float
        A third of tr(W^-1 B): W the mean covariance of pixels within groups, B the covariance of the groups' means, of
        the optical density of tissue. 0 if there are fewer than two groups.
    """
    found = [group.pixels for group in groups if group.pixels.count]
    if len(found) < 2:
        return 0.0
    within = Moments.merge(Moments(part.count, np.zeros(3), part.covariance) for part in found).covariance
    means = Moments.merge(Moments(1, part.mean, np.zeros((3, 3))) for part in found)
    between = means.covariance * (len(found) / (len(found) - 1))
    return float(np.trace(np.linalg.solve(within + _NOISE * np.eye(3), between))) / 3


def center_weight(groups: Iterable[TissueColor]) -> float:
    """The part of the center in the map of a group, from how far groups are apart.

    Parameters
    ----------
    groups : iterable of TissueColor
        One for each group.

    Returns
    -------
    float
        1 / (1 + (separation / EVEN)^POWER): near 1 for slides of one lab, near 0 for slides of many.

    Notes
    -----
    Ours: two constants, chosen on *Nuclei across data sets* and checked on *Two scanners*, see the results.
    """
    return 1 / (1 + (separation(groups) / EVEN) ** POWER)
