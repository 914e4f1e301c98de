"""Roy et al. 2021, in CIELAB or l-alpha-beta. Images are ``(H, W, 3)`` in 0..255."""

import numpy as np

from references.reinhard import SPACES, statistics


def normalize(image, target_mean, target_std, space="cielab", tissue_only=False):
    """Channel by channel; float64 in 0..255, not yet rounded."""
    mean, std = statistics(image, space, tissue_only)
    from_rgb, to_rgb = SPACES[space]
    lightness, a, b = np.moveaxis(from_rgb(np.asarray(image, np.float64) / 255), -1, 0)
    q = (target_std[0] - std[0]) / target_std[0] if target_std[0] > 0 else -1
    if q <= 0:
        q = 0.05
    lightness = mean[0] + (lightness - mean[0]) * (1 + q)
    a = a - mean[1] + target_mean[1]
    b = b - mean[2] + target_mean[2]
    return np.clip(to_rgb(np.stack([lightness, a, b], -1)), 0, 1) * 255
