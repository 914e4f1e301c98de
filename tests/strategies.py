"""Hypothesis strategies and generators of small H&E-like images."""

from typing import Any, NamedTuple

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

laws = settings(max_examples=30, deadline=None)
"""Few examples, no deadline: CI machines are slow and shared."""

STAINS = np.array([[0.65, 0.07], [0.70, 0.99], [0.29, 0.11]]) / np.linalg.norm(
    [[0.65, 0.07], [0.70, 0.99], [0.29, 0.11]], axis=0
)
"""Hematoxylin and eosin (Ruifrok and Johnston 2001)."""

LAYOUTS = ("HWC", "CHW", "NHWC", "NCHW", "torch CHW", "torch NCHW")
DTYPES = ("uint8", "float16", "float32", "float64")


def concentrations(seed: int, height: int, width: int, hematoxylin: float = 1.0, eosin: float = 1.0) -> np.ndarray:
    """Random amounts of the two stains, ``(H, W, 2)``, from glass to dark nuclei."""
    rng = np.random.default_rng(seed)
    amounts = np.stack([rng.gamma(1.5, 0.35, (height, width)), rng.gamma(2.0, 0.25, (height, width))], axis=-1)
    return amounts.clip(0, 3) * (hematoxylin, eosin)


def he_image(seed: int = 0, height: int = 24, width: int = 24, **strength: float) -> np.ndarray:
    """H&E-like uint8 ``(H, W, 3)``; every seed has its own, slightly turned stains."""
    turned = np.abs(STAINS + np.random.default_rng(seed + 1).normal(0, 0.03, (3, 2)))
    levels = 240 * np.exp(-concentrations(seed, height, width, **strength) @ turned.T)
    return np.rint(levels).clip(0, 255).astype(np.uint8)


def blank_image(level: int = 245, height: int = 24, width: int = 24) -> np.ndarray:
    """Glass, uint8 ``(H, W, 3)``."""
    return np.full((height, width, 3), level, np.uint8)


class Stored(NamedTuple):
    """One image (or batch) as a user may hold it, with the keywords that say how."""

    image: Any
    keywords: dict[str, Any]

    @property
    def pixels(self) -> np.ndarray:
        """The values as float64 ``(..., H, W, 3)``."""
        values = np.asarray(self.image, np.float64)
        return np.moveaxis(values, self.axis, -1)

    @property
    def axis(self) -> int:
        """Position of the channels."""
        return self.keywords.get("channel_axis", -3 if not isinstance(self.image, np.ndarray) else -1)


def store(pixels: np.ndarray, dtype: str = "uint8", layout: str = "HWC") -> Stored:
    """Put uint8 ``(H, W, 3)`` into a dtype and a layout; floats are in [0, 1]; batches hold it twice."""
    image = pixels if dtype == "uint8" else (pixels / 255).astype(dtype)
    if "N" in layout:
        image = np.stack([image, image[::-1]])
    if "CHW" in layout:
        image = np.ascontiguousarray(np.moveaxis(image, -1, -3))
    if layout.startswith("torch"):
        import torch

        return Stored(torch.from_numpy(image), {})
    return Stored(image, {"channel_axis": -3} if "CHW" in layout else {})


def sides(smallest: int = 1, largest: int = 40) -> st.SearchStrategy[int]:
    """Heights and widths."""
    return st.integers(smallest, largest)


def he_images(smallest: int = 1, largest: int = 40) -> st.SearchStrategy[np.ndarray]:
    """H&E-like uint8 ``(H, W, 3)``."""
    return st.builds(he_image, st.integers(0, 999), sides(smallest, largest), sides(smallest, largest))


def odd_images() -> st.SearchStrategy[np.ndarray]:
    """uint8 ``(H, W, 3)`` that no stain model expects: noise, flat, few colors, gray, one stain, saturated, outliers."""

    def build(seed: int, height: int, width: int, kind: str) -> np.ndarray:
        rng = np.random.default_rng(seed)
        shape = (height, width, 3)
        flat = np.broadcast_to(rng.integers(0, 256, 3), shape)
        if kind == "outlier":
            flat = flat.copy()
            flat[rng.integers(height), rng.integers(width)] = rng.integers(0, 256, 3)
        image = {
            "noise": lambda: rng.integers(0, 256, shape),
            "flat": lambda: flat,
            "outlier": lambda: flat,
            "few": lambda: rng.integers(0, 256, (3, 3))[rng.integers(0, 3, shape[:2])],
            "gray": lambda: np.repeat(rng.integers(0, 256, (height, width, 1)), 3, axis=-1),
            "one stain": lambda: he_image(seed, height, width, hematoxylin=float(rng.choice([0, 0.01])), eosin=3),
            "saturated": lambda: rng.choice([0, 255], shape),
            "tinted": lambda: np.clip(flat + rng.integers(-1, 2, shape), 0, 255),
        }[kind]()
        return np.array(image, np.uint8)

    kinds = ["noise", "flat", "outlier", "few", "gray", "one stain", "saturated", "tinted"]
    return st.builds(build, st.integers(0, 9999), sides(), sides(), st.sampled_from(kinds))


def stored_images(pixels: st.SearchStrategy[np.ndarray] | None = None) -> st.SearchStrategy[Stored]:
    """H&E-like images in any dtype and layout."""
    return st.builds(store, pixels or he_images(), st.sampled_from(DTYPES), st.sampled_from(LAYOUTS))
