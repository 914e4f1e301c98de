"""Maps made of maps: one after another, and part of the way from one to another."""

from __future__ import annotations

from dataclasses import dataclass

from stainxform.color import Planes
from stainxform.errors import ParameterError
from stainxform.image.tissue_color import DENSITY
from stainxform.maps.base import ColorMap

__all__ = ["ChainMap", "MixtureMap", "blend"]


@dataclass(frozen=True, eq=False)
class ChainMap(ColorMap):
    """One map after another.

    Parameters
    ----------
    first, second : ColorMap
        The second takes the colors that the first gives, clipped to the displayable range.
    """

    first: ColorMap
    second: ColorMap

    def evaluate(self, planes: Planes) -> Planes:
        """RGB planes -> first -> clip -> second."""
        return self.second.evaluate(self.first.evaluate(planes).clip(0, 1))


@dataclass(frozen=True, eq=False)
class MixtureMap(ColorMap):
    """The mean of two maps in optical density: between two stains lies a stain, as between two amounts of one.

    Parameters
    ----------
    first, second : ColorMap
        The maps; their colors are clipped to the displayable range.
    weight : float
        0: the first, 1: the second.
    """

    first: ColorMap
    second: ColorMap
    weight: float

    def evaluate(self, planes: Planes) -> Planes:
        """RGB planes -> both maps -> optical density -> weighted mean -> RGB planes."""
        first, second = (DENSITY.from_rgb(one.evaluate(planes).clip(0, 1)) for one in (self.first, self.second))
        return DENSITY.to_rgb((1 - self.weight) * first + self.weight * second)


def blend(first: ColorMap, second: ColorMap, weight: float) -> ColorMap:
    """Part of the way from one map to another.

    Parameters
    ----------
    first, second : ColorMap
        The maps.
    weight : float
        0: the first, 1: the second, which then come back as they are.

    Raises
    ------
    ParameterError
        A weight that is not from 0 to 1.
    """
    if not 0 <= weight <= 1:
        raise ParameterError(f"a weight between two maps is from 0 to 1, got {weight}")
    if weight in (0, 1) or first is second:
        return second if weight == 1 else first
    return MixtureMap(first, second, float(weight))
