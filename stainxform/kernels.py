"""Color maps and estimation steps for which there is compiled code: thin wrappers that fill in its structures.

Every one of them has a plain counterpart, which is its definition: the ``evaluate`` of a color map, the numpy function
of an estimation. Colors of maps agree with it to 1e-5 of the range, which moves an 8-bit result by one level where it
falls between two; estimates agree to 1e-9.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from ctypes import Structure, c_double, c_float, c_int32, c_int64, c_void_p
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Protocol

import numpy as np

from stainxform import native
from stainxform.color import D65, RGB_FROM_XYZ, XYZ_FROM_RGB, LogDensity

_BITS = 1 / math.log(2)
"""The kernels measure density in powers of 2."""

_NO_FLOOR = -1e30

_ALMOST_BLACK = 1e-30
"""Zero has no logarithm."""

ENCODER_WORK = 16
"""Work of the Encoder on a pixel, in pixels of the fastest kernel."""


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


class _Lut3D(Structure):
    _fields_ = [
        ("nodes", c_void_p), ("n", c_int32), ("tetrahedral", c_int32), ("low", c_float * 3), ("inverse", c_float * 3),
    ]  # fmt: skip


class _Lut4D(Structure):
    _fields_ = [("nodes", c_void_p), ("context_nodes", c_int32), ("n", c_int32), ("context", c_void_p)]


class _GrayLut(Structure):
    _fields_ = [("table", c_void_p), ("context_nodes", c_int32), ("gray", c_void_p), ("context", c_void_p)]


class _Encoder(Structure):
    _fields_ = [
        *((name, c_void_p) for name in ("first", "middle", "last", "biases", "gain", "shift", "mean", "variance")),
        ("last_bias", c_float), ("epsilon", c_float),
    ]  # fmt: skip


class _Mapped:
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


def _floats(values: np.ndarray) -> tuple[float, ...]:
    return tuple(np.asarray(values, np.float64).ravel().tolist())


@dataclass(frozen=True, eq=False)
class DensityKernel(_Mapped):
    """density' = matrix @ density + bias, the matrix ``(3, 3)``."""

    space: LogDensity
    matrix: np.ndarray
    bias: np.ndarray

    name = "sx_density_map"

    @cached_property
    def _structure(self) -> Structure:
        return _DensityMap(
            _Density.of(self.space), _Light.of(self.space), _floats(self.matrix), _floats(self.bias * _BITS)
        )


@dataclass(frozen=True, eq=False)
class MixtureKernel(_Mapped):
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
            *map(_floats, (self.separate, self.recombine, self.bias * _BITS)),
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class StainKernel(_Mapped):
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
            _Density.of(self.source), _Light.of(self.target), _floats(stains.T), self.penalty * _BITS,
            cosine, self.determinant, _floats(self.recombine),
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class LabKernel(_Mapped):
    """Each channel of CIELAB times ``scale`` plus ``shift``."""

    scale: np.ndarray
    shift: np.ndarray

    name = "sx_lab_map"
    heavy = True

    @cached_property
    def _structure(self) -> Structure:
        to_xyz, from_xyz = XYZ_FROM_RGB / D65[:, None], RGB_FROM_XYZ * D65
        return _LabMap(*map(_floats, (self.scale, self.shift, to_xyz, from_xyz)))


@dataclass(frozen=True, eq=False)
class HsvKernel(_Mapped):
    """Hue turned by ``hue`` turns; saturation S to S (1 + s), or S (1 + (1 - S) s) where s > 0."""

    hue: float
    saturation: float

    name = "sx_hsv_map"

    @cached_property
    def _structure(self) -> Structure:
        return _HsvMap(self.hue, self.saturation, self.saturation > 0)


@dataclass(frozen=True, eq=False)
class Lut3DKernel(_Mapped):
    """Interpolation in a table ``(N, N, N, 3)`` between the colors ``low`` and ``high``."""

    table: np.ndarray
    tetrahedral: bool
    low: tuple[float, float, float]
    high: tuple[float, float, float]

    name = "sx_lut3d"

    @cached_property
    def _nodes(self) -> np.ndarray:
        return four_values(self.table)

    @cached_property
    def _structure(self) -> Structure:
        n = len(self.table)
        inverse = tuple((n - 1) / (high - low) for low, high in zip(self.low, self.high))
        return _Lut3D(self._nodes.ctypes.data, n, self.tetrahedral, self.low, inverse)


