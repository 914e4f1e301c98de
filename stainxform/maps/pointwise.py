"""Color maps in closed form: of optical density, of stain amounts, of a color space's channels, of curves, of a network."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from stainxform._native import native
from stainxform._native.kernels import CurveKernel, DensityKernel, Kernel, LabKernel, NetworkKernel, StainKernel
from stainxform._native.kernels.tables import WIDEST
from stainxform._optional import is_tensor
from stainxform.color import (
    CIELab,
    ColorSpace,
    LogarithmicSpace,
    OpticalDensity,
    Planes,
    as_index,
    constant,
    mix,
    namespace,
    stack,
)
from stainxform.errors import ParameterError
from stainxform.maps.base import ColorMap
from stainxform.stains.separation import NonnegativeLasso, Separation

__all__ = ["ChannelAffineMap", "CurveMap", "NonnegativeStainMap", "PointwiseNetMap", "StainMatrixMap"]


def _check_finite(name: str, value: np.ndarray, shape: tuple[int, ...]) -> None:
    """ParameterError for what would turn an image black, or into something else, without a word."""
    if np.shape(value) != shape or not np.isfinite(value).all():
        got = np.asarray(value)
        raise ParameterError(
            f"{name} must be finite numbers of shape {shape}, got {got.tolist() if got.size < 20 else got.shape}"
        )


@dataclass(frozen=True, eq=False)
class StainMatrixMap(ColorMap):
    """A linear map of optical density: OD' = matrix @ OD.

    Separating with a source stain matrix, scaling the concentrations and recombining with a target stain matrix is one
    3x3 matrix, ``W_target @ diag(scale) @ pinv(W_source)``.

    Parameters
    ----------
    matrix : ndarray
        float64 ``(3, 3)``.
    space : OpticalDensity, optional
        The optical-density convention of both sides.
    """

    matrix: np.ndarray
    space: OpticalDensity = OpticalDensity()

    def __post_init__(self) -> None:
        _check_finite("matrix", self.matrix, (3, 3))
        if not isinstance(self.space, OpticalDensity):
            raise ParameterError(f"space must be an OpticalDensity, got {self.space!r}")

    def evaluate(self, planes: Planes) -> Planes:
        """RGB planes -> optical density -> matrix -> RGB planes."""
        return self.space.to_rgb(mix(self.matrix, self.space.from_rgb(planes)))

    @property
    def kernel(self) -> DensityKernel:
        """Matrix and no bias."""
        return DensityKernel(self.space.logarithm, self.matrix, np.zeros(3))


@dataclass(frozen=True, eq=False)
class NonnegativeStainMap(ColorMap):
    """Separate into amounts of stains, none negative, and recombine them with the colors of other stains.

    Not linear, other than :class:`StainMatrixMap`: no stain takes away light that another has absorbed.

    Parameters
    ----------
    separation : Separation
        Separation from optical density to amounts, 0 or more.
    stain_matrix : ndarray
        float64 ``(3, k)``, the optical density that one unit of each amount becomes.
    source, target : LogarithmicSpace
        The optical-density conventions of the two sides.
    """

    separation: Separation
    stain_matrix: np.ndarray
    source: LogarithmicSpace
    target: LogarithmicSpace

    def evaluate(self, planes: Planes) -> Planes:
        """RGB planes -> optical density -> amounts -> optical density -> RGB planes."""
        amounts = self.separation(self.source.from_rgb(planes))
        return self.target.to_rgb(mix(self.stain_matrix, amounts))

    @property
    def kernel(self) -> StainKernel | None:
        """For two stains by the lasso."""
        if not isinstance(self.separation, NonnegativeLasso):
            return None
        separation = self.separation
        return StainKernel(
            self.source.logarithm, self.target.logarithm, separation.stain_matrix, separation.penalty,
            separation.determinant, self.stain_matrix,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class ChannelAffineMap(ColorMap):
    """An affine map of each channel of a color space: v' = scale * v + shift.

    Parameters
    ----------
    space : ColorSpace
        Color space in which the channels are mapped.
    scale, shift : ndarray
        float64 ``(3,)``, in the units of that space.
    """

    space: ColorSpace
    scale: np.ndarray
    shift: np.ndarray

    def __post_init__(self) -> None:
        _check_finite("scale", self.scale, (3,))
        _check_finite("shift", self.shift, (3,))

    def evaluate(self, planes: Planes) -> Planes:
        """RGB planes -> color space -> affine -> RGB planes."""
        values = self.space.from_rgb(planes)
        return self.space.to_rgb(stack([values[c] * float(self.scale[c]) + float(self.shift[c]) for c in range(3)]))

    @property
    def kernel(self) -> Kernel | None:
        """For CIELAB, and for spaces that are linear in density."""
        if isinstance(self.space, CIELab):
            return LabKernel(self.scale, self.shift)
        in_density = getattr(self.space, "in_density", None)
        return in_density(self.scale, self.shift) if in_density else None


@dataclass(frozen=True, eq=False)
class CurveMap(ColorMap):
    """A curve of each RGB channel, interpolated linearly between equally spaced nodes.

    Parameters
    ----------
    curves : ndarray
        float64 ``(3, K)``, values at inputs 0, 1/(K-1), ..., 1; with K = 256 the nodes are the 8-bit levels.
    """

    curves: np.ndarray

    def __post_init__(self) -> None:
        _check_finite("curves", self.curves, (3, max(np.size(self.curves) // 3, 1)))

    def evaluate(self, planes: Planes) -> Planes:
        """Look each channel up in its curve."""
        xp = namespace(planes)
        last = self.curves.shape[1] - 1
        node = xp.clip(xp.floor(planes * last), 0, last - 1)
        fraction, index = planes * last - node, as_index(node)
        curves = constant(self.curves, planes)
        low, high = ([curve[i + step] for curve, i in zip(curves, index)] for step in (0, 1))
        return stack([a + (b - a) * f for a, b, f in zip(low, high, fraction)])

    @property
    def kernel(self) -> CurveKernel | None:
        """A table of the levels, and of the nodes."""
        if self.curves.shape[1] < 2:
            return None
        ramp = np.tile(np.arange(256, dtype=np.float32) / 255, (3, 1))
        levels = np.rint(np.clip(self.evaluate(ramp), 0, 1) * 255).astype(np.uint8)
        return CurveKernel(levels, self.curves)


_FIXED_POINT = 2.0**16
_EXACT = 2.0**53
"""Sums of integers up to this are exact in float64, in any order."""

_PIXELS_IN_CACHE = 2048
"""Pixels whose 32 hidden values stay in a core's cache."""


