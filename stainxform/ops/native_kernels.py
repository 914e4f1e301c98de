"""The lookup operators on a CPU: compiled kernels for float32 tables of three channels, the reference for all others.

The functions of ``stainxform.ops.reference``; backwards are the reference's.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from stainxform._native import kernels, native
from stainxform.ops import reference
from stainxform.ops.reference import lookup_gray_backward, lut3d_backward, lut4d_backward

__all__ = ["lookup_gray", "lookup_gray_backward", "lut3d", "lut3d_backward", "lut4d", "lut4d_backward"]

_LEVELS = 256


def _serves(table: Tensor, values: Tensor, *dtypes: torch.dtype) -> bool:
    return bool(native.active()) and table.dtype == torch.float32 and len(table) == 3 and values.dtype in dtypes


def _row(values: Tensor) -> np.ndarray:
    """Pixels ``(3, ...)`` as one long row ``(3, 1, P)``."""
    return values.detach().contiguous().view(3, 1, -1).numpy()


def _colors_last(table: Tensor) -> np.ndarray:
    return kernels.four_values(table.detach().movedim(0, -1).numpy())


def lut3d(lut: Tensor, rgb: Tensor, interpolation: str = "tetrahedral") -> Tensor:
    """Interpolate ``lut (3, T, T, T)`` at ``rgb (3, ...)``; see ``stainxform.ops.lut3d``."""
    if not (_serves(lut, rgb, torch.float32, torch.uint8) and rgb.numel()):
        return reference.lut3d(lut, rgb, interpolation)
    out = torch.empty_like(rgb, memory_format=torch.contiguous_format)
    kernel = kernels.Lut3DKernel(
        lut.detach().movedim(0, -1).numpy(), interpolation == "tetrahedral", (0.0,) * 3, (1.0,) * 3
    )
    kernel(_row(rgb), _row(out), 0.0, 255.0 if rgb.dtype == torch.uint8 else 1.0, clip=False)
    return out


def lut4d(lut: Tensor, context: Tensor, rgb: Tensor) -> Tensor:
    """Interpolate ``lut (3, K, T, T, T)`` at ``context (...)`` and ``rgb (3, ...)``; see ``stainxform.ops.lut4d``."""
    if not (_serves(lut, rgb, torch.float32) and context.dtype == torch.float32 and rgb.numel()):
        return reference.lut4d(lut, context, rgb)
    out = torch.empty_like(rgb, memory_format=torch.contiguous_format)
    kernels.lut4d(_colors_last(lut), context.detach().contiguous().numpy(), _row(rgb), _row(out))
    return out


def lookup_gray(table: Tensor, gray: Tensor, context: Tensor) -> Tensor:
    """Look up ``gray (...)`` in ``table (3, K, 256)`` at ``context (...)``; see ``stainxform.ops.lookup_gray``."""
    fits = _serves(table, gray, torch.uint8) and context.dtype == torch.float32 and table.shape[-1] == _LEVELS
    if not (fits and gray.numel()):
        return reference.lookup_gray(table, gray, context)
    out = table.new_empty(3, *gray.shape)
    rows = kernels.four_values(table.detach().permute(2, 1, 0).numpy())
    gray, context = gray.contiguous(), context.detach().contiguous()
    kernels.gray_lut(rows, gray.numpy(), context.numpy(), _row(out), 0.0, 1.0, clip=False)
    return out
