"""HSV augmentation: one draw, applied."""

from __future__ import annotations

from functools import partial

import numpy as np
from layouts import batch_chw

from jobs import Maker

TITLE = "HSV augmentation"
BATCHES = ("stainxform", "kornia")
NOTES = {
    "OpenCV": "8 bits: hue in 180 steps; cvtColor, LUT, cvtColor",
    "albumentations": "HueSaturationValue, 8 bits; adds to the saturation",
    "kornia": "rgb_to_hsv, hsv_to_rgb in float32",
}

_HUE, _SATURATION = 0.05, -0.08
"""Turns; S (1 + s)."""


def implementations(target: np.ndarray, image: np.ndarray) -> dict[str, Maker]:
    """See :mod:`jobs`."""
    return {
        "stainxform": partial(_ours, image),
        "OpenCV": partial(_opencv, image),
        "albumentations": partial(_albumentations, image),
        "kornia": partial(_kornia, image),
        "torchvision": partial(_torchvision, image),
    }


def _ours(image):
    from stainxform.augment import HSV

    hsv = HSV()
    return lambda: hsv(image, {"hue": _HUE, "saturation": _SATURATION})


def _opencv(image):
    import cv2

    levels = np.arange(256)
    table = np.stack([(levels + round(_HUE * 180)) % 180, np.rint(levels * (1 + _SATURATION)), levels], axis=-1)
    table = table.astype(np.uint8)[None]

    def run():
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
        return cv2.cvtColor(cv2.LUT(hsv, table), cv2.COLOR_HSV2RGB)

    return run


def _albumentations(image):
    import albumentations

    hue, saturation = round(_HUE * 180), round(_SATURATION * 255)
    transform = albumentations.HueSaturationValue((hue, hue), (saturation, saturation), (0, 0), p=1)
    return lambda: transform(image=image)["image"]


def _kornia(image):
    import torch
    from kornia.color import hsv_to_rgb, rgb_to_hsv

    source = batch_chw(image)

    def run():
        hsv = rgb_to_hsv(source / 255)
        hue = (hsv[:, :1] + 2 * np.pi * _HUE) % (2 * np.pi)
        rgb = hsv_to_rgb(torch.cat([hue, hsv[:, 1:2] * (1 + _SATURATION), hsv[:, 2:]], 1))
        return (rgb * 255).round().to(torch.uint8)

    return run


def _torchvision(image):
    from torchvision.transforms.v2 import functional

    source = batch_chw(image)
    return lambda: functional.adjust_saturation(functional.adjust_hue(source, _HUE), 1 + _SATURATION)
