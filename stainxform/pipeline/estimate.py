"""The one map of a slide, from a sample of its tissue."""

from __future__ import annotations

from stainxform.maps import ImageMap
from stainxform.normalizers.base import Normalizer
from stainxform.slides import Slide
from stainxform.slides.sampling import SIDE, TILES, SlideTiles


def slide_map(
    normalizer: Normalizer, slide: Slide, *, tiles: int = TILES, size: int = SIDE, level: int = 0, seed: int = 0
) -> ImageMap:
    """The one map for a whole slide: every tile of it is mapped alike, so there are no seams.

    Parameters
    ----------
    normalizer : a fitted normalizer.
    slide : an open slide.
    tiles : at most so many tissue tiles are drawn to estimate it from; memory does not depend on them.
    size : side of these tiles in pixels.
    level : which level they are read from. Networks expect the resolution that they were trained on.
    seed : same seed, same tiles.

    Raises NotEnoughTissueError for a slide without tissue.
    """
    while size > min(slide.levels[level].shape) and size > 1:
        size //= 2
    return normalizer.map_for_tiles(SlideTiles(slide, per_slide=tiles, size=size, level=level, seed=seed))
