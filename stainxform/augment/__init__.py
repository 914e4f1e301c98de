"""Augmentations: one file, one source each. An augmentation is a distribution of color changes.

>>> from stainxform.augment import HED
>>> hed = HED.preset("light")
>>> draw = hed.sample(np.random.default_rng(0))  # plain floats  # doctest: +SKIP
>>> augmented = hed(image, draw)  # doctest: +SKIP

In training use the transforms of :mod:`stainxform.monai`, :mod:`stainxform.albumentations` or
:mod:`stainxform.torchvision`: ``RandHED`` and so on.
"""

from __future__ import annotations

from stainxform.augment.base import Augmentation, Draw, Interval, Rng
from stainxform.augment.brightness_contrast import BrightnessContrast
from stainxform.augment.grayscale import StainGrayscale
from stainxform.augment.hed import HED
from stainxform.augment.hsv import HSV
from stainxform.augment.presets import Preset
from stainxform.augment.randstainna import ColorStatistics, RandStainNA
from stainxform.augment.registry import AUGMENTATIONS, PRESETS, register
from stainxform.augment.stain_jitter import StainJitter
from stainxform.augment.style import StainStyle

__all__ = [
    "AUGMENTATIONS",
    "HED",
    "HSV",
    "PRESETS",
    "Augmentation",
    "BrightnessContrast",
    "ColorStatistics",
    "Draw",
    "Interval",
    "Preset",
    "RandStainNA",
    "Rng",
    "StainGrayscale",
    "StainJitter",
    "StainStyle",
    "register",
]

for _kind in (BrightnessContrast, HED, HSV, RandStainNA, StainGrayscale, StainJitter, StainStyle):
    register(_kind)
