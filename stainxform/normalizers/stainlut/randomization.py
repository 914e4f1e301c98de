"""Color jitter before graying, so that StainLUT's network meets the luminance of other scanners."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from stainxform.color import GRAY_WEIGHTS
from stainxform.errors import ParameterError

__all__ = ["ColorRandomization"]


@dataclass(frozen=True)
class ColorRandomization:
    """Jitter applied before graying, so that the network meets other scanners (reconstructed ranges).

    Each setting is the half width of a uniform draw around 1 (brightness, contrast, saturation, gain) or of the
    natural logarithm of the exponent (gamma); 0 turns it off. ``gain`` is drawn for each channel by itself.
    Saturation blends with the luma, so it moves the gray only through clipping or other gray weights.
    """

    brightness: float = 0.1
    contrast: float = 0.1
    saturation: float = 0.1
    gain: float = 0.0
    gamma: float = 0.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 <= value < 1:
                raise ParameterError(f"{name} is a half width from 0 to below 1, got {value}")

    def __call__(self, planes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Jitter float32 planes ``(3, H, W)`` in [0, 1] in a random order of the operations; returns a new array."""
        widths = asdict(self)
        out = planes
        for name in rng.permutation(list(widths)):
            if widths[name]:
                out = np.clip(_JITTERS[name](out, rng, widths[name]), 0, 1, dtype=np.float32)
        return out


def _luma(planes: np.ndarray) -> np.ndarray:
    return np.tensordot(np.array(GRAY_WEIGHTS, np.float32), planes, 1)


def _around_one(rng: np.random.Generator, width: float) -> np.float32:
    return np.float32(rng.uniform(1 - width, 1 + width))


def _contrast(planes: np.ndarray, rng: np.random.Generator, width: float) -> np.ndarray:
    mean = _luma(planes).mean()
    return mean + (planes - mean) * _around_one(rng, width)


def _saturation(planes: np.ndarray, rng: np.random.Generator, width: float) -> np.ndarray:
    luma = _luma(planes)
    return luma + (planes - luma) * _around_one(rng, width)


_JITTERS: dict[str, Any] = {
    "brightness": lambda planes, rng, width: planes * _around_one(rng, width),
    "contrast": _contrast,
    "saturation": _saturation,
    "gain": lambda planes, rng, width: planes * np.float32(rng.uniform(1 - width, 1 + width, (3, 1, 1))),
    "gamma": lambda planes, rng, width: planes ** np.float32(np.exp(rng.uniform(-width, width))),
}
