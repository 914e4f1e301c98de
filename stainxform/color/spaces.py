"""Color spaces: optical density, CIELAB, l-alpha-beta and BT.601 gray.

Every function takes planes ``(3, ...)`` with red, green, blue first, as a numpy array or a torch tensor of floats in
[0, 1], works element by element, so layout and batching cannot change a bit of the result, and returns the same kind.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce
from operator import add
from types import ModuleType
from typing import Any, NamedTuple, Protocol

import numpy as np

from stainxform._optional import is_tensor

__all__ = [
    "D65",
    "GRAY_WEIGHTS",
    "RGB_FROM_XYZ",
    "STAINTOOLS_DENSITY",
    "STAINTOOLS_LIGHTEST",
    "XYZ_FROM_RGB",
    "BackgroundDensity",
    "CIELab",
    "ColorSpace",
    "LAlphaBeta",
    "LogDensity",
    "LogarithmicSpace",
    "OpticalDensity",
    "Planes",
    "ReversibleDensity",
    "as_index",
    "constant",
    "gray",
    "mix",
    "namespace",
    "stack",
]

Planes = Any
"""Float array or tensor ``(3, ...)``."""

GRAY_WEIGHTS = (0.299, 0.587, 0.114)
"""ITU-R BT.601 luma."""

_MAX_EXPONENT = 80.0
"""exp of more, times a matrix, overflows float32: a map may throw an outlier that far out of gamut."""


def namespace(array: Planes) -> ModuleType:
    """The module, numpy or torch, whose functions work on ``array``."""
    if is_tensor(array):
        import torch

        return torch
    return np


def constant(values: np.ndarray, like: Planes) -> Planes:
    """``values`` as an array of the kind, dtype and device of ``like``."""
    if not is_tensor(like):
        return np.asarray(values, like.dtype)
    return namespace(like).as_tensor(values.copy(), dtype=like.dtype, device=like.device)


def as_index(values: Planes) -> Planes:
    """Whole numbers, held as floats, as integers that can index."""
    return values.detach().long() if is_tensor(values) else values.astype(np.intp)


def stack(planes: list[Planes]) -> Planes:
    """Stack three planes along a new first axis."""
    return namespace(planes[0]).stack(planes)


def mix(matrix: np.ndarray, planes: Planes) -> Planes:
    """Multiply each pixel by a matrix ``(m, n)``: ``(n, ...)`` to ``(m, ...)``.

    A fixed sequence of products and sums, never BLAS: its summation order depends on shape and strides.
    """
    return stack([reduce(add, (float(value) * plane for value, plane in zip(row, planes))) for row in matrix])


def gray(planes: Planes) -> Planes:
    """BT.601 luma of ``(3, ...)`` planes."""
    red, green, blue = GRAY_WEIGHTS
    return red * planes[0] + green * planes[1] + blue * planes[2]


class LogDensity(NamedTuple):
    """A density of each channel by itself, in the form that the compiled kernels know.

    density = max(-ln(max(x, lowest) * scale + offset), floor) / unit and back x = gain * exp(-density * unit) + shift,
    x in [0, 1]. The kernels measure without the unit; who makes one puts it into the matrices.
    """

    scale: tuple[float, float, float]
    offset: tuple[float, float, float]
    gain: tuple[float, float, float]
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    lowest: float = 0.0
    floor: float = -math.inf
    unit: float = 1.0


class ColorSpace(Protocol):
    """A color space that RGB can be taken to and brought back from."""

    def from_rgb(self, planes: Planes) -> Planes:
        """RGB planes in [0, 1] to this space."""
        ...

    def to_rgb(self, planes: Planes) -> Planes:
        """This space to RGB planes, nominally in [0, 1], unclipped."""
        ...


class LogarithmicSpace(ColorSpace, Protocol):
    """A density of each channel by itself."""

    @property
    def logarithm(self) -> LogDensity:
        """The same as numbers."""
        ...


@dataclass(frozen=True)
class OpticalDensity:
    """Natural-log optical density, OD = -ln((I + offset) / Io), with I in 0..255 levels (Beer-Lambert law).

    Parameters
    ----------
    io : float, optional
        Intensity of the light source, in levels.
    offset : float, optional
        Added before the logarithm so that black stays finite, in levels. The inverse, I = Io exp(-OD), does not
        subtract it: that is how Macenko's published code defines the reconstruction.
    darkest : float, optional
        Darker intensities are lifted to this level, the other way to keep black finite.
    floor : float, optional
        Smaller optical densities are lifted to this one; None: none are.
    """

    io: float = 240.0
    offset: float = 1.0
    darkest: float = 0.0
    floor: float | None = None

    def from_rgb(self, planes: Planes) -> Planes:
        """RGB planes in [0, 1] to optical density."""
        xp = namespace(planes)
        if self.darkest:
            planes = xp.clip(planes, self.darkest / 255.0, None)
        od = -xp.log(planes * (255.0 / self.io) + self.offset / self.io)
        return od if self.floor is None else xp.clip(od, self.floor, None)

    def to_rgb(self, planes: Planes) -> Planes:
        """Optical density to RGB planes (nominally [0, Io / 255])."""
        xp = namespace(planes)
        return xp.exp(-xp.clip(planes, -_MAX_EXPONENT, None)) * (self.io / 255.0)

    @property
    def logarithm(self) -> LogDensity:
        """The same as numbers."""
        return LogDensity(
            scale=(255.0 / self.io,) * 3,
            offset=(self.offset / self.io,) * 3,
            gain=(self.io / 255.0,) * 3,
            lowest=self.darkest / 255.0,
            floor=-math.inf if self.floor is None else self.floor,
        )


@dataclass(frozen=True)
class ReversibleDensity(OpticalDensity):
    """Optical density whose inverse subtracts the offset again, so that there and back changes nothing."""

    def to_rgb(self, planes: Planes) -> Planes:
        """Optical density to RGB planes, unclipped."""
        return super().to_rgb(planes) - self.offset / 255.0

    @property
    def logarithm(self) -> LogDensity:
        """The same as numbers."""
        return super().logarithm._replace(shift=(-self.offset / 255.0,) * 3)


@dataclass(frozen=True)
class BackgroundDensity:
    """Optical density below the glass of one slide, OD = max(ln((Io + 1) / (I + 1)), 0), I and Io in 0..255 levels.

    Ramakrishnan et al. 2019, published code: each channel has its own Io, brighter pixels count as glass, and glass
    becomes the glass of the target, I = Io exp(-OD).

    Parameters
    ----------
    io : (float, float, float), optional
        Intensity of the background in red, green and blue, in levels.
    """

    io: tuple[float, float, float] = (255.0, 255.0, 255.0)

    def from_rgb(self, planes: Planes) -> Planes:
        """RGB planes in [0, 1] to optical density, 0 or more."""
        xp = namespace(planes)
        scaled = stack([plane * (255.0 / (io + 1.0)) + 1.0 / (io + 1.0) for plane, io in zip(planes, self.io)])
        return xp.clip(-xp.log(scaled), 0.0, None)

    def to_rgb(self, planes: Planes) -> Planes:
        """Optical density to RGB planes (nominally [0, Io / 255])."""
        xp = namespace(planes)
        light = xp.exp(-xp.clip(planes, -_MAX_EXPONENT, None))
        return stack([plane * (io / 255.0) for plane, io in zip(light, self.io)])

    @property
    def logarithm(self) -> LogDensity:
        """The same as numbers."""
        red, green, blue = self.io
        return LogDensity(
            scale=(255.0 / (red + 1), 255.0 / (green + 1), 255.0 / (blue + 1)),
            offset=(1 / (red + 1), 1 / (green + 1), 1 / (blue + 1)),
            gain=(red / 255.0, green / 255.0, blue / 255.0),
            floor=0.0,
        )


STAINTOOLS_DENSITY = OpticalDensity(io=255, offset=0, darkest=1, floor=1e-6)
"""Optical density as in StainTools 2.1.2 (P. Byfield)."""

STAINTOOLS_LIGHTEST = 79.8
"""Tissue in StainTools 2.1.2 is darker than this CIELAB lightness: below .8 of 8-bit Lab, at most 203 of 255."""

XYZ_FROM_RGB = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
)
RGB_FROM_XYZ = np.linalg.inv(XYZ_FROM_RGB)
D65 = np.array([0.95047, 1.0, 1.08883])
_EPSILON = (6 / 29) ** 3
_SLOPE = (29 / 6) ** 2 / 3
_SRGB_KNEE = 0.0031308


@dataclass(frozen=True)
class CIELab:
    """CIE 1976 L*a*b*, D65 white, from sRGB (IEC 61966-2-1): L in 0..100. Primaries as in scikit-image."""

    def from_rgb(self, planes: Planes) -> Planes:
        """sRGB planes in [0, 1] to L*, a*, b*."""
        xp = namespace(planes)
        linear = xp.where(planes > 0.04045, ((planes + 0.055) / 1.055) ** 2.4, planes / 12.92)
        xyz = mix(XYZ_FROM_RGB / D65[:, None], linear)
        f = xp.where(xyz > _EPSILON, xp.clip(xyz, _EPSILON, None) ** (1 / 3), _SLOPE * xyz + 4 / 29)
        return stack([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])

    def to_rgb(self, planes: Planes) -> Planes:
        """L*, a*, b* to sRGB planes; colors out of gamut come back outside [0, 1] (negative ones linearly)."""
        xp = namespace(planes)
        fy = (planes[0] + 16) / 116
        f = stack([fy + planes[1] / 500, fy, fy - planes[2] / 200])
        xyz = xp.where(f > 6 / 29, f * f * f, (f - 4 / 29) / _SLOPE)
        linear = mix(RGB_FROM_XYZ * D65, xyz)
        curved = 1.055 * xp.clip(linear, _SRGB_KNEE, None) ** (1 / 2.4) - 0.055
        return xp.where(linear > _SRGB_KNEE, curved, 12.92 * linear)


_LMS_FROM_RGB = np.array([[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]])
_RGB_FROM_LMS = np.linalg.inv(_LMS_FROM_RGB)
_OPPONENT = np.diag([1 / np.sqrt(3), 1 / np.sqrt(6), 1 / np.sqrt(2)]) @ np.array([[1, 1, 1], [1, 1, -2], [1, -1, 0]])
_FROM_OPPONENT = np.linalg.inv(_OPPONENT)
_LN10 = float(np.log(10))


@dataclass(frozen=True)
class LAlphaBeta:
    """Ruderman's l-alpha-beta as in Reinhard et al. 2001 (IEEE CG&A 21(5), eq. 4-6), base-10 logarithm of LMS.

    Parameters
    ----------
    floor : float, optional
        Smallest LMS value, so that black stays finite (one 8-bit level).
    """

    floor: float = 1 / 255

    def from_rgb(self, planes: Planes) -> Planes:
        """RGB planes in [0, 1] to l, alpha, beta."""
        xp = namespace(planes)
        lms = xp.clip(mix(_LMS_FROM_RGB, planes), self.floor, None)
        return mix(_OPPONENT / _LN10, xp.log(lms))

    def to_rgb(self, planes: Planes) -> Planes:
        """L, alpha, beta to RGB planes, unclipped."""
        xp = namespace(planes)
        return mix(_RGB_FROM_LMS, xp.exp(xp.clip(mix(_FROM_OPPONENT * _LN10, planes), None, _MAX_EXPONENT)))
