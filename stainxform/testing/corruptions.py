"""Faults of real tiles, painted onto good ones: blur, ink, folds, clipping, and images without tissue.

Functions take and return uint8 ``(H, W, 3)``; the input is not changed.
"""

from __future__ import annotations

import numpy as np

from stainxform.color import STAINTOOLS_DENSITY
from stainxform.samples import pair

__all__ = [
    "PENS",
    "SIDE",
    "blurred",
    "corrupted_tiles",
    "folded",
    "one_stain",
    "overexposed",
    "saturated",
    "with_strokes",
]

PENS = {"green pen": (0, 160, 70), "blue pen": (20, 40, 200), "black pen": (12, 12, 14)}
"""Saturated marker colors."""

SIDE = 64


def blurred(tile: np.ndarray, sigma: float) -> np.ndarray:
    """Out of focus: a Gaussian of ``sigma`` pixels."""
    from scipy.ndimage import gaussian_filter

    return _levels(gaussian_filter(tile.astype(np.float64), (sigma, sigma, 0), mode="nearest"))


def with_strokes(tile: np.ndarray, color: tuple[int, int, int], width: int = 12) -> np.ndarray:
    """Opaque diagonal strokes, ``width`` pixels wide in rows, 36 apart: by default a third of the pixels."""
    rows, columns = np.indices(tile.shape[:2])
    ink = np.asarray((rows + columns) % 36 < width)
    return np.where(ink[:, :, None], np.array(color, np.uint8), tile)


def folded(tile: np.ndarray, share: float = 0.3, layers: int = 3) -> np.ndarray:
    """A vertical band, ``share`` of the tile, where the tissue lies in several layers: densities add up."""
    width = max(round(tile.shape[1] * share), 1)
    left = (tile.shape[1] - width) // 2
    band = np.clip(tile[:, left : left + width] / 255.0, 1 / 255, 1)
    result = tile.copy()
    result[:, left : left + width] = _levels(255 * np.exp(-layers * STAINTOOLS_DENSITY.from_rgb(band)))
    return result


def saturated(tile: np.ndarray, contrast: float = 6.0) -> np.ndarray:
    """Contrast raised until most values are 0 or 255."""
    return _levels((tile.astype(np.float64) - 128) * contrast + 128)


def overexposed(tile: np.ndarray, gain: float = 1.8) -> np.ndarray:
    """Too much light: bright values are cut off at 255."""
    return _levels(tile * gain)


def one_stain(side: int = SIDE) -> np.ndarray:
    """Hematoxylin alone, as much of it as levels from light to dark, and nothing else."""
    amounts = np.linspace(0, 1.5, side * side).reshape(side, side, 1)
    return _levels(255 * np.exp(-amounts * (0.65, 0.70, 0.29)))


def corrupted_tiles() -> dict[str, np.ndarray]:
    """Images that break stain normalization elsewhere, by the names of docs/bad_input.md; made anew at every call."""
    (tissue,) = pair(1, SIDE, seed=3)[1]
    images = {name: np.full((SIDE, SIDE, 3), level, np.uint8) for name, level in (("white", 255), ("black", 0))}
    images["one color"] = np.full((SIDE, SIDE, 3), (190, 110, 170), np.uint8)
    images["one stain"] = one_stain()
    images |= {name: with_strokes(tissue, color) for name, color in PENS.items()}
    images["clipped"] = saturated(tissue)
    images["1 x 1"] = np.full((1, 1, 3), (150, 80, 160), np.uint8)
    images["5 tissue pixels"] = np.full((SIDE, SIDE, 3), 255, np.uint8)
    images["5 tissue pixels"][30, 10:15] = tissue.reshape(-1, 3)[tissue.reshape(-1, 3).sum(1).argsort()[100:600:100]]
    return images


def _levels(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.rint(values).clip(0, 255).astype(np.uint8))
