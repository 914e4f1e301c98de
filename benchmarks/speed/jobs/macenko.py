"""Macenko: estimate the stains of the image, map it to those of the target."""

from __future__ import annotations

from functools import partial

import makers
import numpy as np

from jobs import Maker

TITLE = "Macenko"
SAME = ("torchstain, numpy", "torchstain, torch", "stainx")
LEVELS = 1.0
BATCHES = ("stainxform", "stainx")
NOTES = {"MONAI": "1.6 swaps hematoxylin and eosin", "tiatoolbox": "StainTools' definition"}


def implementations(target: np.ndarray, image: np.ndarray) -> dict[str, Maker]:
    """See :mod:`jobs`."""
    return {
        "stainxform": makers.ours("macenko", target, image),
        "torchstain, numpy": makers.torchstain("MacenkoNormalizer", "numpy", target, image, stains=False),
        "torchstain, torch": makers.torchstain("MacenkoNormalizer", "torch", target, image, stains=False),
        "stainx": makers.stainx("Macenko", target, image),
        "tiatoolbox": makers.tiatoolbox("macenko", target, image),
        "MONAI": partial(_monai, target, image),
    }


def _monai(target, image):
    from monai.apps.pathology.transforms.stain.array import ExtractHEStains, NormalizeHEStains

    normalize = NormalizeHEStains(target_he=ExtractHEStains()(target))
    return lambda: normalize(image)