@dataclass(frozen=True, eq=False)
class PointwiseNetMap(ColorMap):
    """A small network of 1x1 convolutions on colors scaled to -1..1, with ReLU between them.

    Computed in fixed point: weights and activations are rounded to multiples of 2^-16, with which the sums of a layer
    are exact in float64. No order of summation, and so neither BLAS, layout nor device, can change a bit of the result.

    Parameters
    ----------
    layers : tuple of (ndarray, ndarray)
        Of each layer the weight ``(out, in)`` and the bias ``(out,)``; the first takes, the last gives 3 channels.

    Raises
    ------
    ValueError
        Layers that do not fit each other, or weights too large to be exact.
    """

    layers: tuple[tuple[np.ndarray, np.ndarray], ...]

    def __post_init__(self) -> None:
        if not self.layers:
            raise ValueError("the network has no layer")
        channels, largest = 3, np.full(3, _FIXED_POINT)
        for weight, bias in self._integers():
            if weight.ndim != 2 or weight.shape[1] != channels or bias.shape != (len(weight), 1):
                raise ValueError(f"a layer of shape {weight.shape} cannot follow {channels} channels")
            sums = np.abs(weight) @ largest + np.abs(bias[:, 0])
            if not (sums < _EXACT).all():
                raise ValueError("the weights of the network are too large")
            channels, largest = len(weight), sums / _FIXED_POINT + 1
        if channels != 3:
            raise ValueError(f"the last layer gives {channels} channels, expected 3")

    def __getstate__(self) -> dict[str, Any]:
        """Without the kernel: a pickle, by which caches distinguish models, must not depend on use."""
        return {"layers": self.layers}

    def _integers(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Weights in units of 2^-16, biases, as columns, of 2^-32, as float64."""
        scaled = [(np.asarray(array, np.float64) * _FIXED_POINT for array in layer) for layer in self.layers]
        return [(np.rint(weight), np.rint(bias)[:, None] * _FIXED_POINT) for weight, bias in scaled]

    @cached_property
    def _kernel(self) -> NetworkKernel | None:
        layers = self._integers()
        return NetworkKernel(layers) if max(len(weight) for weight, _ in layers) <= WIDEST else None

    def evaluate(self, planes: Planes) -> Planes:
        """RGB planes -> network -> RGB planes. Gradients are those of the network without rounding."""
        pixels = planes.reshape(3, -1)
        if is_tensor(pixels):
            return self._run(pixels.double()).to(planes.dtype).reshape(planes.shape)
        if native.active() and self._kernel:
            return self._kernel(pixels).astype(planes.dtype).reshape(planes.shape)
        result = np.empty_like(pixels)
        for start in range(0, pixels.shape[1], _PIXELS_IN_CACHE):
            part = slice(start, start + _PIXELS_IN_CACHE)
            result[:, part] = self._run(pixels[:, part].astype(np.float64))
        return result.reshape(planes.shape)

    def _run(self, colors: Planes) -> Planes:
        """Colors ``(3, K)``, float64 in [0, 1], through the layers."""
        values = _whole(colors * (2 * _FIXED_POINT) - _FIXED_POINT)
        for number, (weight, bias) in enumerate(self._integers()):
            if number:
                values = _whole(namespace(values).clip(values, 0, None) / _FIXED_POINT)
            values = constant(weight, values) @ values + constant(bias, values)
        return values / (2 * _FIXED_POINT**2) + 0.5


def _whole(values: Planes) -> Planes:
    """Round to whole numbers, with the gradient of not rounding."""
    return values + (values.round() - values).detach() if is_tensor(values) else np.rint(values)
