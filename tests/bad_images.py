"""Images that break stain normalization elsewhere: uint8 ``(H, W, 3)``, by the name that docs/bad_input.md gives them."""

from __future__ import annotations

import numpy as np

from stainxform.samples import pair

PENS = {"green pen": (0, 160, 70), "blue pen": (20, 40, 200), "black pen": (12, 12, 14)}
"""Saturated marker colors."""

SIDE = 64


def bad_images() -> dict[str, np.ndarray]:
    """All of them, made anew."""
    (tissue,) = pair(1, SIDE, seed=3)[1]
    images = {name: np.full((SIDE, SIDE, 3), level, np.uint8) for name, level in (("white", 255), ("black", 0))}
    images["one color"] = np.full((SIDE, SIDE, 3), (190, 110, 170), np.uint8)
    images["one stain"] = one_stain()
    images |= {name: with_strokes(tissue, color) for name, color in PENS.items()}
    images["clipped"] = np.clip((tissue.astype(int) - 128) * 6 + 128, 0, 255).astype(np.uint8)
    images["1 x 1"] = np.full((1, 1, 3), (150, 80, 160), np.uint8)
    images["5 tissue pixels"] = np.full((SIDE, SIDE, 3), 255, np.uint8)
    images["5 tissue pixels"][30, 10:15] = tissue.reshape(-1, 3)[tissue.reshape(-1, 3).sum(1).argsort()[100:600:100]]
    return images


def one_stain() -> np.ndarray:
    """Hematoxylin alone, as much of it as levels from light to dark, and nothing else."""
    amounts = np.linspace(0, 1.5, SIDE * SIDE).reshape(SIDE, SIDE, 1)
    return np.rint(255 * np.exp(-amounts * (0.65, 0.70, 0.29))).astype(np.uint8)


def with_strokes(tissue: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    """Three opaque diagonal strokes across a tile: a third of its pixels."""
    rows, columns = np.indices(tissue.shape[:2])
    return np.where(((rows + columns) % 36 < 12)[..., None], np.uint8(color), tissue)
