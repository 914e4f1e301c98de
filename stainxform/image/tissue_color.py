"""What is known of the color of tissue: of all pixels, and of the tiles they come from. Twenty numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stainxform.color import ReversibleDensity
from stainxform.image.histogram import ColorHistogram
from stainxform.image.moments import Moments
from stainxform.image.tissue import tissue_planes

__all__ = ["DENSITY", "TissueColor"]

DENSITY = ReversibleDensity(io=256, offset=1)
"""The optical density, natural log, that tissue is described in: finite for black."""


@dataclass(frozen=True, eq=False)
class TissueColor:
    """Statistics of the optical density of tissue, natural log, that merge exactly.

    Parameters
    ----------
    pixels : Moments
        Of all tissue pixels.
    tiles : Moments
        Of the means of the tiles, each of which counts once.
    """

    pixels: Moments = field(default_factory=Moments.none)
    tiles: Moments = field(default_factory=Moments.none)

    @classmethod
    def of(cls, histogram: ColorHistogram) -> TissueColor:
        """Of one tile's counted colors; a tile without tissue counts for nothing."""
        tissue = histogram.where(tissue_planes(histogram.colors))
        pixels = Moments.of(tissue.values(DENSITY), tissue.counts)
        return cls(pixels, Moments(1, pixels.mean, np.zeros((3, 3))) if pixels.count else Moments.none())

    @classmethod
    def merge(cls, parts: Iterable[TissueColor]) -> TissueColor:
        """Of all tiles together."""
        found = list(parts)
        return cls(Moments.merge(part.pixels for part in found), Moments.merge(part.tiles for part in found))

    @property
    def tile_covariance(self) -> np.ndarray | None:
        """How much the means of tiles differ, ``(3, 3)``, unbiased; None if there is one tile or none."""
        count = self.tiles.count
        return self.tiles.covariance * (count / (count - 1)) if count > 1 else None

    def numbers(self) -> dict[str, Any]:
        """All of it as JSON holds it; :meth:`from_numbers` is the way back."""
        return {"pixels": self.pixels.numbers(), "tiles": self.tiles.numbers()}

    @classmethod
    def from_numbers(cls, numbers: Any) -> TissueColor:
        """Rebuild from what a file holds; KeyError, TypeError or ValueError for anything else."""
        return cls(Moments.from_numbers(numbers["pixels"]), Moments.from_numbers(numbers["tiles"]))
