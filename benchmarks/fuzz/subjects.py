"""What images are tried on: a normalizer of every method, calibrations, augmentations; and tiles to make them from."""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Any

import numpy as np

import stainxform as sx
from stainxform.augment import AUGMENTATIONS, PRESETS, Augmentation, ColorStatistics
from stainxform.samples import pair

NETWORKS = ("colornormnet", "staingan", "stainlut")
"""Methods whose results depend in the last bit on what is computed together."""

_QUICK: dict[str, Any] = {"steps": 2, "device": "cpu", "progress": False}


@lru_cache(maxsize=1)
def tiles() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Tissue at our center and at another one, uint8 ``(96, 96, 3)``."""
    ours, theirs = pair(6, 96, seed=1)
    return list(ours), list(theirs)


def settings(method: str) -> dict[str, Any]:
    """Settings with which a fit takes a moment."""
    return {
        "colornormnet": {"batch": 2, "crop": 32, **_QUICK},
        "staingan": {"source": tiles()[1], "width": 4, "blocks": 1, "crop": 32, "pool": 2, **_QUICK},
        "stainlut": {"bases": 2, "size": 5, "crop": 32, **_QUICK},
        "stainnet": {"teacher": sx.Macenko(), "batch": 64, **_QUICK},
    }.get(method, {})


@lru_cache(maxsize=1)
def normalizers() -> dict[str, sx.Normalizer]:
    """One of every method, and calibrations of some: with groups, of a network, half way."""
    ours, theirs = tiles()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {method: sx.fit_center(ours, method, qc="off", **settings(method)) for method in sx.methods()}
        groups = ["a", "a", "b", "b", "c", "3"]
        made = {
            "transport": {"groups": groups, "keep_groups": True, "keep_colors": True},
            "macenko": {"groups": groups, "keep_groups": True, "center_weight": 0},
            "reinhard": {"strength": 0.5},
            "histogram_matching": {"keep_colors": True},
            "khan": {},
            "colornormnet": {"groups": groups},
            "stainlut": {},
        }
        for method, options in made.items():
            found[f"calibration of {method}"] = found[method].calibrate(theirs, qc="off", **options)
    return found


@lru_cache(maxsize=1)
def augmentations() -> dict[str, Augmentation]:
    """Every augmentation in each of its strengths, and those settings that take another way."""
    ours, theirs = tiles()
    needed = {
        "randstainna": {"model": ColorStatistics.fit([*ours, *theirs])},
        "style": {"models": [sx.Macenko.fit(ours), sx.Reinhard.fit(theirs), sx.Macenko()]},
    }
    found = {}
    for name, kind in AUGMENTATIONS.items():
        own = needed.get(name, {})
        for preset in PRESETS.get(name, {}):
            found[f"{name} {preset}"] = kind.preset(preset, **own)
        if not PRESETS.get(name):
            found[name] = kind(**own)
    found["stain_jitter of given stains"] = AUGMENTATIONS["stain_jitter"](
        stain_matrix="he", sigma=(-1, 1), bias=(-1, 1)
    )
    found["stain_jitter without residual"] = AUGMENTATIONS["stain_jitter"](
        residual=False, tissue_only=False, sigma=(-0.2, 0.2)
    )
    found["style mixed"] = AUGMENTATIONS["style"](interpolate=True, **needed["style"])
    found["randstainna laplace"] = AUGMENTATIONS["randstainna"](
        distribution="laplace", spread=1.0, **needed["randstainna"]
    )
    return found
