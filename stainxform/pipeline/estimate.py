"""The one map of a slide, from a sample of its tissue."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stainxform.errors import NotEnoughTissueError
from stainxform.maps import ImageMap
from stainxform.normalizers.base import Normalizer
from stainxform.slides import Slide, tissue_of

SIDE, TILES = 512, 64
ENOUGH = (0.5, 0.1)
"""Fractions of tissue that tiles must hold: the first that some do."""


def slide_map(normalizer: Normalizer, slide: Slide) -> ImageMap:
    """The map for a slide, estimated from at most 64 tissue tiles of 512 pixels, drawn with a fixed seed.

    Raises NotEnoughTissueError where there are none, ParameterError if the method has no one map for several tiles.
    """
    return normalizer.map_for_tiles(_tiles(slide))


def _tiles(slide: Slide) -> Iterator[np.ndarray]:
    tissue = tissue_of(slide).on(slide.grid(0, SIDE))
    for enough in ENOUGH:
        where = tissue.where(enough)
        found = np.argwhere(where)
        if len(found):
            break
    else:
        raise NotEnoughTissueError(f"no tile of {SIDE} pixels is at least {ENOUGH[-1]:.0%} tissue")
    spare = np.random.default_rng(0).permutation(len(found))[TILES:]
    where[tuple(found[spare].T)] = False
    for batch in slide.tiles(0, SIDE, where=where, batch=1):
        _, _, width, height = batch.boxes[0]
        yield batch.pixels[0][:height, :width]
