"""Augmentations from their sources, in float64. Images are ``(H, W, 3)`` in 0..1; results are not yet rounded."""

import numpy as np
from skimage import color

HED = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
"""Rows hematoxylin, eosin, DAB: ``rgb_from_hed`` of every scikit-image."""


def hsv(image, hue, saturation):
    """Hue turns; saturation shrinks towards gray, or grows by what room there is."""
    h, s, v = np.moveaxis(color.rgb2hsv(image), -1, 0)
    s = s * (1 + saturation) if saturation < 0 else s * (1 + (1 - s) * saturation)
    return color.hsv2rgb(np.stack([(h + hue) % 1, s, v], -1))


def hed_legacy(image, sigma, bias):
    """``separate_stains`` and ``combine_stains`` of scikit-image 0.17."""
    stains = -np.log(image + 2) @ np.linalg.inv(HED)
    stains = stains * (1 + np.array(sigma)) + bias
    return np.clip(np.exp(-stains @ HED) - 2, 0, 1)


def hed_current(image, sigma, bias):
    """scikit-image's own functions, of the version that is installed."""
    return color.hed2rgb(color.rgb2hed(image) * (1 + np.array(sigma)) + bias)


def stain_jitter(image, stains, sigma, bias, residual, tissue_only):
    """Least-squares concentrations of two stains, scaled and shifted; Io = 240, one level added and taken away."""
    od = -np.log((image.reshape(-1, 3) * 255 + 1) / 240).T
    amounts = np.linalg.lstsq(stains, od, rcond=None)[0]
    rest = od - stains @ amounts if residual else 0
    changed = stains @ (amounts * (1 + np.array(sigma))[:, None] + np.array(bias)[:, None]) + rest
    result = np.clip((240 * np.exp(-changed) - 1) / 255, 0, 1).T.reshape(image.shape)
    if not tissue_only:
        return result
    tissue = (image.min(-1) <= np.exp(-0.15)) & (image.max(-1) >= np.exp(-2.3))
    return np.where(tissue[..., None], result, image)


def brightness_contrast(image, brightness, contrast):
    """Pillow's ImageEnhance without its rounding."""
    lit = np.minimum(image * brightness, 1)
    mean = (lit @ [0.299, 0.587, 0.114]).mean()
    return np.clip(mean + contrast * (lit - mean), 0, 1)
