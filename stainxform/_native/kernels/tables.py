"""Lookup tables in compiled code."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from stainxform._native import native
from stainxform._native.kernels.maps import Mapped
from stainxform._native.signatures import CurveMap, GrayLut, Lut3D, Lut4D, Map, Network


@dataclass(frozen=True, eq=False)
class CurveKernel(Mapped):
    """Each channel through a curve: of uint8 by ``levels``, uint8 ``(3, 256)``, of floats by ``nodes`` ``(3, K)``."""

    levels: np.ndarray
    nodes: np.ndarray

    @cached_property
    def _map(self) -> Map:
        levels, nodes = np.ascontiguousarray(self.levels, np.uint8), np.ascontiguousarray(self.nodes, np.float32)
        return CurveMap.of(levels, nodes, nodes.shape[1])


WIDEST = 64
"""Channels of a layer, at most."""

_NETWORK_WORK = 16
"""A color through the network takes as long as this many pixels of the fastest kernel."""


@dataclass(frozen=True, eq=False)
class NetworkKernel:
    """1x1 convolutions in whole numbers, on colors: weights ``(out, in)`` in units of 2^-16, biases ``(out, 1)`` of 2^-32."""

    layers: list[tuple[np.ndarray, np.ndarray]]

    @cached_property
    def _network(self) -> Network:
        widths = np.array([3, *(len(weight) for weight, _ in self.layers)], np.int32)
        weights, biases = (
            np.concatenate([layer[k].ravel() for layer in self.layers], dtype=np.float64) for k in (0, 1)
        )
        return Network.of(widths, weights, biases, len(self.layers))

    def __call__(self, colors: np.ndarray, threads: int | None = None) -> np.ndarray:
        """Colors ``(3, K)`` in [0, 1] to float64 ``(3, K)``."""
        colors = np.ascontiguousarray(colors, np.float64)
        out, n = np.empty_like(colors), colors.shape[1]
        native.call("sx_network", colors, n, self._network, out, threads or native.threads_for(n * _NETWORK_WORK))
        return out


@dataclass(frozen=True, eq=False)
class Lut3DKernel(Mapped):
    """Interpolation in a table ``(N, N, N, 3)`` between the colors ``low`` and ``high``."""

    table: np.ndarray
    tetrahedral: bool
    low: tuple[float, float, float]
    high: tuple[float, float, float]

    @cached_property
    def _map(self) -> Map:
        n = len(self.table)
        inverse = tuple((n - 1) / (high - low) for low, high in zip(self.low, self.high))
        return Lut3D.of(four_values(self.table), n, self.tetrahedral, self.low, inverse)


def four_values(table: np.ndarray) -> np.ndarray:
    """A table of colors ``(..., 3)`` as contiguous float32 ``(..., 4)``: a node is one vector register."""
    nodes = np.zeros((*table.shape[:-1], 4), np.float32)
    nodes[..., :3] = table
    return nodes


def lut4d(nodes: np.ndarray, context: np.ndarray, source: np.ndarray, target: np.ndarray) -> None:
    """Quadrilinear interpolation of ``nodes`` (K, T, T, T, 4) at ``source`` ``(3, H, W)`` in [0, 1], unclipped.

    ``context`` is float32 ``(H, W)``; it and the nodes are contiguous.
    """
    lut = Lut4D.of(nodes, nodes.shape[0], nodes.shape[1], context)
    views = native.view(source, 0.0, 1.0), native.view(target, 0.0, 1.0, False)
    native.call(lut.function, *views, lut, native.threads_for(context.size))


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
    lut = GrayLut.of(table, table.shape[1], gray, context)
    native.call("sx_gray_lut", native.view(target, low, scale, clip), lut, native.threads_for(gray.size))
