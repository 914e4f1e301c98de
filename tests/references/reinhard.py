"""Reinhard et al. 2001, in CIELAB or l-alpha-beta. Images are ``(H, W, 3)`` in 0..255."""

import numpy as np

from references import color

SPACES = {
    "cielab": (color.cielab_from_rgb, color.rgb_from_cielab),
    "ruderman": (color.lalphabeta_from_rgb, color.rgb_from_lalphabeta),
}


def statistics(image, space="cielab", tissue_only=False):
    """Mean and standard deviation of each channel over the pixels of the image."""
    pixels = np.asarray(image, np.float64).reshape(-1, 3) / 255
    if tissue_only:
        pixels = np.array([pixel for pixel in pixels if is_tissue(pixel)])
    values = SPACES[space][0](pixels)
    return values.mean(axis=0), values.std(axis=0)


def is_tissue(pixel):
    """Some channel absorbs at least OD .15, and not every channel more than OD 2.3 (natural logarithms)."""
    return pixel.min() <= np.exp(-0.15) and pixel.max() >= np.exp(-2.3)


def normalize(image, target_mean, target_std, space="cielab", tissue_only=False):
    """Eq. 10 and 11 in every channel; float64 in 0..255, not yet rounded."""
    mean, std = statistics(image, space, tissue_only)
    from_rgb, to_rgb = SPACES[space]
    values = from_rgb(np.asarray(image, np.float64) / 255)
    return np.clip(to_rgb((values - mean) / std * target_std + target_mean), 0, 1) * 255
