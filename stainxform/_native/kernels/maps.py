"""Color maps in compiled code: one pass over the pixels."""

from __future__ import annotations

import math
from ctypes import Structure, c_float, c_int32
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Protocol

import numpy as np

from stainxform._native import native
from stainxform.color import D65, RGB_FROM_XYZ, XYZ_FROM_RGB, LogDensity

_BITS = 1 / math.log(2)
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


class _Density(Structure):
    _fields_ = [("lowest", c_float), ("floor", c_float), ("scale", c_float * 3), ("offset", c_float * 3)]

    @classmethod
    def of(cls, space: LogDensity) -> _Density:
        lowest = space.lowest if min(space.offset) > 0 else max(space.lowest, _ALMOST_BLACK)
        return cls(lowest, max(space.floor * _BITS, _NO_FLOOR), space.scale, space.offset)


class _Light(Structure):
    _fields_ = [("gain", c_float * 3), ("shift", c_float * 3)]

    @classmethod
    def of(cls, space: LogDensity) -> _Light:
        return cls(space.gain, space.shift)


class _DensityMap(Structure):
    _fields_ = [("from_", _Density), ("to", _Light), ("matrix", c_float * 9), ("bias", c_float * 3)]


class _MixtureMap(Structure):
    _fields_ = [
        ("from_", _Density), ("to", _Light),
        ("separate", c_float * 9), ("recombine", c_float * 9), ("bias", c_float * 3),
    ]  # fmt: skip


class _StainMap(Structure):
    _fields_ = [
        ("from_", _Density), ("to", _Light), ("stains", c_float * 6),
        ("penalty", c_float), ("cosine", c_float), ("determinant", c_float), ("recombine", c_float * 6),
    ]  # fmt: skip


class _LabMap(Structure):
    _fields_ = [
        ("scale", c_float * 3), ("shift", c_float * 3),
        ("xyz_from_rgb", c_float * 9), ("rgb_from_xyz", c_float * 9),
    ]  # fmt: skip


class _HsvMap(Structure):
    _fields_ = [("hue", c_float), ("saturation", c_float), ("towards_full", c_int32)]


class Mapped:
    """Calls one kernel with one structure."""

    name: str
    heavy: ClassVar[bool] = False

    @cached_property
    def _structure(self) -> Structure:
        raise NotImplementedError

    def __call__(self, source: np.ndarray, target: np.ndarray, low: float, scale: float, clip: bool = True) -> None:
        """See :class:`Kernel`; ``clip=False`` writes floats beyond the range."""
        threads = native.threads_for(source.shape[1] * source.shape[2])
        native.call(
            self.name, native.view(source, low, scale), native.view(target, low, scale, clip), self._structure, threads
        )


def numbers(values: np.ndarray) -> tuple[float, ...]:
    """An array as a field of a structure takes it."""
    return tuple(np.asarray(values, np.float64).ravel().tolist())


@dataclass(frozen=True, eq=False)
class DensityKernel(Mapped):
    """density' = matrix @ density + bias, the matrix ``(3, 3)``."""

    space: LogDensity
    matrix: np.ndarray
    bias: np.ndarray

    name = "sx_density_map"

    @cached_property
    def _structure(self) -> Structure:
        return _DensityMap(
            _Density.of(self.space), _Light.of(self.space), numbers(self.matrix), numbers(self.bias * _BITS)
        )


@dataclass(frozen=True, eq=False)
class MixtureKernel(Mapped):
    """density' = recombine @ max(separate @ density, 0) + bias, both matrices ``(3, 3)``."""

    space: LogDensity
    separate: np.ndarray
    recombine: np.ndarray
    bias: np.ndarray

    name = "sx_mixture_map"

    @cached_property
    def _structure(self) -> Structure:
        return _MixtureMap(
            _Density.of(self.space), _Light.of(self.space),
            *map(numbers, (self.separate, self.recombine, self.bias * _BITS)),
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

    name = "sx_stain_map"

    @cached_property
    def _structure(self) -> Structure:
        stains = self.stain_matrix
        cosine = float(stains[:, 0] @ stains[:, 1])
        return _StainMap(
            _Density.of(self.source), _Light.of(self.target), numbers(stains.T), self.penalty * _BITS,
            cosine, self.determinant, numbers(self.recombine),
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class LabKernel(Mapped):
    """Each channel of CIELAB times ``scale`` plus ``shift``."""

    scale: np.ndarray
    shift: np.ndarray

    name = "sx_lab_map"
    heavy = True

    @cached_property
    def _structure(self) -> Structure:
        to_xyz, from_xyz = XYZ_FROM_RGB / D65[:, None], RGB_FROM_XYZ * D65
        return _LabMap(*map(numbers, (self.scale, self.shift, to_xyz, from_xyz)))


@dataclass(frozen=True, eq=False)
class HsvKernel(Mapped):
    """Hue turned by ``hue`` turns; saturation S to S (1 + s), or S (1 + (1 - S) s) where s > 0."""

    hue: float
    saturation: float

    name = "sx_hsv_map"

    @cached_property
    def _structure(self) -> Structure:
        return _HsvMap(self.hue, self.saturation, self.saturation > 0)
