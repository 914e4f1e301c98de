"""The one map of a slide, from a sample of its tissue."""

from __future__ import annotations

from stainxform.errors import NotEnoughTissueError
from stainxform.maps import ImageMap
from stainxform.normalizers.base import Normalizer
from stainxform.slides import Slide
from stainxform.slides.sampling import SIDE, TILES, SlideTiles

__all__ = ["MIN_SIDE", "slide_map"]

MIN_SIDE = 32
"""Smaller tiles than this are not tried."""


def slide_map(
    normalizer: Normalizer, slide: Slide, *, tiles: int = TILES, size: int = SIDE, level: int = 0, seed: int = 0
) -> ImageMap:
    """The one map for a whole slide: every tile of it is mapped alike, so there are no seams.

    For the slides of one other center :meth:`stainxform.Normalizer.calibrate` is the better door: it learns from all of
    them, once, and how much of a slide's own color to believe.

    Parameters
    ----------
    normalizer : Normalizer
        A fitted normalizer; one with a fixed map, such as a calibration, gives that, and no tile is read.
    slide : Slide
        An open slide.
    tiles : int, optional
        No more tissue tiles than this are drawn to estimate it from; memory does not depend on them.
    size : int, optional
        Side of these tiles in pixels; half of it, and so on, where no whole tile holds enough tissue.
    level : int, optional
        Which level they are read from. Networks expect the resolution that they were trained on.
    seed : int, optional
        Same seed, same tiles.

    Raises
    ------
    NotEnoughTissueError
        A slide without tissue, where the map depends on it.
    """
    if normalizer.fixed_map is not None:
        return normalizer.fixed_map
    while True:
        try:
            sample = SlideTiles(slide, per_slide=tiles, size=size, level=level, seed=seed)
        except NotEnoughTissueError:
            if size < 2 * MIN_SIDE:
                raise
            size //= 2
            continue
        return normalizer.map_for_tiles(sample)
