"""The lookup operators in plain torch: the definition that every kernel is tested against, on any device.

Each forward has a backward beside it that computes true derivatives; at a node they are those of the cell above it (of
the last cell at the upper end), outside the range the derivative to the coordinate is zero. Halves are computed in
float32. Inputs are taken as checked.
"""

from __future__ import annotations

from itertools import pairwise, product
from typing import NamedTuple

import torch
from torch import Tensor

from stainxform.color.interpolation import blend, corners, edges, locate, multilinear, tetrahedral, tetrahedron

__all__ = ["lookup_gray", "lookup_gray_backward", "lut3d", "lut3d_backward", "lut4d", "lut4d_backward", "working_dtype"]


def working_dtype(dtype: torch.dtype) -> torch.dtype:
    """float64 for float64, float32 for all others."""
    return torch.float64 if dtype == torch.float64 else torch.float32


class _Nodes(NamedTuple):
    """Nodes of a grid by channel, ``(C, N)``."""

    channels: Tensor

    def __getitem__(self, index: Tensor) -> Tensor:  # type: ignore[override]
        return self.channels[:, index]


class _Grid:
    """A table ``(C, *sizes)`` in the working dtype and the cells of some coordinates."""

    def __init__(self, lut: Tensor, coordinates: list[Tensor]):
        work = working_dtype(lut.dtype)
        self.sizes = lut.shape[1:]
        self.nodes = _Nodes(lut.flatten(1).to(work))
        self.strides = [int(self.sizes[axis + 1 :].numel()) for axis in range(len(self.sizes))]
        self.coordinates = [coordinate.to(work) for coordinate in coordinates]
        cells = [locate(coordinate, size) for coordinate, size in zip(self.coordinates, self.sizes)]
        # Bounded as integers, too: NaN converts to any.
        lower = [cell.clamp(0, size - 2) * stride for (cell, _), size, stride in zip(cells, self.sizes, self.strides)]
        self.index = torch.stack(lower).sum(0)
        self.fractions = [fraction for _, fraction in cells]

    def coordinate_gradient(self, slopes: list[Tensor], dtype: torch.dtype) -> Tensor:
        """Gradients ``(axes, ...)`` of the coordinates, from those of the fractions."""
        inside = [(coordinate >= 0) & (coordinate <= 1) for coordinate in self.coordinates]
        gradients = [slope * (size - 1) * within for slope, size, within in zip(slopes, self.sizes, inside)]
        return torch.stack(gradients).to(dtype)

    def table_gradient(self, parts: list[tuple[Tensor, Tensor]], grad: Tensor, like: Tensor) -> Tensor:
        """Gradient of the table, from the indices and weights of the nodes that were read."""
        total = torch.zeros_like(self.nodes.channels)
        for index, weight in parts:
            total.index_add_(1, index.reshape(-1), (weight * grad).reshape(len(total), -1))
        return total.reshape(like.shape).to(like.dtype)

    def multilinear_slopes(self, grad: Tensor) -> list[Tensor]:
        """Gradient of each fraction: between the other axes, of the difference along its own."""
        values = [(corner * grad).sum(0) for corner in corners(self.nodes, self.index, self.strides)]
        slopes, axes = [], len(self.strides)
        for axis in range(axes):
            bit = 1 << (axes - 1 - axis)
            differences = [values[i | bit] - values[i] for i in range(len(values)) if not i & bit]
            slopes.append(blend(differences, self.fractions[:axis] + self.fractions[axis + 1 :]))
        return slopes

    def multilinear_weights(self) -> list[tuple[Tensor, Tensor]]:
        """Index and weight of each corner."""
        parts = []
        for upper in product((0, 1), repeat=len(self.strides)):
            index, weight = self.index, torch.ones_like(self.fractions[0])
            for up, stride, fraction in zip(upper, self.strides, self.fractions):
                index = index + up * stride
                weight = weight * (fraction if up else 1 - fraction)
            parts.append((index, weight))
        return parts

    def tetrahedral_slopes(self, grad: Tensor) -> list[Tensor]:
        """Gradient of each fraction: the difference along its edge of the path."""
        first, third = edges(self.fractions, self.strides)
        path = tetrahedron(self.nodes, self.index, self.fractions, self.strides)
        steps = [high - low for low, high in pairwise((corner * grad).sum(0) for corner in path)]
        return [
            torch.where(first == stride, steps[0], torch.where(third == stride, steps[2], steps[1]))
            for stride in self.strides
        ]

    def tetrahedral_weights(self) -> list[tuple[Tensor, Tensor]]:
        """Index and weight of each corner of the path."""
        first, third = edges(self.fractions, self.strides)
        least, middle, most = torch.stack(self.fractions).sort(0).values
        top = self.index + sum(self.strides)
        indices = (self.index, self.index + first, top - third, top)
        return list(zip(indices, (1 - most, most - middle, middle - least, least)))


def lut3d(lut: Tensor, rgb: Tensor, interpolation: str = "tetrahedral") -> Tensor:
    """Interpolate ``lut (C, T, T, T)`` at ``rgb (3, ...)``; see ``stainxform.ops.lut3d``."""
    colors = rgb.to(working_dtype(lut.dtype)) / 255 if rgb.dtype == torch.uint8 else rgb
    grid = _Grid(lut, list(colors))
    interpolate = tetrahedral if interpolation == "tetrahedral" else multilinear
    found: Tensor = interpolate(grid.nodes, grid.index, grid.fractions, grid.strides)
    return (found.clamp(0, 1) * 255).round().to(torch.uint8) if rgb.dtype == torch.uint8 else found.to(rgb.dtype)


