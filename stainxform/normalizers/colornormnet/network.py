"""The ColorNormNet network: four dense blocks that predict, at every pixel, how far a tissue's color has been shifted.

Source: arXiv 2011.15000 (ISBI 2021). No code is public; the layout below is the one that we found to have exactly the
paper's 2,352 parameters (reconstructed, see ``docs/methods/colornormnet.md``).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["DILATIONS", "FILTERS", "ColorNormNetwork", "DenseBlock"]

FILTERS = 3
"""In every convolution (paper)."""

DILATIONS = (1, 2, 4, 1)
"""Of the four blocks: dilated in the second and third (paper), by 2 and 4 (reconstructed). Receptive field 57 px."""


class DenseBlock(nn.Module):
    """Three convolutions, each on everything before it, and a closing one; 588 parameters.

    Each of the three is followed by LeakyReLU, then BatchNorm (paper); bias-free, slope 0.2 (reconstructed).
    """

    def __init__(self, dilation: int):
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(FILTERS * (i + 1), FILTERS, 3, padding=dilation, dilation=dilation, bias=False) for i in range(3)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(FILTERS) for _ in range(3))
        self.close = nn.Conv2d(FILTERS, FILTERS, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, 3, H, W)`` to the same shape."""
        last = x
        for conv, norm in zip(self.convs, self.norms):
            last = norm(F.leaky_relu(conv(x), 0.2))
            x = torch.cat([x, last], 1)
        return self.close(last)


class ColorNormNetwork(nn.Module):
    """CIELAB image -> color offset at each pixel.

    Parameters
    ----------
    max_offset : float, optional
        The largest offset of the training, in Lab units. It is what 1 stands for in a* and b* on entry and in the
        output (reconstructed); L* is divided by 100.
    """

    def __init__(self, max_offset: float = 20.0):
        super().__init__()
        self.max_offset = max_offset
        self.blocks = nn.Sequential(*(DenseBlock(dilation) for dilation in DILATIONS))

    def forward(self, lab: Tensor) -> Tensor:
        """Map L*, a*, b* ``(B, 3, H, W)`` to offsets of the same shape, in Lab units (that of L* is trained to be 0)."""
        unit = lab.new_tensor([100.0, self.max_offset, self.max_offset])[:, None, None]
        # Three channels: half again as fast with the channels last.
        return self.blocks((lab / unit).contiguous(memory_format=torch.channels_last)) * self.max_offset
