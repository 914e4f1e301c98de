"""Nuclei, the cells around them, and red blood cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stainxform.samples.fields import Floats, pixels_of, ramp, rotate, scatter, smooth_noise, uphill, window_around

__all__ = ["CELL_REACH", "Cells", "Nuclei", "draw_nuclei", "grow_cells", "red_cells"]

CELL_REACH = 2.4
"""Cytoplasm ends this many nuclear radii from the center of its nucleus."""


@dataclass(frozen=True)
class Nuclei:
    """One entry per nucleus."""

    y: Floats
    x: Floats
    long: Floats  # semi-axes
    short: Floats
    angle: Floats  # of the long axis, from the x axis towards the y axis
    dark: Floats  # hematoxylin of the body
    vesicular: Floats  # 0 dense, 1 pale with coarse chromatin, rim and nucleoli
    focus: Floats  # width of the edge in pixels
    appetite: Floats  # how much eosin the cytoplasm takes, about 1


@dataclass(frozen=True)
class Cells:
    """Per pixel."""

    owner: NDArray[np.int32]  # index of the nearest nucleus
    reach: Floats  # distance to it in units of its radius: 1 at its outline, large far from all nuclei
    rival: Floats  # the same to the second nearest


_LINING, _NEST, _LYMPHOCYTE, _FIBROBLAST = range(4)
# Per kind: ranges of the long semi-axis, short / long, hematoxylin of the body, and vesicular.
_TRAITS = np.array(
    [
        [[12, 16], [0.55, 0.75], [0.75, 1.05], [0.3, 0.9]],
        [[11, 18], [0.62, 0.95], [0.65, 1.05], [0.3, 1.0]],
        [[8, 10], [0.80, 1.00], [1.20, 1.60], [0.0, 0.3]],
        [[11, 24], [0.17, 0.40], [0.85, 1.40], [0.0, 0.5]],
    ]
)
# Per kind: radius of the disc that a nucleus keeps for itself, in units of its own mean radius.
_SPACING = np.array([0.95, 1.15, 1.15, 1.60])


def draw_nuclei(
    rng: np.random.Generator,
    glass_distance: Floats,
    gland_distance: Floats,
    epithelium: Floats,
    across: Floats,
    cellularity: float,
) -> Nuclei:
    """Draw nuclei of four kinds where the architecture has room for them."""
    sites, kind = _sites(rng, glass_distance, gland_distance, epithelium, cellularity)
    low, high = np.moveaxis(_TRAITS[kind], -1, 0)
    long, ratio, dark, vesicular = rng.uniform(low, high).T
    long = long * np.where(kind <= _NEST, rng.uniform(0.85, 1.2), 1)
    short = long * ratio
    angle = np.select(
        [kind == _LINING, kind == _FIBROBLAST],
        [uphill(gland_distance, sites), uphill(across, sites) + np.pi / 2],
        rng.uniform(0, np.pi, len(kind)),
    ) + rng.normal(0, 0.2, len(kind))
    focus, appetite = rng.uniform(1, 2.2, len(kind)), rng.normal(1, 0.18, len(kind))

    free = _spaced(sites, np.sqrt(long * short) * _SPACING[kind])
    columns = sites[:, 0], sites[:, 1], long, short, angle, dark, vesicular, focus, appetite
    return Nuclei(*(column[free].astype(np.float32) for column in columns))


def _sites(
    rng: np.random.Generator, glass_distance: Floats, gland_distance: Floats, epithelium: Floats, cellularity: float
) -> tuple[Floats, NDArray[np.intp]]:
    """Candidate positions and kinds of nuclei; when two are too close, the later gives way."""
    shape = epithelium.shape
    sites = scatter(rng, shape, 1 / 90 if cellularity else 0)
    at = pixels_of(sites, shape)
    nest, luck = epithelium[at] > 0.5, rng.random(len(sites))
    inflamed = smooth_noise(rng, shape, 55)[at] + 1.5 * cellularity > 1.9
    kinds = [nest & (gland_distance[at] < 36), nest, inflamed]
    kind = np.select(kinds, [_LINING, _NEST, _LYMPHOCYTE], _FIBROBLAST)
    keep = np.select(kinds, [1, 0.9, 0.3], 0.16 * cellularity)
    wanted = (luck < keep) & (glass_distance[at] > np.where(kind == _LINING, 17, 10))
    order = np.flatnonzero(wanted)
    order = order[np.argsort(kind[order] != _LINING, kind="stable")]
    return sites[order], kind[order]


def _spaced(sites: Floats, radius: Floats) -> NDArray[np.intp]:
    """Indices left after each site, in order, removes the later ones whose discs overlap its own."""
    from scipy.spatial import cKDTree

    if len(sites) < 2:
        return np.arange(len(sites))
    pairs = cKDTree(sites).query_pairs(2 * radius.max(), output_type="ndarray")
    first, second = np.sort(pairs, axis=1).T
    clash = np.hypot(*(sites[first] - sites[second]).T) < radius[first] + radius[second]
    first, second = first[clash], second[clash]
    alive = np.ones(len(sites), bool)
    while len(first):
        safe = alive.copy()
        safe[second] = False
        alive[second[safe[first]]] = False
        undecided = alive[first] & alive[second]
        first, second = first[undecided], second[undecided]
    return np.flatnonzero(alive)


def grow_cells(rng: np.random.Generator, shape: tuple[int, int], nuclei: Nuclei) -> Cells:
    """Which cell each pixel belongs to, and how far out in it."""
    reach, rival = np.full(shape, 9, np.float32), np.full(shape, 9, np.float32)
    owner = np.zeros(shape, np.int32)
    for i, (y, x, long, short, angle) in enumerate(
        zip(nuclei.y, nuclei.x, nuclei.long, nuclei.short, nuclei.angle, strict=True)
    ):
        window, rows, columns = window_around(shape, y, x, CELL_REACH * long)
        u, v = rotate(rows, columns, angle)
        distance = np.sqrt((u / long) ** 2 + (v / short) ** 2)
        best = reach[window]
        rival[window] = np.minimum(rival[window], np.maximum(distance, best))
        owner[window][distance < best] = i
        np.minimum(best, distance, out=best)
    wobble = 1 + 0.09 * smooth_noise(rng, shape, 9)
    return Cells(owner, reach * wobble, rival * wobble)


def red_cells(rng: np.random.Generator, depth: Floats, epithelium: Floats, cells: Cells, across: Floats) -> Floats:
    """Amount of red blood cell, 0..1: short files of discs along the fibers."""
    blood = np.zeros(depth.shape, np.float32)
    vessels = scatter(rng, depth.shape, 1 / 170**2)
    at = pixels_of(vessels, depth.shape)
    vessels = vessels[(depth[at] > 0) & (epithelium[at] < 0.2)]
    for (y, x), angle in zip(vessels, uphill(across, vessels) + np.pi / 2, strict=True):
        for _ in range(rng.integers(1, 6)):
            radius, squeeze = rng.uniform(9, 12), rng.uniform(0.7, 1)
            window, rows, columns = window_around(depth.shape, y, x, radius + 2)
            u, v = rotate(rows, columns, rng.uniform(0, np.pi))
            distance = np.sqrt(u * u + (v / np.float32(squeeze)) ** 2)
            disc = ramp(distance, radius, radius - 2) * (1 - 0.3 * ramp(distance, 0.7 * radius, 0))
            np.maximum(blood[window], disc, out=blood[window])
            y += 1.8 * radius * np.sin(angle) + rng.normal(0, 5)
            x += 1.8 * radius * np.cos(angle) + rng.normal(0, 5)
            angle += rng.normal(0, 0.6)
    return blood * (cells.reach > 1.15)
