"""Tissue as a center would have stained and scanned it."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stainxform.samples.arguments import Seed, Size, count_of, generator_of, height_width
from stainxform.samples.centers import Center, center_of
from stainxform.samples.drawing import Tissue, tissue

__all__ = ["noise_seed", "pair", "render"]


def render(tissue: Tissue, center: Center | str, *, seed: Seed = 0, noise: bool = True) -> NDArray[np.uint8]:
    """Show tissue as one center would have stained and scanned it.

    Light follows the Beer-Lambert law, ``background * exp(-stain_matrix @ (strength * concentrations))``;
    then come the scanner's color matrix and gamma, its blur and its noise.

    Parameters
    ----------
    tissue : Tissue
        What lies on the slide.
    center : Center or str
        A center, or the name of one in ``CENTERS``.
    seed : int or sequence of int, optional
        Seed of the noise.
    noise : bool, optional
        False leaves the noise out.  With an identity ``color_matrix``, ``gamma`` 1 and ``blur`` 0 the
        result is then the Beer-Lambert law, rounded to 8 bits.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
        RGB.

    Raises
    ------
    ParameterError
        ``center`` names no center, or ``seed`` is no seed.
    """
    center = center_of(center)
    density = (center.stain_matrix * center.strength) @ tissue.concentrations.reshape(2, -1)
    light = np.exp(-density)
    if not np.array_equal(center.color_matrix, np.eye(3)):
        light = np.maximum(center.color_matrix @ light, 0)
    if center.gamma != 1:
        light **= center.gamma
    levels = (center.background[:, None] * light).reshape(3, *tissue.nuclei.shape)
    if center.blur:
        from scipy.ndimage import gaussian_filter

        levels = gaussian_filter(levels, (0, center.blur, center.blur), mode="nearest")
    if noise and center.noise:
        levels += center.noise * generator_of(seed).standard_normal(levels.shape, dtype=np.float32)
    pixels = np.rint(np.clip(levels, 0, 255)).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(pixels, 0, -1))


def pair(
    n: int = 1,
    size: Size = 256,
    centers: Sequence[Center | str] = ("a", "b"),
    seed: int = 0,
    *,
    noise: bool = True,
    **options: float,
) -> tuple[NDArray[np.uint8], ...]:
    """The same tissue seen by several centers.

    Parameters
    ----------
    n : int, optional
        Number of tiles, >= 0.
    size : int or (int, int), optional
        Side, or (height, width), in pixels, each at least 1.
    centers : sequence of Center or str, optional
        Centers, or names of centers in ``CENTERS``.
    seed : int, optional
        Seed of tissue and noise.  Tile k is the same whatever ``n`` is.
    noise : bool, optional
        False leaves the sensor noise out.
    **options : float
        Passed to ``tissue``: ``background``, ``cellularity``, ``eosin``, ``hematoxylin``.

    Returns
    -------
    tuple of ndarray of uint8, shape (n, H, W, 3)
        One array per center, in the order of ``centers``; index k is the same tissue in all of them.

    Raises
    ------
    ParameterError
        An argument is outside the range above, or a name is that of no center.
    """
    chosen = [center_of(center) for center in centers]
    count, sides = count_of(n), height_width(size)
    images = tuple(np.empty((count, *sides, 3), np.uint8) for _ in chosen)
    for k in range(count):
        slide = tissue(size, seed=(seed, k), **options)
        for center, stack in zip(chosen, images, strict=True):
            stack[k] = render(slide, center, seed=noise_seed(seed, k, center), noise=noise)
    return images


def noise_seed(seed: int, k: int, center: Center) -> tuple[int, int, int]:
    """Seed of the sensor noise of one tile at one center."""
    return seed, k, zlib.crc32(center.name.encode())
