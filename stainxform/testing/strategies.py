"""Hypothesis strategies of what goes into stain normalization."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from stainxform.color import CIELab
from stainxform.maps import ChannelAffineMap, ColorMap, CurveMap, IdentityMap, StainMatrixMap
from stainxform.maps.lut3d import Lut3DMap
from stainxform.samples import pair
from stainxform.testing.corruptions import PENS, blurred, folded, overexposed, saturated, with_strokes
from stainxform.testing.images import DTYPES, LAYOUTS, STAINS, Stored, he_image, store
from stainxform.testing.slides import pyramid, write_slide

__all__ = [
    "SmallSlide",
    "color_maps",
    "corrupted_images",
    "he_images",
    "odd_images",
    "sides",
    "slides",
    "stain_matrices",
    "stored_images",
]

_SEEDS = st.integers(0, 9999)


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
        kinds: dict[str, Callable[[], Any]] = {
            "noise": lambda: rng.integers(0, 256, shape),
            "flat": lambda: flat,
            "outlier": lambda: flat,
            "few": lambda: rng.integers(0, 256, (3, 3))[rng.integers(0, 3, shape[:2])],
            "gray": lambda: np.repeat(rng.integers(0, 256, (height, width, 1)), 3, axis=-1),
            "one stain": lambda: he_image(seed, height, width, hematoxylin=float(rng.choice([0, 0.01])), eosin=3),
            "saturated": lambda: rng.choice([0, 255], shape),
            "tinted": lambda: np.clip(flat + rng.integers(-1, 2, shape), 0, 255),
        }
        return np.array(kinds[kind](), np.uint8)

    kinds = ["noise", "flat", "outlier", "few", "gray", "one stain", "saturated", "tinted"]
    return st.builds(build, _SEEDS, sides(), sides(), st.sampled_from(kinds))


def stored_images(
    pixels: st.SearchStrategy[np.ndarray] | None = None,
    dtypes: tuple[str, ...] = DTYPES,
    layouts: tuple[str, ...] = LAYOUTS,
) -> st.SearchStrategy[Stored]:
    """H&E-like images in any dtype and layout; those in torch need torch."""
    return st.builds(store, pixels or he_images(), st.sampled_from(dtypes), st.sampled_from(layouts))


def corrupted_images(side: int = 48) -> st.SearchStrategy[np.ndarray]:
    """Synthetic tissue, uint8 ``(side, side, 3)``, with a fault: blur, ink, a fold, clipping, too much light."""

    def build(seed: int, fault: str, amount: float) -> np.ndarray:
        (tile,) = pair(1, side, ("a",), seed)[0]
        faults: dict[str, Callable[[], np.ndarray]] = {
            "blur": lambda: blurred(tile, 0.5 + 4 * amount),
            "fold": lambda: folded(tile, 0.1 + 0.8 * amount),
            "clipped": lambda: saturated(tile, 2 + 8 * amount),
            "overexposed": lambda: overexposed(tile, 1.2 + amount),
        }
        if fault in PENS:
            return with_strokes(tile, PENS[fault], 1 + int(34 * amount))
        return faults[fault]()

    kinds = ["blur", "fold", "clipped", "overexposed", *PENS]
    return st.builds(build, st.integers(0, 99), st.sampled_from(kinds), st.floats(0, 1))


def stain_matrices(spread: float = 0.1) -> st.SearchStrategy[np.ndarray]:
    """Float64 ``(3, 2)``: non-negative unit vectors around hematoxylin and eosin; ``spread``: sd of their components."""

    def build(seed: int) -> np.ndarray:
        turned = np.abs(STAINS + np.random.default_rng(seed).normal(0, spread, (3, 2)))
        return np.asarray(turned / np.linalg.norm(turned, axis=0))

    return st.builds(build, _SEEDS)


def color_maps() -> st.SearchStrategy[ColorMap]:
    """Fixed color maps of several kinds: identity, stain matrix, CIELAB shift and scale, curves, a 3D LUT."""

    def build(seed: int, kind: str) -> ColorMap:
        rng = np.random.default_rng(seed)
        if kind == "stains":
            turned = np.abs(STAINS + rng.normal(0, 0.05, (3, 2)))
            return StainMatrixMap(turned @ np.diag(rng.uniform(0.5, 1.5, 2)) @ np.linalg.pinv(STAINS))
        if kind == "lab":
            return ChannelAffineMap(CIELab(), rng.uniform(0.6, 1.4, 3), rng.uniform(-10, 10, 3))
        if kind == "curves":
            return CurveMap(np.sort(rng.uniform(0, 1, (3, 256)), axis=1))
        if kind == "lut":
            return Lut3DMap(rng.uniform(0, 1, (5, 5, 5, 3)))
        return IdentityMap()

    return st.builds(build, _SEEDS, st.sampled_from(["identity", "stains", "lab", "curves", "lut"]))


@dataclass(frozen=True, eq=False)
class SmallSlide:
    """A slide to be written: H&E-like tissue with glass on the right.

    Attributes
    ----------
    image : ndarray
        uint8 ``(H, W, 3)``, the first level.
    levels : int
        Levels of the pyramid.
    kind : str
        How its tiles are stored, lossless.
    """

    image: np.ndarray
    levels: int
    kind: str

    @property
    def pyramid(self) -> list[np.ndarray]:
        """What its levels hold."""
        return pyramid(self.image, self.levels)

    def write(self, path: Path) -> Path:
        """Write it as a TIFF file."""
        return write_slide(path, self.image, self.kind, self.levels)


def slides(smallest: int = 1, largest: int = 200) -> st.SearchStrategy[SmallSlide]:
    """Small slides; write them in a temporary folder of the example, as fixtures of pytest outlive examples."""

    def build(seed: int, height: int, width: int, levels: int, kind: str) -> SmallSlide:
        image = he_image(seed, height, width)
        image[:, width * 2 // 3 :] = 244
        deepest = max(min(height, width).bit_length(), 1)
        return SmallSlide(image, min(levels, deepest), kind)

    kinds = st.sampled_from(["deflate", "deflate, wide tiles"])
    return st.builds(build, _SEEDS, sides(smallest, largest), sides(smallest, largest), st.integers(1, 4), kinds)
