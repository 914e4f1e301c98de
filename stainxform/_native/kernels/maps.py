"""Color maps in compiled code: one pass over the pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol

import numpy as np

from stainxform._native import native
from stainxform._native.signatures import Density, DensityMap, HsvMap, LabMap, Light, Map, MixtureMap, StainMap
from stainxform.color import D65, RGB_FROM_XYZ, XYZ_FROM_RGB, LogDensity

BITS = 1 / math.log(2)
"""The kernels measure density in powers of 2."""

_NO_FLOOR = -1e30

_ALMOST_BLACK = 1e-30
"""Zero has no logarithm."""


class Kernel(Protocol):
    """A color map in compiled code."""

    @property
    def heavy(self) -> bool:
        """Whether to look a pixel's color up takes less than to compute it."""
        ...

    def __call__(self, source: np.ndarray, target: np.ndarray, low: float, scale: float) -> None:
        """Map pixels ``(3, H, W)``, uint8 or float32 from ``low`` to ``low + scale``, into an array of the same type."""
        ...


def density(space: LogDensity) -> Density:
    """How a density is computed from light."""
    lowest = space.lowest if min(space.offset) > 0 else max(space.lowest, _ALMOST_BLACK)
    return Density(lowest, max(space.floor * BITS, _NO_FLOOR), space.scale, space.offset)


def light(space: LogDensity) -> Light:
    """How light is computed from a density."""
    return Light(space.gain, space.shift)


class Mapped:
    """Calls the function of one map."""

    heavy: ClassVar[bool] = False

    @cached_property
    def _map(self) -> Map:
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        """Without what C++ reads, which holds pointers."""
        return {name: value for name, value in vars(self).items() if name != "_map"}

    def __call__(
        self,
        source: np.ndarray,
        target: np.ndarray,
        low: float,
        scale: float,
        clip: bool = True,
        threads: int | None = None,
    ) -> None:
        """See :class:`Kernel`; ``clip=False`` writes floats beyond the range; ``threads`` None: by the size."""
        views = native.view(source, low, scale), native.view(target, low, scale, clip)
        native.call(self._map.function, *views, self._map, threads or native.threads_for(source[0].size))


def numbers(values: np.ndarray) -> tuple[float, ...]:
    """An array as a field of a structure takes it."""
    return tuple(np.asarray(values, np.float64).ravel().tolist())


@dataclass(frozen=True, eq=False)
class DensityKernel(Mapped):
    """density' = matrix @ density + bias, the matrix ``(3, 3)``."""

    space: LogDensity
    matrix: np.ndarray
    bias: np.ndarray

    @cached_property
    def _map(self) -> Map:
        return DensityMap(density(self.space), light(self.space), numbers(self.matrix), numbers(self.bias * BITS))


@dataclass(frozen=True, eq=False)
class MixtureKernel(Mapped):
    """density' = recombine @ max(separate @ density, 0) + bias, both matrices ``(3, 3)``."""

    space: LogDensity
    separate: np.ndarray
    recombine: np.ndarray
    bias: np.ndarray

    @cached_property
    def _map(self) -> Map:
        return MixtureMap(
            density(self.space), light(self.space),
            *map(numbers, (self.separate, self.recombine, self.bias * BITS)),
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class StainKernel(Mapped):
    """Amounts of two stains ``(3, 2)`` by the non-negative lasso, recombined by ``(3, 2)``."""

    source: LogDensity
    target: LogDensity
    stain_matrix: np.ndarray
    penalty: float
    determinant: float
    recombine: np.ndarray

    @cached_property
    def _map(self) -> Map:
        stains = self.stain_matrix
        cosine = float(stains[:, 0] @ stains[:, 1])
        return StainMap(
            density(self.source), light(self.target), numbers(stains.T), self.penalty * BITS,
            cosine, self.determinant, numbers(self.recombine),
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class LabKernel(Mapped):
    """Each channel of CIELAB times ``scale`` plus ``shift``."""

    scale: np.ndarray
    shift: np.ndarray

    heavy = True

    @cached_property
    def _map(self) -> Map:
        to_xyz, from_xyz = XYZ_FROM_RGB / D65[:, None], RGB_FROM_XYZ * D65
        return LabMap(*map(numbers, (self.scale, self.shift, to_xyz, from_xyz)))


@dataclass(frozen=True, eq=False)
class HsvKernel(Mapped):
    """Hue turned by ``hue`` turns; saturation S to S (1 + s), or S (1 + (1 - S) s) where s > 0."""

    hue: float
    saturation: float

    @cached_property
    def _map(self) -> Map:
        return HsvMap(self.hue, self.saturation, self.saturation > 0)
