"""Micrometers per pixel: what is asked for, what a slide has, and how far the two may differ."""

from __future__ import annotations

from dataclasses import dataclass

from stainxform.errors import ParameterError
from stainxform.slides.base import Slide

__all__ = ["EXACT", "MPP_TOLERANCE", "Resolution", "resolution_of"]

EXACT = 0.02
"""Micrometers per pixel that differ by less than this fraction from a level's, or a whole multiple of it, are taken as that."""

MPP_TOLERANCE = 0.1
"""How much coarser than asked a slide's pixels may be, as a fraction, unless told.

Scanners that call it 40x have 0.22 to 0.274 micrometers: Leica's GT450 0.2637, Olympus' VS200 0.2738, which is 5.5 % and
9.5 % coarser than 0.25. Enlarging would add no detail.
"""


@dataclass(frozen=True)
class Resolution:
    """Where tiles of a size are read: the ``level``, how many of its pixels a tile spans along a side, ``asked`` and real
    micrometers per pixel of the tile, which are None where nothing was asked for, or the slide does not say.
    """

    level: int
    side: int
    mpp: float | None
    asked: float | None = None

    @property
    def coarser(self) -> float:
        """How much coarser than asked the tiles are, as a fraction; 0 where they are what was asked for."""
        if self.asked is None or self.mpp is None or self.mpp <= self.asked * (1 + EXACT):
            return 0.0
        return self.mpp / self.asked - 1


def resolution_of(
    slide: Slide, size: int, mpp: float | None, mpp_tolerance: float = MPP_TOLERANCE, level: int | None = None
) -> Resolution:
    """Where tiles of a size and resolution are read; nothing is read to know it.

    Raises
    ------
    ParameterError
        The slide has no such level, does not say its micrometers per pixel, or is coarser than the tolerance allows.
    """
    available = [None if slide.mpp is None else sum(slide.mpp) / 2 * found.downsample for found in slide.levels]
    if mpp is None:
        slide.grid(level or 0)
        return Resolution(level or 0, size, available[level or 0])
    known = [found for found in available if found is not None]
    if not known:
        raise ParameterError(
            f"{slide.path} does not say its micrometers per pixel; say it with mpp_of_slide=..., or do not ask for mpp"
        )
    fine = [rank for rank, found in enumerate(known) if found <= mpp * (1 + EXACT)]
    if not fine and known[0] <= mpp * (1 + mpp_tolerance):
        return Resolution(0, size, known[0], mpp)
    if not fine:
        coarser = known[0] / mpp - 1
        raise ParameterError(
            f"{slide.path} has {known[0]:.4g} micrometers per pixel, {coarser:.1%} coarser than the {mpp:.4g} asked for: "
            f"more than mpp_tolerance={mpp_tolerance:g} allows"
        )
    rank = fine[-1]
    factor = mpp / known[rank]
    if abs(round(factor) - factor) < EXACT * factor:
        factor = round(factor)
    side = round(size * factor)
    return Resolution(rank, side, known[rank] * side / size, mpp)
