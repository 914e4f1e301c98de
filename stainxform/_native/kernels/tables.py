"""Lookup tables in compiled code."""

from __future__ import annotations

from ctypes import Structure, c_float, c_int32, c_int64, c_void_p
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from stainxform._native import native
from stainxform._native.kernels.maps import Mapped


class _Lut3D(Structure):
    _fields_ = [
        ("nodes", c_void_p), ("n", c_int32), ("tetrahedral", c_int32), ("low", c_float * 3), ("inverse", c_float * 3),
    ]  # fmt: skip


class _CurveMap(Structure):
    _fields_ = [("levels", c_void_p), ("nodes", c_void_p), ("n", c_int32)]


class _Network(Structure):
    _fields_ = [("widths", c_void_p), ("weights", c_void_p), ("biases", c_void_p), ("layers", c_int32)]


class _Lut4D(Structure):
    _fields_ = [("nodes", c_void_p), ("context_nodes", c_int32), ("n", c_int32), ("context", c_void_p)]


class _GrayLut(Structure):
    _fields_ = [("table", c_void_p), ("context_nodes", c_int32), ("gray", c_void_p), ("context", c_void_p)]


@dataclass(frozen=True, eq=False)
class CurveKernel(Mapped):
    """Each channel through a curve: of uint8 by ``levels``, uint8 ``(3, 256)``, of floats by ``nodes`` ``(3, K)``."""

    levels: np.ndarray
    nodes: np.ndarray

    name = "sx_curves"

    @cached_property
    def _kept(self) -> tuple[np.ndarray, np.ndarray]:
        return np.ascontiguousarray(self.levels, np.uint8), np.ascontiguousarray(self.nodes, np.float32)

    @cached_property
    def _structure(self) -> Structure:
        levels, nodes = self._kept
        return _CurveMap(levels.ctypes.data, nodes.ctypes.data, nodes.shape[1])


WIDEST = 64
"""Channels of a layer, at most."""

_NETWORK_WORK = 16
"""A color through the network takes as long as this many pixels of the fastest kernel."""


@dataclass(frozen=True, eq=False)
class NetworkKernel:
    """1x1 convolutions in whole numbers, on colors: weights ``(out, in)`` in units of 2^-16, biases ``(out, 1)`` of 2^-32."""

    layers: list[tuple[np.ndarray, np.ndarray]]

    @cached_property
    def _kept(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        widths = np.array([3, *(len(weight) for weight, _ in self.layers)], np.int32)
        weights, biases = (np.concatenate([layer[k].ravel() for layer in self.layers]) for k in (0, 1))
        return widths, weights, biases

    def __call__(self, colors: np.ndarray) -> np.ndarray:
        """Colors ``(3, K)`` in [0, 1] to float64 ``(3, K)``."""
        colors = np.ascontiguousarray(colors, np.float64)
        out, net = np.empty_like(colors), _Network(*(array.ctypes.data for array in self._kept), len(self.layers))
        threads = native.threads_for(colors.shape[1] * _NETWORK_WORK)
        native.call("sx_network", colors, c_int64(colors.shape[1]), net, out, threads)
        return out


@dataclass(frozen=True, eq=False)
class Lut3DKernel(Mapped):
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
