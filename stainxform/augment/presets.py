"""Strengths by name, each with its source. The defaults of an augmentation are its "light" preset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_TELLEZ = "Tellez et al., Medical Image Analysis 58, 2019"


@dataclass(frozen=True)
class Preset:
    """Parameters of an augmentation, and where they come from."""

    parameters: Mapping[str, Any]
    source: str


def _symmetric(size: float, *names: str, **fixed: Any) -> dict[str, Any]:
    return dict.fromkeys(names, (-size, size)) | fixed


PRESETS: dict[str, dict[str, Preset]] = {
    "hsv": {
        "light": Preset(_symmetric(0.1, "hue", "saturation"), f"{_TELLEZ}, HSV-light"),
        "strong": Preset(_symmetric(1.0, "hue", "saturation"), f"{_TELLEZ}, HSV-strong"),
    },
    "hed": {
        "light": Preset(_symmetric(0.05, "sigma", "bias", definition="legacy"), f"{_TELLEZ}, HED-light"),
        "strong": Preset(_symmetric(0.2, "sigma", "bias", definition="legacy"), f"{_TELLEZ}, HED-strong"),
    },
    "stain_jitter": {
        "light": Preset(_symmetric(0.05, "sigma", "bias"), f"the range of HED-light, {_TELLEZ}, in this space (ours)"),
        "strong": Preset(_symmetric(0.2, "sigma", "bias"), "StainTools' default, sigma1 = sigma2 = 0.2"),
    },
    "brightness_contrast": {
        "light": Preset(
            {"brightness": (0.825, 1.175), "contrast": (0.75, 1.25)}, f"half the range of {_TELLEZ} (ours)"
        ),
        "strong": Preset({"brightness": (0.65, 1.35), "contrast": (0.5, 1.5)}, _TELLEZ),
    },
    "randstainna": {
        "light": Preset({"spread": 0.7}, "the example of the authors' code: std_hyper = -0.3"),
        "strong": Preset({"spread": 1.0}, "Shen et al., MICCAI 2022: the fitted distribution itself"),
    },
}
"""By name of the augmentation and of the preset. Grayscale and style mixing have no strength to choose."""
