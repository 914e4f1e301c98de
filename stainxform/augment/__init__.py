"""Augmentations: one file, one source each. An augmentation is a distribution of color changes.

>>> from stainxform.augment import HED
>>> hed = HED.preset("light")
>>> draw = hed.sample(np.random.default_rng(0))  # plain floats  # doctest: +SKIP
>>> augmented = hed(image, draw)  # doctest: +SKIP

In training use the transforms of :mod:`stainxform.monai`, :mod:`stainxform.albumentations` or
:mod:`stainxform.torchvision`: ``RandHED`` and so on.
"""

from __future__ import annotations

from stainxform.augment.base import Augmentation, Draw
from stainxform.augment.brightness_contrast import BrightnessContrast
from stainxform.augment.grayscale import StainGrayscale
from stainxform.augment.hed import HED
from stainxform.augment.hsv import HSV
from stainxform.augment.presets import PRESETS, Preset
from stainxform.augment.randstainna import ColorStatistics, RandStainNA
from stainxform.augment.stain_jitter import StainJitter
from stainxform.augment.style import StainStyle

AUGMENTATIONS: dict[str, type[Augmentation]] = {
    kind.name: kind for kind in (BrightnessContrast, HED, HSV, RandStainNA, StainGrayscale, StainJitter, StainStyle)
}
"""All augmentations by name. One entry here, and the contract tests cover it."""

__all__ = [
    "AUGMENTATIONS",
    "HED",
    "HSV",
    "PRESETS",
    "Augmentation",
    "BrightnessContrast",
    "ColorStatistics",
    "Draw",
    "Preset",
    "RandStainNA",
    "StainGrayscale",
    "StainJitter",
    "StainStyle",
]
