"""Every augmentation that the tests iterate over. One that is registered is covered with no new line, unless it needs
something fitted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import stainxform as sx
from stainxform.augment import AUGMENTATIONS, PRESETS, Augmentation, ColorStatistics

FITTED: dict[str, Callable[[Any, Any], Any]] = {
    "model": lambda ours, theirs: ColorStatistics.fit([*ours, *theirs]),
    "models": lambda ours, theirs: [sx.Macenko.fit(ours), sx.Reinhard.fit(theirs), sx.Macenko()],
}
"""Fields without a default: made from the tiles of two centers."""

VARIANTS: dict[str, list[dict[str, Any]]] = {
    "hed": [{"definition": "current", "sigma": (-0.2, 0.2), "bias": (-0.01, 0.01)}],
    "stain_jitter": [
        {"sigma": (-0.2, 0.2), "residual": False, "tissue_only": False},
        {"stain_matrix": [[0.65, 0.07], [0.70, 0.99], [0.29, 0.11]]},
    ],
    "randstainna": [{"distribution": "laplace", "spread": 1.0}],
    "style": [{"interpolate": True}],
}
"""Settings that take another way through the code. The defaults are those of the preset "light"."""

CASES = [
    (name, str(settings), settings)
    for name in AUGMENTATIONS
    for settings in [{}, *({"preset": p} for p in PRESETS.get(name, {}) if p != "light"), *VARIANTS.get(name, [])]
]


def fitted(name: str, ours: Any, theirs: Any) -> dict[str, Any]:
    """What the augmentation needs besides settings."""
    needed = [f.name for f in dataclasses.fields(AUGMENTATIONS[name]) if f.init and f.default is dataclasses.MISSING]
    return {field: FITTED[field](ours, theirs) for field in needed}


def make(name: str, settings: dict[str, Any], ours: Any, theirs: Any) -> Augmentation:
    """One case."""
    kind, arguments = AUGMENTATIONS[name], fitted(name, ours, theirs) | settings
    return kind.preset(arguments.pop("preset"), **arguments) if "preset" in settings else kind(**arguments)
