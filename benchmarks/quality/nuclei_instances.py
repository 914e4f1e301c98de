"""From masks to nuclei, from nuclei to what a network learns, and back."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import grey_dilation, grey_erosion
from skimage.measure import label
from skimage.segmentation import watershed

SMALLEST, SMALLEST_CORE = 12, 8
"""Smaller nuclei, and cores of them, in pixels, are noise: 3 and 2 square um."""


def parts(mask: np.ndarray, smallest: int = SMALLEST) -> np.ndarray:
    """Connected parts (4 neighbors) of each value of a mask above 0, int32; smaller ones are left out."""
    found = label(mask, connectivity=1)
    areas = np.bincount(found.ravel())
    return np.where(areas[found] < smallest, 0, found).astype(np.int32)


def targets(nuclei: np.ndarray) -> np.ndarray:
    """Inside and rim of nuclei ``(n, H, W)`` as float32 ``(n, 2, H, W)``."""
    rim = grey_dilation(nuclei, (1, 3, 3)) != grey_erosion(nuclei, (1, 3, 3))
    return np.stack([nuclei > 0, rim & (nuclei > 0)], axis=1).astype(np.float32)


def instances(inside: np.ndarray, rim: np.ndarray) -> np.ndarray:
    """Nuclei int32 ``(H, W)`` from probabilities: they grow from what is inside and no rim.

    One without such a core stays whole.
    """
    mask = parts(inside > 0.5) > 0
    found = watershed(-inside, parts(mask & (rim < 0.5), SMALLEST_CORE), mask=mask)
    rest = label(mask & (found == 0), connectivity=1)
    found[rest > 0] = rest[rest > 0] + found.max()
    return found.astype(np.int32)
