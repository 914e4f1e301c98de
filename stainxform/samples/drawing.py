"""Tissue before any scanner sees it: how much of each stain lies where."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stainxform.errors import ParameterError
from stainxform.samples.architecture import epithelium_of, fiber_coordinates, holes, strands_of
from stainxform.samples.arguments import Seed, Size, generator_of, height_width
from stainxform.samples.fields import consecutive
from stainxform.samples.nuclei import draw_nuclei, grow_cells, red_cells
from stainxform.samples.stains import stain

__all__ = ["Tissue", "tissue"]


@dataclass(frozen=True, eq=False)
class Tissue:
    """What lies on the slide, before any scanner sees it.

    Attributes
    ----------
    concentrations : ndarray of float32, shape (2, H, W)
        Hematoxylin and eosin, >= 0, in multiples of the optical density of the unit stain vector.
        Zero on glass; dark nuclei reach about 2 hematoxylin, collagen about 0.8 eosin.
    nuclei : ndarray of int32, shape (H, W)
        0 outside nuclei, 1..n inside the n nuclei.
    tissue : ndarray of bool, shape (H, W)
        False where there is only glass: lumens, fat, tears.
    """

    concentrations: NDArray[np.float32]
    nuclei: NDArray[np.int32]
    tissue: NDArray[np.bool_]


def tissue(
    size: Size = 256,
    *,
    seed: Seed,
    background: float = 0.15,
    cellularity: float = 0.5,
    eosin: float = 1.0,
    hematoxylin: float = 1.0,
) -> Tissue:
    """Draw tissue: glands and nests of epithelium in fibrous stroma, with lumens, fat and vessels.

    Parameters
    ----------
    size : int or (int, int), optional
        Side, or (height, width), in pixels, each at least 1.
    seed : int or sequence of int
        Same seed and arguments, same tissue.
    background : float, optional
        Fraction of the area that is glass, 0..1.  Nuclei and red blood cells that jut into it
        take a little away.
    cellularity : float, optional
        Fraction of the rest that is epithelium rather than stroma, 0..1.  It also sets how many
        nuclei the stroma has; 0 means no nuclei at all.
    eosin, hematoxylin : float, optional
        Multipliers >= 0 of the concentrations; 0 leaves the stain out.

    Returns
    -------
    Tissue
        The stains, nuclei and tissue of the drawing.

    Raises
    ------
    ParameterError
        An argument is outside the range above.
    """
    height, width = height_width(size)
    for name, value in (("background", background), ("cellularity", cellularity)):
        if not 0 <= value <= 1:
            raise ParameterError(f"{name} must be between 0 and 1, not {value!r}.")
    for name, value in (("eosin", eosin), ("hematoxylin", hematoxylin)):
        if not 0 <= value < np.inf:
            raise ParameterError(f"{name} must be a finite number >= 0, not {value!r}.")
    rng = generator_of(seed)
    shape = height, width
    across, along = fiber_coordinates(rng, shape)
    strands = strands_of(rng, across, along)
    depth, glass_distance, gland_distance = holes(rng, background, strands)
    epithelium = epithelium_of(rng, gland_distance, cellularity)
    nuclei = draw_nuclei(rng, glass_distance, gland_distance, epithelium, across, cellularity)
    cells = grow_cells(rng, shape, nuclei)
    blood = red_cells(rng, depth, epithelium, cells, across)
    stains = stain(rng, strands, depth, epithelium, nuclei, cells, blood)

    labels = np.where(cells.reach < 1, cells.owner + 1, 0)
    solid = (depth >= 0) | (labels > 0) | (blood > 0)
    amounts = np.array([hematoxylin, eosin], np.float32)[:, None, None] * stains * solid
    return Tissue(amounts, consecutive(labels), solid)