def lut3d_backward(
    grad: Tensor, lut: Tensor, rgb: Tensor, interpolation: str, need_lut: bool, need_rgb: bool
) -> tuple[Tensor, Tensor]:
    """Gradients of ``lut`` and ``rgb``; one that is not needed is empty."""
    grid, grad = _Grid(lut, list(rgb)), grad.to(working_dtype(lut.dtype))
    by_path = interpolation == "tetrahedral"
    empty = lut.new_empty(0)
    grad_lut = grad_rgb = empty
    if need_lut:
        parts = grid.tetrahedral_weights() if by_path else grid.multilinear_weights()
        grad_lut = grid.table_gradient(parts, grad, lut)
    if need_rgb:
        slopes = grid.tetrahedral_slopes(grad) if by_path else grid.multilinear_slopes(grad)
        grad_rgb = grid.coordinate_gradient(slopes, rgb.dtype)
    return grad_lut, grad_rgb


def lut4d(lut: Tensor, context: Tensor, rgb: Tensor) -> Tensor:
    """Interpolate ``lut (C, K, T, T, T)`` at ``context (...)`` and ``rgb (3, ...)``; see ``stainxform.ops.lut4d``."""
    grid = _Grid(lut, [context, *rgb])
    found: Tensor = multilinear(grid.nodes, grid.index, grid.fractions, grid.strides)
    return found.to(lut.dtype)


def lut4d_backward(
    grad: Tensor, lut: Tensor, context: Tensor, rgb: Tensor, need_lut: bool, need_coordinates: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of ``lut``, ``context`` and ``rgb``; those not needed are empty."""
    grid, grad = _Grid(lut, [context, *rgb]), grad.to(working_dtype(lut.dtype))
    grad_lut = grid.table_gradient(grid.multilinear_weights(), grad, lut) if need_lut else lut.new_empty(0)
    if not need_coordinates:
        return grad_lut, lut.new_empty(0), lut.new_empty(0)
    coordinates = grid.coordinate_gradient(grid.multilinear_slopes(grad), lut.dtype)
    return grad_lut, coordinates[0].clone(), coordinates[1:].clone()


def _levels(gray: Tensor, levels: int) -> Tensor:
    index = gray.reshape(-1).long()
    return index if gray.dtype == torch.uint8 and levels == 256 else index.clamp(0, levels - 1)


def _hats(context: Tensor, context_nodes: int) -> Tensor:
    """Weights ``(P, K)`` of the context nodes: linear interpolation without a second gather."""
    position = context.reshape(-1, 1).clamp(0, 1) * (context_nodes - 1)
    knots = torch.arange(context_nodes, device=context.device, dtype=context.dtype)
    return (1 - (position - knots).abs()).clamp(min=0)


def _rows(table: Tensor) -> Tensor:
    """``(C, K, levels)`` -> ``(levels, K * C)``."""
    return table.permute(2, 1, 0).flatten(1)


def lookup_gray(table: Tensor, gray: Tensor, context: Tensor) -> Tensor:
    """Look up ``gray (...)`` in ``table (C, K, levels)`` at ``context (...)``; see ``stainxform.ops.lookup_gray``."""
    work = working_dtype(table.dtype)
    channels, context_nodes, levels = table.shape
    nodes = _rows(table.to(work))[_levels(gray, levels)].reshape(-1, context_nodes, channels)
    hats = _hats(context.to(work), context_nodes)
    found = (nodes * hats.unsqueeze(-1)).sum(1).t().reshape(channels, *gray.shape)
    return found.to(table.dtype).contiguous()


def lookup_gray_backward(
    grad: Tensor, table: Tensor, gray: Tensor, context: Tensor, need_table: bool, need_context: bool
) -> tuple[Tensor, Tensor]:
    """Gradients of ``table`` and ``context``; one that is not needed is empty."""
    work = working_dtype(table.dtype)
    channels, context_nodes, levels = table.shape
    index, unit = _levels(gray, levels), context.to(work)
    pixels = grad.to(work).reshape(channels, -1).t()  # (P, C)
    grad_table = grad_context = table.new_empty(0)
    if need_table:
        weighted = (_hats(unit, context_nodes).unsqueeze(-1) * pixels.unsqueeze(1)).flatten(1)
        rows = pixels.new_zeros(levels, context_nodes * channels).index_add_(0, index, weighted)
        grad_table = rows.reshape(levels, context_nodes, channels).permute(2, 1, 0).to(table.dtype).contiguous()
    if need_context:
        slopes = _rows(table.to(work).diff(dim=1)).reshape(levels, context_nodes - 1, channels)
        cell, _ = locate(unit.reshape(-1), context_nodes)
        slope = slopes[index, cell.clamp_(0, context_nodes - 2)]
        inside = (unit >= 0) & (unit <= 1)
        grad_context = (slope * pixels).sum(1).reshape(context.shape) * inside * (context_nodes - 1)
        grad_context = grad_context.to(context.dtype)
    return grad_table, grad_context