def four_values(table: np.ndarray) -> np.ndarray:
    """A table of colors ``(..., 3)`` as contiguous float32 ``(..., 4)``: a node is one vector register."""
    nodes = np.zeros((*table.shape[:-1], 4), np.float32)
    nodes[..., :3] = table
    return nodes


def lut4d(nodes: np.ndarray, context: np.ndarray, source: np.ndarray, target: np.ndarray) -> None:
    """Quadrilinear interpolation of ``nodes`` (K, T, T, T, 4) at ``source`` ``(3, H, W)`` in [0, 1], unclipped.

    ``context`` is float32 ``(H, W)``; it and the nodes are contiguous.
    """
    lut = _Lut4D(nodes.ctypes.data, nodes.shape[0], nodes.shape[1], context.ctypes.data)
    threads = native.threads_for(context.size)
    native.call("sx_lut4d", native.view(source, 0.0, 1.0), native.view(target, 0.0, 1.0, False), lut, threads)


def gray_lut(
    table: np.ndarray,
    gray: np.ndarray,
    context: np.ndarray,
    target: np.ndarray,
    low: float,
    scale: float,
    clip: bool = True,
) -> None:
    """Colors of 8-bit grays ``(H, W)``, linear in a float32 context ``(H, W)``, into ``target`` ``(3, H, W)``.

    ``table`` is float32 ``(256, K, 4)``; all arrays but the target are contiguous.
    """
    lut = _GrayLut(table.ctypes.data, table.shape[1], gray.ctypes.data, context.ctypes.data)
    native.call("sx_gray_lut", native.view(target, low, scale, clip), lut, native.threads_for(gray.size))


def gray_levels(source: np.ndarray, low: float, scale: float, weights: tuple[float, float, float]) -> np.ndarray:
    """Weighted mean of pixels ``(3, H, W)`` as uint8 ``(H, W)``."""
    out = np.empty(source.shape[1:], np.uint8)
    native.call(
        "sx_gray", native.view(source, low, scale), np.array(weights, np.float32), out, native.threads_for(out.size)
    )
    return out


@dataclass(frozen=True, eq=False)
class EncoderKernel:
    """StainLUT's Encoder, gray to context; float32 arrays.

    Parameters
    ----------
    first : ``(9, 16)``, the kernel for one gray channel; taps row by row, then outputs.
    middle : ``(3, 9, 16, 16)``: layer, tap, in, out.
    last : ``(9, 16)``: tap, in.
    biases : ``(4, 16)`` of the first and the middle layers.
    last_bias : of the last layer.
    gain, shift : ``(4, 16)``, weight and bias of the normalizations.
    mean, variance : ``(4, 16)`` to normalize with; None: those of the image.
    epsilon : added to the variance.
    """

    first: np.ndarray
    middle: np.ndarray
    last: np.ndarray
    biases: np.ndarray
    last_bias: float
    gain: np.ndarray
    shift: np.ndarray
    mean: np.ndarray | None
    variance: np.ndarray | None
    epsilon: float

    def __call__(self, gray: np.ndarray, fast: bool) -> np.ndarray:
        """Context, float32 ``(H, W)`` in [0, 1], of contiguous uint8 grays ``(H, W)``.

        ``fast`` takes bfloat16 where the instruction set in use has matrix tiles for it. No result depends on the
        number of threads.
        """
        arrays = (self.first, self.middle, self.last, self.biases, self.gain, self.shift, self.mean, self.variance)
        pointers = (None if array is None else array.ctypes.data for array in arrays)
        net = _Encoder(*pointers, self.last_bias, self.epsilon)
        context = np.empty(gray.shape, np.float32)
        height, width = gray.shape
        threads = native.threads_for(gray.size * ENCODER_WORK)
        native.call("sx_encode", gray, c_int64(height), c_int64(width), net, int(fast), context, threads)
        return context


def recolor(
    source: np.ndarray,
    target: np.ndarray,
    colors_of: Callable[[np.ndarray], np.ndarray],
    levels: np.ndarray | None = None,
) -> None:
    """Apply a function of color to uint8 pixels ``(3, H, W)``, once for each distinct color.

    ``colors_of`` takes uint8 colors ``(3, K)`` and returns theirs, ``(3, K)`` of the target's type. ``levels`` are the
    distinct colors, if they are known.
    """
    if levels is None:
        levels, _ = color_counts(source)
    levels = np.ascontiguousarray(levels)
    palette = np.empty((levels.shape[1], 4), target.dtype)
    palette[:, :3] = colors_of(levels).T
    threads = native.threads_for(source.shape[1] * source.shape[2])
    native.call(
        "sx_recolor", native.view(source), native.view(target), levels, c_int64(levels.shape[1]), palette, threads
    )


