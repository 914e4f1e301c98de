"""Color spaces of stain concentrations, in which HED augmentation and stain jitter are affine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stainxform._native.kernels import DensityKernel, MixtureKernel
from stainxform.color import ColorSpace, Planes, mix, namespace

__all__ = ["Concentrations"]


@dataclass(frozen=True, eq=False)
class Concentrations(ColorSpace):
    """Amounts of three stains: optical density = stains @ concentrations.

    Parameters
    ----------
    stains : ndarray
        float64 ``(3, 3)``, one stain's optical density (red, green, blue) in each column.
    density : ColorSpace
        The optical-density convention.
    positive : bool, optional
        Set negative concentrations to 0: colors that the three stains cannot mix do not come back.
    """

    stains: np.ndarray
    density: ColorSpace
    positive: bool = False

    def from_rgb(self, planes: Planes) -> Planes:
        """RGB planes in [0, 1] to three concentrations."""
        amounts = mix(np.linalg.inv(self.stains), self.density.from_rgb(planes))
        return namespace(amounts).clip(amounts, 0, None) if self.positive else amounts

    def to_rgb(self, planes: Planes) -> Planes:
        """Three concentrations to RGB planes, unclipped."""
        return self.density.to_rgb(mix(self.stains, planes))

    def in_density(self, scale: np.ndarray, shift: np.ndarray) -> DensityKernel | MixtureKernel | None:
        """c * scale + shift in compiled code."""
        if not hasattr(self.density, "logarithm"):
            return None
        space, separate = self.density.logarithm, np.linalg.inv(self.stains)
        recombine, bias = self.stains * scale, self.stains @ np.asarray(shift) * self.density.logarithm.unit
        if self.positive:
            return MixtureKernel(space, separate / space.unit, recombine * space.unit, bias)
        return DensityKernel(space, recombine @ separate, bias)
