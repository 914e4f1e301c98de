"""Reinhard: match mean and deviation in CIELAB to those of the target."""

from __future__ import annotations

from functools import partial

import makers
import numpy as np

from jobs import Maker

TITLE = "Reinhard"
SAME = ("torchstain, numpy", "torchstain, torch", "stainx")
LEVELS = 1.0
BATCHES = ("stainxform", "stainx")
NOTES = {"tiatoolbox": "8-bit Lab", "StainTools": "8-bit Lab", "stainx": "pools the statistics of a batch"}


def implementations(target: np.ndarray, image: np.ndarray) -> dict[str, Maker]:
    """See :mod:`jobs`."""
    return {
        "stainxform": makers.ours("reinhard", target, image),
        "torchstain, numpy": makers.torchstain("ReinhardNormalizer", "numpy", target, image),
        "torchstain, torch": makers.torchstain("ReinhardNormalizer", "torch", target, image),
        "stainx": makers.stainx("Reinhard", target, image),
        "tiatoolbox": makers.tiatoolbox("reinhard", target, image),
        "StainTools": partial(_staintools, target, image),
    }


def _staintools(target, image):
    import staintools

    normalizer = staintools.ReinhardColorNormalizer()
    normalizer.fit(target)
    return lambda: normalizer.transform(image)
