"""StainGAN on batches of unit images, in torch operations alone."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from stainxform.normalizers.staingan.network import MIN_INPUT_SIDE, STRIDE, Generator

__all__ = ["Translate"]


class Translate(nn.Module):
    """A generator on unit images, reflected at the far edges to sides that it takes."""

    def __init__(self, net: Generator):
        super().__init__()
        self.net = copy.deepcopy(net)

    def forward(self, unit: Tensor) -> Tensor:
        """Translate RGB ``(N, 3, H, W)``, float32 in [0, 1]."""
        height, width = unit.shape[-2:]
        padded = unit.index_select(-2, _reflected(unit, height)).index_select(-1, _reflected(unit, width))
        result: Tensor = self.net(padded * 2 - 1) / 2 + 0.5
        # Not a slice: a graph would remember whether it cuts anything off.
        rows, columns = (torch.arange(side, device=unit.device) for side in (height, width))
        return result.index_select(-2, rows).index_select(-1, columns)


def _reflected(like: Tensor, side: int) -> Tensor:
    """Indices of the pixels along a side that is continued by reflection, however short it is, to what a net takes."""
    # For ONNX: its division of negative numbers rounds toward 0, and a remainder is one of tensors.
    length = torch.sym_max((side + STRIDE - 1) // STRIDE * STRIDE, MIN_INPUT_SIDE)  # type: ignore[no-untyped-call]
    longest = torch.sym_max(2 * (side - 1), 1)  # type: ignore[no-untyped-call]
    period = torch.full((1,), longest, device=like.device)
    phase = torch.arange(length, device=like.device) % period
    return torch.minimum(phase, period - phase)
