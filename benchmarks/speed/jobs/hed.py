"""HED augmentation: one draw, applied."""

from __future__ import annotations

from functools import partial

import numpy as np

from jobs import Maker

TITLE = "HED augmentation"
SAME = ("scikit-image",)
LEVELS = 1.0
BATCHES = ("stainxform", "stainxform, legacy")
NOTES = {
    "stainxform": "the definition of scikit-image >= 0.19",
    "stainxform, legacy": "the definition of scikit-image <= 0.17, our default",
    "scikit-image": "rgb2hed, scale and shift, hed2rgb",
    "albumentations HEStain": "another definition: two stains, preset vectors",
}

_SIGMA, _BIAS = (0.03, -0.02, 0.04), (0.01, -0.01, 0.005)


def implementations(target: np.ndarray, image: np.ndarray) -> dict[str, Maker]:
    """See :mod:`jobs`."""
    return {
        "stainxform": partial(_ours, image, "current"),
        "stainxform, legacy": partial(_ours, image, "legacy"),
        "scikit-image": partial(_skimage, image),
        "albumentations HEStain": partial(_albumentations, image),
    }


def _ours(image, definition):
    from stainxform.augment import HED

    hed = HED(definition=definition)
    draw = {f"{kind}_{stain}": value for kind, values in (("sigma", _SIGMA), ("bias", _BIAS))
            for stain, value in zip("hed", values)}  # fmt: skip
    return lambda: hed(image, draw)


def _skimage(image):
    from skimage.color import hed2rgb, rgb2hed

    scale, shift = 1 + np.array(_SIGMA), np.array(_BIAS)

    def run():
        rgb = hed2rgb(rgb2hed(image) * scale + shift)
        return np.rint(rgb * 255).astype(np.uint8)

    return run


def _albumentations(image):
    import albumentations

    transform = albumentations.HEStain(method="preset", preset="standard", p=1)
    transform.set_random_seed(0)
    return lambda: transform(image=image)["image"]
