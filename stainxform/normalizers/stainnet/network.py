"""The StainNet network: three 1x1 convolutions, 1,283 parameters.

Source: Kang et al., "StainNet: a fast and robust stain normalization network", Frontiers in Medicine 2021.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

__all__ = ["WIDTH", "StainNetwork"]

WIDTH = 32
"""Channels of the two hidden layers (paper)."""


class StainNetwork(nn.Module):
    """Color -> color, the same for every pixel.

    1x1 convolutions are linear layers on colors: pixels are rows here, and need not come as an image.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(3, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 3)
        )

    def forward(self, colors: Tensor) -> Tensor:
        """Map colors ``(N, 3)`` in [0, 1] to colors, unclamped. The layers work on -1..1, as in the authors' code."""
        return self.layers(colors * 2 - 1) / 2 + 0.5

    def weights(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Weight ``(out, in)`` and bias ``(out,)`` of each layer, as float32."""
        linear = [layer for layer in self.layers if isinstance(layer, nn.Linear)]
        return [(layer.weight.detach().cpu().numpy(), layer.bias.detach().cpu().numpy()) for layer in linear]
