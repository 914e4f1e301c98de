"""Histogram matching: the cumulative histograms of the target."""

from __future__ import annotations

from functools import partial

import makers
import numpy as np

from jobs import Maker

TITLE = "Histogram matching"
SAME = ("scikit-image", "stainx")
LEVELS = 1.0
BATCHES = ("stainxform", "stainx")
NOTES = {"scikit-image": "computes the target's histogram each time", "stainx": "pools the histograms of a batch"}


def implementations(target: np.ndarray, image: np.ndarray) -> dict[str, Maker]:
    """See :mod:`jobs`."""
    return {
        "stainxform": makers.ours("histogram_matching", target, image),
        "stainx": makers.stainx("HistogramMatching", target, image),
        "scikit-image": partial(_skimage, target, image),
    }


def _skimage(target, image):
    from skimage.exposure import match_histograms

    return lambda: match_histograms(image, target, channel_axis=-1)
