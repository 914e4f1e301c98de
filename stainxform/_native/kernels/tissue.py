"""Color maps of tissue, which leave glass as it is, in compiled code."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from stainxform._native.kernels.maps import BITS, Mapped, density, light, numbers
from stainxform._native.signatures import Map, Tissue, TissueDensityMap, TissueLightMap
from stainxform.color import LogDensity

_BRIGHTEST = 15.0
"""A product of factors up to e to this is a whole number of 32 bits, in levels."""


@dataclass(frozen=True)
class TissueWeight:
    """How much of a tissue's color there is in a color with the smallest channel x in [0, 1].

    A polynomial of x - center, its five coefficients from the lowest power up, clipped to 0..1, with no way back from
    where it is clipped.
    """

    center: float
    coefficients: tuple[float, ...]

    @cached_property
    def of_levels(self) -> np.ndarray:
        """Float64 ``(256,)``, by the smallest of the levels of an 8-bit color."""
        return np.clip(np.polyval(self.coefficients[::-1], np.arange(256) / 255 - self.center), 0, 1)

    @property
    def light(self) -> int:
        """How many levels, those of glass included, are not all tissue."""
        return int(np.count_nonzero(self.of_levels < 1))

    @property
    def structure(self) -> Tissue:
        """For C++."""
        return Tissue(self.center, self.coefficients, self.light)


@dataclass(frozen=True, eq=False)
class TissueLightKernel(Mapped):
    """light' = light + weight * (matrix @ light + bias), light in [0, 1]."""

    weight: TissueWeight
    matrix: np.ndarray
    bias: np.ndarray

    @cached_property
    def _map(self) -> Map:
        return TissueLightMap(self.weight.structure, numbers(self.matrix), numbers(self.bias))


@dataclass(frozen=True, eq=False)
class TissueDensityKernel(Mapped):
    """density' = density + weight * (matrix @ density + bias)."""

    weight: TissueWeight
    space: LogDensity
    matrix: np.ndarray
    bias: np.ndarray

    @cached_property
    def _map(self) -> Map:
        return TissueDensityMap.of(
            density(self.space), light(self.space), self.weight.structure, numbers(self.matrix),
            numbers(self.bias * BITS), self._factors(),
        )  # fmt: skip

    def _factors(self) -> np.ndarray | None:
        """8-bit colors as products of one factor for each channel, float32 ``(3, columns, 4)``: see ``csrc/kernels.h``.

        None where they could leave the whole numbers, as those of a color without any light may.
        """
        weights, n = self.weight.of_levels, self.weight.light
        reached = np.concatenate([np.zeros(256, int), np.repeat(np.arange(1, n + 1), n)])
        weight, level = weights[255 - n + reached][:, None], np.arange(256 + n * n) - reached * n
        powers = -(np.eye(3)[:, None] + weight * self.matrix.T[:, None]) * self._densities(level)[..., None]
        powers[0] -= weight * self.bias
        if not np.maximum(powers.max(axis=1), 0).sum(axis=0).max() <= _BRIGHTEST:
            return None
        factors = np.zeros((*powers.shape[:2], 4), np.float32)
        factors[..., :3] = np.exp(powers)
        factors[0, :, :3] *= np.array(self.space.gain) * 255
        return factors

    def _densities(self, levels: np.ndarray) -> np.ndarray:
        """Float64 ``(3, K)`` of levels ``(K,)``; infinite without light."""
        space = self.space
        scale, offset = (np.array(values)[:, None] for values in (space.scale, space.offset))
        with np.errstate(divide="ignore"):
            return np.maximum(-np.log(np.maximum(levels / 255, space.lowest) * scale + offset), space.floor)
