"""Histogram matching on sorted pixels. Images are uint8 ``(H, W, 3)``."""

import numpy as np


def normalize(image, target):
    """Every level goes to the target's level of the same rank, interpolated; float64 in 0..255, not yet rounded."""
    result = np.empty(image.shape)
    for channel in range(3):
        source, goal = np.sort(image[..., channel].ravel()), np.sort(target[..., channel].ravel())
        levels = np.unique(goal)
        ranks = np.array([(goal <= level).mean() for level in levels])
        for level in np.unique(source):
            value = np.interp((source <= level).mean(), ranks, levels)
            result[..., channel][image[..., channel] == level] = value
    return result
