"""Small H&E-like images, and the dtypes, layouts and memory in which a user may hold them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from stainxform.image.layout import as_numpy
from stainxform.stains.references import reference_stains

__all__ = [
    "DTYPES",
    "LAYOUTS",
    "STAINS",
    "Stored",
    "blank_image",
    "concentrations",
    "he_image",
    "in_range",
    "memory_layouts",
    "store",
]

STAINS = reference_stains("he")
"""Hematoxylin and eosin, float64 ``(3, 2)`` (Ruifrok and Johnston 2001)."""

LAYOUTS = ("HWC", "CHW", "NHWC", "NCHW", "torch CHW", "torch NCHW")
DTYPES = ("uint8", "float16", "float32", "float64")


def concentrations(seed: int, height: int, width: int, hematoxylin: float = 1.0, eosin: float = 1.0) -> np.ndarray:
    """Random amounts of the two stains, ``(H, W, 2)``, from glass to dark nuclei."""
    rng = np.random.default_rng(seed)
    amounts = np.stack([rng.gamma(1.5, 0.35, (height, width)), rng.gamma(2.0, 0.25, (height, width))], axis=-1)
    return np.asarray(amounts.clip(0, 3) * (hematoxylin, eosin))


def he_image(seed: int = 0, height: int = 24, width: int = 24, **strength: float) -> np.ndarray:
    """H&E-like uint8 ``(H, W, 3)``; every seed has its own, slightly turned stains.

    Pixels have no neighborhood: for tissue with nuclei see :mod:`stainxform.samples`. ``strength``: multipliers
    ``hematoxylin`` and ``eosin``.
    """
    turned = np.abs(STAINS + np.random.default_rng(seed + 1).normal(0, 0.03, (3, 2)))
    levels = 240 * np.exp(-concentrations(seed, height, width, **strength) @ turned.T)
    return np.asarray(np.rint(levels).clip(0, 255).astype(np.uint8))


def blank_image(level: int = 245, height: int = 24, width: int = 24) -> np.ndarray:
    """Glass, uint8 ``(H, W, 3)``."""
    return np.full((height, width, 3), level, np.uint8)


class Stored(NamedTuple):
    """One image (or batch) as a user may hold it, with the keywords that tell a normalizer how."""

    image: Any
    keywords: dict[str, Any]

    @property
    def pixels(self) -> np.ndarray:
        """The values as float64 ``(..., H, W, 3)``."""
        return np.moveaxis(as_numpy(self.image).astype(np.float64), self.axis, -1)

    @property
    def axis(self) -> int:
        """Position of the channels."""
        return int(self.keywords.get("channel_axis", -3 if not isinstance(self.image, np.ndarray) else -1))


def store(pixels: np.ndarray, dtype: str = "uint8", layout: str = "HWC") -> Stored:
    """Put uint8 ``(H, W, 3)`` into a dtype and a layout; floats are in [0, 1]; batches hold it twice, once upside down."""
    image = in_range(pixels, dtype, (0.0, 1.0))
    if "N" in layout:
        image = np.stack([image, image[::-1]])
    if "CHW" in layout:
        image = np.ascontiguousarray(np.moveaxis(image, -1, -3))
    if layout.startswith("torch"):
        import torch

        return Stored(torch.from_numpy(image.copy()), {})
    return Stored(image, {"channel_axis": -3} if "CHW" in layout else {})


def in_range(pixels: np.ndarray, dtype: str, value_range: tuple[float, float]) -> np.ndarray:
    """uint8 pixels in another dtype; floats in ``value_range``."""
    if dtype == "uint8":
        return pixels
    low, high = value_range
    return np.asarray((pixels / 255.0 * (high - low) + low).astype(dtype))


def memory_layouts(array: np.ndarray, *, numpy: bool = True) -> dict[str, np.ndarray]:
    """The same values in other memory layouts; ``numpy`` adds those that torch does not have."""
    wide = np.zeros([2 * side for side in array.shape], array.dtype)
    strided = wide[(slice(None, None, 2),) * array.ndim]
    strided[...] = array
    found = {"contiguous": array, "transposed": np.asfortranarray(array), "strided": strided}
    if numpy:
        backwards = (slice(None, None, -1),) * array.ndim
        frozen = array.copy()
        frozen.setflags(write=False)
        found |= {"negative strides": array[backwards].copy()[backwards], "read-only": frozen}
    return found
