"""Four-dimensional lookup tables: quadrilinear interpolation and its exact collapse on the gray diagonal.

A 4D LUT has shape ``(channels, K, T, T, T)``: K nodes along the context axis and T along red, green and blue.
All coordinates are in [0, 1]; the StainLUT paper writes the same on a 0..255 scale with the step 255 / (T - 1)
(npj Digital Medicine 2025, doi 10.1038/s41746-025-02196-8, eq. 3-4).
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product

import torch
from torch import Tensor

from stainxform._torch import learning, undisturbed
from stainxform.color.interpolation import locate

__all__ = ["collapse_gray", "identity_lut4d", "lookup_gray", "lut4d"]


def identity_lut4d(size: int = 33, context_nodes: int = 2, dtype: torch.dtype = torch.float32) -> Tensor:
    """The 4D LUT that returns its red, green, blue coordinates for every context: ``(3, K, T, T, T)``."""
    ramp = torch.linspace(0.0, 1.0, size, dtype=dtype)
    rgb = torch.stack(torch.meshgrid(ramp, ramp, ramp, indexing="ij"))
    return rgb.unsqueeze(1).repeat(1, context_nodes, 1, 1, 1)


def lut4d(lut: Tensor, context: Tensor, rgb: Tensor) -> Tensor:
    """Quadrilinear interpolation over the 16 corners of the cell (eq. 3-4 of the paper): ``torch.ops.stainxform.lut4d``.

    Differentiable in the LUT, the context and the colors, with the true derivatives; at a node the derivative is
    that of the cell above it (of the last cell at the upper end).

    Parameters
    ----------
    lut : Tensor
        Tensor ``(C, K, T, T, T)``, K and T >= 2.
    context : Tensor
        Tensor ``(...)`` in [0, 1]; values outside are clamped.
    rgb : Tensor
        Tensor ``(3, ...)`` in [0, 1], of the same trailing shape as ``context``; values outside are clamped.

    Returns
    -------
    Tensor
        Tensor ``(C, ...)`` of the dtype that all three share; float16 and bfloat16 are computed in float32.

    Raises
    ------
    ParameterError
        Shapes, dtypes or devices that do not fit.
    """
    return torch.ops.stainxform.lut4d(lut, context, rgb)


@lru_cache(maxsize=8)
@learning()  # kept, and then used in training, too
def _diagonal_corners(size: int) -> tuple[Tensor, Tensor]:
    """For each diagonal cell its 8 corners, ordered by m = the number of upper indices.

    Returns flat node indices ``(T - 1, 8)`` and the averaging matrix ``(8, 4)``: corners -> P_m.
    """
    corners = sorted(product((0, 1), repeat=3), key=sum)
    cell = torch.arange(size - 1)
    index = torch.stack([(cell + r) * size**2 + (cell + g) * size + (cell + b) for r, g, b in corners], dim=1)
    average = torch.zeros(8, 4, dtype=torch.float64)
    for row, corner in enumerate(corners):
        average[row, sum(corner)] = 1 / 3 if sum(corner) in (1, 2) else 1.0
    return index, average


@lru_cache(maxsize=8)
@learning()  # kept, and then used in training, too
def _bernstein_rows(size: int, levels: int) -> tuple[Tensor, Tensor]:
    """For ``levels`` equally spaced grays: the diagonal cell of each and its four Bernstein weights B_m^3(d)."""
    cell, d = locate(torch.linspace(0, 1, levels, dtype=torch.float64), size)
    weights = torch.stack([(1 - d) ** 3, 3 * d * (1 - d) ** 2, 3 * d**2 * (1 - d), d**3], dim=1)
    return cell, weights


@undisturbed()
def collapse_gray(lut: Tensor, levels: int = 256) -> Tensor:
    """Collapse a 4D LUT onto the gray diagonal: ``(..., K, T, T, T)`` -> ``(..., K, levels)``, exactly.

    At the point (g, g, g, c) all three color fractions equal d, so the weight of a corner depends only on m, the
    number of its upper indices, and the interpolation is ``sum_m B_m^3(d) P_m`` with Bernstein cubics B and P_m the
    mean of the C(3, m) corners. For 8-bit grays that is one number per level and context node. Linear in ``lut``
    and differentiable.
    """
    size = lut.shape[-1]
    index, average = _diagonal_corners(size)
    cell, weights = _bernstein_rows(size, levels)
    flat = lut.flatten(-3)
    corners = flat[..., index.to(lut.device)]  # (..., K, T - 1, 8)
    control = corners @ average.to(flat)  # (..., K, T - 1, 4)
    return (control[..., cell.to(lut.device), :] * weights.to(flat)).sum(-1)


def lookup_gray(table: Tensor, gray: Tensor, context: Tensor) -> Tensor:
    """Look 8-bit grays up in a collapsed table, linearly in the context: ``torch.ops.stainxform.lookup_gray``.

    Differentiable in the table and the context, like :func:`lut4d`.

    Parameters
    ----------
    table : Tensor
        Tensor ``(C, K, levels)``, from :func:`collapse_gray` (after fusion).
    gray : Tensor
        Integer tensor ``(...)`` in 0..levels - 1; values outside are clamped.
    context : Tensor
        Tensor ``(...)`` in [0, 1], of the dtype of ``table``; values outside are clamped.

    Returns
    -------
    Tensor
        Tensor ``(C, ...)``; equals ``lut4d(lut, context, (gray, gray, gray))`` up to rounding.

    Raises
    ------
    ParameterError
        Shapes, dtypes or devices that do not fit.
    """
    return torch.ops.stainxform.lookup_gray(table, gray, context)
