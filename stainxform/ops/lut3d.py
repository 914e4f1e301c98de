"""Three-dimensional lookup tables: trilinear and tetrahedral interpolation of colors."""

from __future__ import annotations

import torch
from torch import Tensor

from stainxform.color.interpolation import Interpolation

__all__ = ["lut3d"]


def lut3d(lut: Tensor, rgb: Tensor, interpolation: Interpolation = "tetrahedral") -> Tensor:
    """Interpolate a table of colors: ``torch.ops.stainxform.lut3d``.

    Differentiable in the table and in float colors, with the true derivatives; at a node, and where two axes of a
    tetrahedron are equally far, they are those of the cell above it (of the last cell at the upper end).

    Parameters
    ----------
    lut : Tensor
        float tensor ``(C, T, T, T)``, T >= 2, indexed by red, green, blue.
    rgb : Tensor
        Tensor ``(3, ...)``: floats in [0, 1] of the dtype of ``lut``, values outside are clamped; or uint8.
    interpolation : {"tetrahedral", "trilinear"}, optional
        "tetrahedral" (of four nodes) or "trilinear" (of eight).

    Returns
    -------
    Tensor
        Tensor ``(C, ...)`` of the dtype of ``rgb``. For uint8 the results, with 0..1 the displayable range, are clipped
        and rounded, half to even. float16 and bfloat16 are computed in float32.

    Raises
    ------
    ParameterError
        Shapes, dtypes or devices that do not fit.
    """
    return torch.ops.stainxform.lut3d(lut, rgb, interpolation)
