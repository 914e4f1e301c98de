"""An affine map of tissue's color, which leaves glass as it is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial

from stainxform._native.kernels import Kernel, TissueDensityKernel, TissueLightKernel, TissueWeight
from stainxform.color import ColorSpace, Planes, mix, stack
from stainxform.image.tissue import GLASS_OD, TISSUE_OD, tissue_weight
from stainxform.maps.base import ColorMap

__all__ = ["Levels", "TransportMap"]

_LARGE = 1e6
"""Levels times this are whole numbers of 32 bits."""


@dataclass(frozen=True)
class Levels(ColorSpace):
    """RGB in levels, 0 to 255."""

    def from_rgb(self, planes: Planes) -> Planes:
        """RGB planes in [0, 1] to levels."""
        return planes * 255.0

    def to_rgb(self, planes: Planes) -> Planes:
        """Levels to RGB planes, unclipped."""
        return planes / 255.0


@dataclass(frozen=True, eq=False)
class TransportMap(ColorMap):
    """An affine map of colors in some space, for tissue; glass stays, and in between colors are moved part of the way.

    Parameters
    ----------
    space : ColorSpace
        Where the map is affine.
    matrix : ndarray
        Float64 ``(3, 3)``.
    offset : ndarray
        Float64 ``(3,)``, in units of the space.
    """

    space: ColorSpace
    matrix: np.ndarray
    offset: np.ndarray

    def __getstate__(self) -> dict[str, Any]:
        """Without the kernel: a pickle, by which caches distinguish models, must not depend on use."""
        return {name: value for name, value in vars(self).items() if name != "kernel"}

    def evaluate(self, planes: Planes) -> Planes:
        """RGB planes -> color space -> affine, as far as a color is tissue -> RGB planes."""
        values = self.space.from_rgb(planes)
        moved = stack([row + float(by) for row, by in zip(mix(self.matrix, values), self.offset)])
        return self.space.to_rgb(values + tissue_weight(planes) * (moved - values))

    @cached_property
    def kernel(self) -> Kernel | None:
        """For levels and for optical density."""
        by, offset = np.asarray(self.matrix) - np.eye(3), np.asarray(self.offset)
        if isinstance(self.space, Levels):
            return (
                TissueLightKernel(_weight(), by, offset / 255)
                if max(abs(by).max(), abs(offset).max()) < _LARGE
                else None
            )
        space = getattr(self.space, "logarithm", None)
        return TissueDensityKernel(_weight(), space, by, offset * space.unit) if space else None


@lru_cache(maxsize=1)
def _weight() -> TissueWeight:
    """The same as a polynomial, to 1e-7."""
    light = [float(np.exp(-od)) for od in (TISSUE_OD, GLASS_OD)]
    center = sum(light) / 2
    fit = Chebyshev.interpolate(lambda x: (-np.log(x) - GLASS_OD) / (TISSUE_OD - GLASS_OD), 4, light)
    powers = fit.convert(kind=Polynomial, domain=[center - 1, center + 1])
    return TissueWeight(center, tuple(powers.coef.tolist()))