def color_counts(source: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct colors of uint8 pixels ``(3, H, W)``, uint8 ``(3, K)`` in Morton order, and their int64 counts."""
    k = native.call("sx_histogram_count", native.view(source), native.threads_for(source.shape[1] * source.shape[2]))
    levels, counts = np.empty((3, k), np.uint8), np.empty(k, np.int64)
    native.call("sx_histogram_take", levels, counts, c_int64(k))
    return levels, counts


def mean_level(source: np.ndarray) -> float:
    """Mean of uint8 pixels ``(3, H, W)`` over pixels and channels."""
    threads = native.threads_for(source.shape[1] * source.shape[2])
    return native.call("sx_sum", native.view(source), threads) / source.size


def to_levels(source: np.ndarray, low: float, scale: float, tolerance: float) -> np.ndarray | None:
    """Float32 pixels ``(3, H, W)`` as uint8 if all lie on the 8-bit grid, within ``tolerance`` levels; else None."""
    out = np.empty(source.shape, np.uint8)
    on_grid = native.call("sx_to_levels", native.view(source, low, scale), native.view(out), c_float(tolerance))
    return out if on_grid else None


_LINEAR = np.array([v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in np.arange(256) / 255])


def lab_of_levels(levels: np.ndarray) -> np.ndarray:
    """CIELAB, float64 ``(3, K)``, of uint8 colors ``(3, K)``."""
    out = native.empty(levels.shape)
    matrix = np.ascontiguousarray(XYZ_FROM_RGB / D65[:, None])
    native.call("sx_lab_of_levels", np.ascontiguousarray(levels), c_int64(levels.shape[1]), _LINEAR, matrix, out)
    return out


def look_up(levels: np.ndarray, tables: np.ndarray) -> np.ndarray:
    """Values, float64 ``(3, K)``, of uint8 colors in a table ``(3, 256)`` of their channels."""
    out = native.empty(levels.shape)
    tables = np.ascontiguousarray(tables, np.float64)
    native.call("sx_look_up", np.ascontiguousarray(levels), c_int64(levels.shape[1]), tables, out)
    return out


def count_between(levels: np.ndarray, counts: np.ndarray, least: int, most: int) -> int:
    """Pixels of the colors whose smallest level is at most ``least``, and whose largest at least ``most``."""
    levels, counts = np.ascontiguousarray(levels), np.ascontiguousarray(counts, np.int64)
    return native.call("sx_count_between", levels, counts, c_int64(counts.size), least, most)


def project(matrix: np.ndarray, values: np.ndarray) -> np.ndarray:
    """``matrix @ values``, float64 ``(m, 3)`` and ``(3, K)``."""
    out = native.empty((len(matrix), values.shape[1]))
    values, matrix = np.ascontiguousarray(values, np.float64), np.ascontiguousarray(matrix, np.float64)
    native.call("sx_project", values, c_int64(values.shape[1]), matrix, len(matrix), out)
    return out


def lasso(values: np.ndarray, stain_matrix: np.ndarray, penalty: float, determinant: float) -> np.ndarray:
    """Non-negative lasso amounts, float64 ``(2, K)``, of two stains ``(3, 2)`` in densities ``(3, K)``."""
    out = native.empty((2, values.shape[1]))
    values, stains = np.ascontiguousarray(values, np.float64), np.ascontiguousarray(stain_matrix.T, np.float64)
    native.call("sx_lasso", values, c_int64(values.shape[1]), stains, c_double(penalty), c_double(determinant), out)
    return out


def percentiles(values: np.ndarray, counts: np.ndarray, percents: tuple[float, ...]) -> np.ndarray:
    """Percentiles of ``values`` (K,) repeated ``counts`` times, by selection."""
    out = np.empty(len(percents))
    values, counts = np.ascontiguousarray(values, np.float64), np.ascontiguousarray(counts, np.int64)
    native.call(
        "sx_percentiles", values, counts, c_int64(values.size), np.array(percents, np.float64), len(percents), out
    )
    return out


class _Colors(Structure):
    _fields_ = [("levels", c_void_p), ("counts", c_void_p), ("n", c_int64), ("tables", c_void_p), ("least", c_double)]


class _Separation(Structure):
    _fields_ = [("rows", c_double * 6), ("lasso", c_int32), ("penalty", c_double), ("determinant", c_double)]


@dataclass(frozen=True, eq=False)
class Colors:
    """8-bit colors ``(3, K)``, int64 counts, densities by a table ``(3, 256)``, and the least that counts."""

    levels: np.ndarray
    counts: np.ndarray
    tables: np.ndarray
    least: float

    @cached_property
    def structure(self) -> Structure:
        """What the kernels take."""
        return _Colors(
            *(array.ctypes.data for array in self._kept[:2]), self.counts.size, self._kept[2].ctypes.data, self.least
        )

    @cached_property
    def _kept(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        contiguous = np.ascontiguousarray
        return contiguous(self.levels), contiguous(self.counts, np.int64), contiguous(self.tables, np.float64)


def level_moments(colors: Colors, centered: bool) -> tuple[int, np.ndarray]:
    """Pixels that count, and second moments ``(3, 3)`` of densities about their means, or about zero."""
    levels, tables = colors._kept[0], colors._kept[2]
    # About a point near the mean, so that little cancels, and moved.
    sample = levels[:, :: 1 + levels.shape[1] // 1024]
    point = (
        np.array([table[row].mean() for table, row in zip(tables, sample)]) if centered and sample.size else np.zeros(3)
    )
    out = np.empty(10)
    native.call("sx_level_moments", colors.structure, point, out)
    total = int(out[9])
    if not total:
        return 0, np.zeros((3, 3))
    second, shift = _symmetric(out[3:9] / total), out[:3] / total
    return total, second - np.outer(shift, shift) if centered else second


def _symmetric(upper: np.ndarray) -> np.ndarray:
    a, b, c, d, e, f = upper
    return np.array([[a, b, c], [b, d, e], [c, e, f]])


def level_angle_percentiles(colors: Colors, plane: np.ndarray, percents: tuple[float, ...]) -> np.ndarray:
    """Percentiles of the angles of densities in a plane ``(3, 2)``."""
    out, wanted = np.empty(len(percents)), np.array(percents, np.float64)
    plane = np.ascontiguousarray(plane)
    native.call("sx_level_angle_percentiles", colors.structure, plane, wanted, len(percents), out)
    return out


def level_amount_percentiles(
    colors: Colors, rows: np.ndarray, penalty: float | None, determinant: float | None, percent: float
) -> np.ndarray:
    """A percentile of the amounts of two stains: ``rows @ density``, or, with a penalty, their lasso amounts."""
    by = _Separation(_doubles(rows), penalty is not None, penalty or 0.0, determinant or 0.0)
    out = np.empty(2)
    native.call("sx_level_amount_percentiles", colors.structure, by, c_double(percent), out)
    return out


def _doubles(values: np.ndarray) -> tuple[float, ...]:
    return tuple(np.asarray(values, np.float64).ravel().tolist())


def moments(values: np.ndarray, counts: np.ndarray, about: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Mean ``(3,)`` of ``values`` (3, K) and second moments ``(3, 3)`` about a point; None: about the mean."""
    total = float(counts.sum())
    values, counts = np.ascontiguousarray(values, np.float64), np.ascontiguousarray(counts, np.int64)
    out = np.empty(9)
    # About the mean: about a point near it, so that little cancels, and moved.
    point = values[:, :: 1 + counts.size // 1024].mean(axis=1) if about is None else np.asarray(about, np.float64)
    native.call("sx_moments", values, counts, c_int64(counts.size), point, out)
    mean = out[:3] / total
    second = _symmetric(out[3:] / total)
    return mean, second - np.outer(mean - point, mean - point) if about is None else second


def lasso_moments(
    od: np.ndarray, weights: np.ndarray, stain_matrix: np.ndarray, penalty: float, determinant: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weighted sums over colors ``(3, K)`` of a a^T, OD a^T and a, with a the non-negative lasso amounts of each."""
    out = np.empty(11)
    stains = np.ascontiguousarray(stain_matrix.T)
    native.call(
        "sx_lasso_moments", od, weights, c_int64(weights.size), stains, c_double(penalty), c_double(determinant), out
    )
    a, b, c = out[:3]
    return np.array([[a, b], [b, c]]), out[3:9].reshape(3, 2), out[9:]
