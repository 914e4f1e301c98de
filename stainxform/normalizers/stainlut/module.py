"""StainLUT on batches of unit images, in torch operations alone."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from stainxform.normalizers.stainlut.network import Encoder, Predictor
from stainxform.normalizers.stainlut.normalizer import ContextMap, StainLUT
from stainxform.normalizers.stainlut.settings import gray_weights_of
from stainxform.ops.lut4d import collapse_gray

__all__ = ["Colorize", "ColorizeFixed", "ColorizeFused", "lookup"]


class Colorize(nn.Module):
    """Gray and context to color: what the whole method and the map of one image share."""

    def __init__(self, encoder: Encoder, gray_weights: tuple[float, float, float]):
        super().__init__()
        self.encoder = copy.deepcopy(encoder)
        self._weights = gray_weights

    def table(self, gray: Tensor) -> Tensor:
        """The table ``(N, 3, K, 256)`` for each gray image ``(N, 1, H, W)`` in [0, 1]."""
        raise NotImplementedError

    def forward(self, unit: Tensor) -> Tensor:
        """Colorize RGB ``(N, 3, H, W)``, float32 in [0, 1]. Gradients are those without rounding to 8-bit gray."""
        red, green, blue = self._weights
        levels = (unit[:, :1] * red + unit[:, 1:2] * green + unit[:, 2:] * blue) * 255
        levels = levels + (levels.round() - levels).detach()
        gray = levels / 255
        return lookup(self.table(gray), levels, self.encoder(gray))


class ColorizeFixed(Colorize):
    """The map of one image, applied to others."""

    fixed: Tensor

    def __init__(self, context_map: ContextMap):
        super().__init__(context_map.encoder, context_map.gray_weights)
        self.register_buffer("fixed", context_map.table.clone())

    def table(self, gray: Tensor) -> Tensor:
        """The same table for all."""
        return self.fixed.expand(gray.shape[0], -1, -1, -1)


class ColorizeFused(Colorize):
    """The whole method: a table is fused for each image."""

    bases: Tensor

    def __init__(self, normalizer: StainLUT):
        super().__init__(normalizer.net.encoder, gray_weights_of(normalizer.gray))
        self.predictor: Predictor = copy.deepcopy(normalizer.net.predictor)
        self.register_buffer("bases", collapse_gray(normalizer.net.luts).transpose(0, 1).flatten(0, 1))

    def table(self, gray: Tensor) -> Tensor:
        """Fuse the collapsed bases with the weights that the Predictor gives."""
        numbers = self.predictor.numbers(gray)
        split = 9 * self.predictor.bases
        weights = numbers[:, :split].reshape(-1, 3, split // 3, 1, 1)
        # No matrix product: autocast would round the table to 8 bits.
        return (weights * self.bases).sum(2) + numbers[:, split:].sum(1)[:, None, None, None]


def lookup(table: Tensor, levels: Tensor, context: Tensor) -> Tensor:
    """Look 8-bit grays up, linearly in the context: :func:`stainxform.ops.lut4d.lookup_gray` for a batch.

    Parameters
    ----------
    table : Tensor
        Tensor ``(N, 3, K, 256)``.
    levels : Tensor
        float tensor ``(N, 1, H, W)``, whole numbers in 0..255. Its gradient is the slope to the next level.
    context : Tensor
        Tensor ``(N, 1, H, W)`` in [0, 1].

    Returns
    -------
    Tensor
        Tensor ``(N, 3, H, W)``.
    """
    knots, last = table.shape[2], table.shape[3] - 1
    rows = table.flatten(1, 2)
    index = levels.detach().long().flatten(2).expand(-1, rows.shape[1], -1)
    nodes = rows.gather(2, index)
    if levels.requires_grad:
        above = rows.gather(2, (index + 1).clamp(max=last))
        nodes = nodes + (above - nodes) * (levels - levels.detach()).flatten(2)
    position = context.flatten(2).clamp(0, 1) * (knots - 1)
    hats = (1 - (position - torch.arange(knots, device=table.device)[:, None]).abs()).clamp(min=0)
    colors = (nodes.reshape(-1, 3, knots, nodes.shape[2]) * hats.unsqueeze(1)).sum(2)
    return colors.reshape(-1, 3, *levels.shape[2:])
