"""How tissue is laid out: collagen fibers, glands and fat, epithelium and stroma."""

from __future__ import annotations

import numpy as np

from stainxform.samples.fields import Floats, distance_to, ramp, rotate, scatter, smooth_noise, threshold, window_around

__all__ = ["epithelium_of", "fiber_coordinates", "holes", "strands_of"]


def fiber_coordinates(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Floats, Floats]:
    """Coordinates across and along wavy collagen fibers, in pixels from 0."""
    angle = rng.uniform(0, np.pi)
    y, x = np.arange(shape[0], dtype=np.float32)[:, None], np.arange(shape[1], dtype=np.float32)
    sine, cosine = np.float32(np.sin(angle)), np.float32(np.cos(angle))
    across = (
        y * cosine
        + x * sine
        + 22 * smooth_noise(rng, shape, 60)
        + 4 * smooth_noise(rng, shape, 22)
        + smooth_noise(rng, shape, 8)
    )
    along = x * cosine - y * sine
    return across - across.min(), along - along.min()


def strands_of(rng: np.random.Generator, across: Floats, along: Floats) -> Floats:
    """Noise stretched along the fibers, of mean 0 and variance about 1: thin strands in thicker bundles."""
    from scipy.ndimage import map_coordinates

    texture = smooth_noise(rng, (int(across.max()) + 2, int(along.max() / 14) + 2), 2)
    thin = map_coordinates(texture, np.stack([across, along / 14]), order=1, mode="nearest")
    thick = map_coordinates(texture, np.stack([across / 3.5, along / 40]), order=1, mode="nearest")
    strands: Floats = np.float32(0.8) * thin + np.float32(0.6) * thick
    return strands


def holes(rng: np.random.Generator, background: float, strands: Floats) -> tuple[Floats, Floats, Floats]:
    """Where the glass shows: gland lumens, fat and tears.

    Returns
    -------
    depth
        Positive in tissue, negative on glass; about 1 in tissue that is well away from glass.
    glass_distance, gland_distance
        Distances from the nearest glass, and from the nearest gland lumen, in pixels.
    """
    shape = strands.shape
    openness = np.zeros(shape, np.float32)
    is_gland = np.zeros(shape, bool)
    gland_share = rng.uniform(0.3, 1)
    for y, x in scatter(rng, shape, 1 / 130**2):
        gland = rng.random() < gland_share
        radius, squeeze = (rng.uniform(15, 36), rng.uniform(0.5, 1)) if gland else (rng.uniform(40, 80), 0.9)
        angle = rng.uniform(0, np.pi)
        window, rows, columns = window_around(shape, y, x, 2.5 * radius)
        u, v = rotate(rows, columns, angle)
        bump = np.exp(-((u * u + (v / np.float32(squeeze)) ** 2) / np.float32(radius**2)))
        is_gland[window] = np.where(bump > openness[window], gland, is_gland[window])
        np.maximum(openness[window], bump, out=openness[window])
    rough = 0.26 * smooth_noise(rng, shape, 75) + 0.05 * smooth_noise(rng, shape, 14) + 0.02 * strands
    openness += (1 - 0.7 * openness) * rough
    depth = (threshold(openness, background) - openness) / np.float32(0.25)

    glass = depth < 0
    return depth, distance_to(glass), distance_to(glass & is_gland)


def epithelium_of(rng: np.random.Generator, gland_distance: Floats, cellularity: float) -> Floats:
    """1 in epithelium, 0 in stroma: sheaths of gland lumens first, then solid nests."""
    shape = gland_distance.shape
    affinity = smooth_noise(rng, shape, 90) + 0.1 * smooth_noise(rng, shape, 16) + 3 * ramp(gland_distance, 70, 25)
    return ramp(affinity - threshold(affinity, cellularity), -0.06, 0.06)
