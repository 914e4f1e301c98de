"""Vahadane: factorize the image into two sparse stains, map it to those of the target."""

from __future__ import annotations

from functools import partial

import makers
import numpy as np

from jobs import Maker

TITLE = "Vahadane"
BATCHES = ("stainxform",)
WRONG = ("tiatoolbox",)
"""Their stain vectors are far from the truth on synthetic tissue."""
NOTES = {"tiatoolbox": "wrong stain vectors", "StainTools": "right vectors; not reproducible"}


def implementations(target: np.ndarray, image: np.ndarray) -> dict[str, Maker]:
    """See :mod:`jobs`."""
    return {
        "stainxform": makers.ours("vahadane", target, image),
        "tiatoolbox": makers.tiatoolbox("vahadane", target, image),
        "StainTools": partial(_staintools, target, image),
    }


def _staintools(target, image):
    import staintools

    normalizer = staintools.StainNormalizer("vahadane")
    normalizer.fit(target)
    return lambda: normalizer.transform(image)
