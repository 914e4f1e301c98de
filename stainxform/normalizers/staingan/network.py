"""The StainGAN networks: CycleGAN's ResNet generator, PatchGAN discriminator and image pool.

Sources: Shaban et al., "StainGAN: stain style transfer for digital histological images", ISBI 2019; Zhu et al.,
"Unpaired image-to-image translation using cycle-consistent adversarial networks", ICCV 2017, and its public code.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["MIN_INPUT_SIDE", "STRIDE", "CycleGAN", "Discriminator", "Generator", "ImagePool", "Residual"]

STRIDE = 4
"""The generator halves the image twice: its sides must be multiples of this."""

MIN_INPUT_SIDE = 8
"""Smallest side that the generator takes: after two halvings its reflection padding needs two pixels."""


class Residual(nn.Module):
    """Two convolutions around which the input is added."""

    def __init__(self, width: int):
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width), nn.ReLU(),
            nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, width, H, W)`` to the same shape."""
        return x + self.conv_block(x)


class Generator(nn.Module):
    """Image -> image in the style of the other domain; "resnet_9blocks" with the defaults (11,378,179 parameters).

    Parameters
    ----------
    width : int, optional
        Filters of the first layer (paper: 64).
    blocks : int, optional
        Residual blocks (paper: 9).
    """

    def __init__(self, width: int = 64, blocks: int = 9):
        super().__init__()
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7), nn.InstanceNorm2d(width), nn.ReLU()]
        for size in (width, 2 * width):
            layers += [nn.Conv2d(size, 2 * size, 3, 2, 1), nn.InstanceNorm2d(2 * size), nn.ReLU()]
        layers += [Residual(4 * width) for _ in range(blocks)]
        for size in (4 * width, 2 * width):
            up = nn.ConvTranspose2d(size, size // 2, 3, 2, 1, output_padding=1)
            layers += [up, nn.InstanceNorm2d(size // 2), nn.ReLU()]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)
        self.reach = 16 + 2 * STRIDE * blocks
        """Pixels around each that it sees, at most: 3 + 1 + 2 down, two convolutions a block, 4 + 2 + 3 up, rounded up."""

    def forward(self, image: Tensor) -> Tensor:
        """Map ``(B, 3, H, W)`` in -1..1 to the same, H and W multiples of STRIDE and at least MIN_INPUT_SIDE."""
        return self.model(image)


class Discriminator(nn.Module):
    """Image -> a verdict for each of its 70 x 70 px patches; 2,764,737 parameters with the default width."""

    def __init__(self, width: int = 64):
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for size, stride in ((width, 2), (2 * width, 2), (4 * width, 1)):
            layers += [nn.Conv2d(size, 2 * size, 4, stride, 1), nn.InstanceNorm2d(2 * size), nn.LeakyReLU(0.2)]
        self.model = nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Map ``(B, 3, H, W)`` in -1..1 to ``(B, 1, h, w)``: towards 1 for real, 0 for generated."""
        return self.model(image)


class ImagePool(nn.Module):
    """Earlier fakes, so that a discriminator does not forget what it has seen (Shrivastava et al., CVPR 2017).

    The images are buffers: they travel with the checkpoints.
    """

    images: Tensor
    filled: Tensor

    def __init__(self, size: int, side: int):
        super().__init__()
        self.register_buffer("images", torch.zeros(size, 3, side, side))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))

    def exchange(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """Take in an image ``(1, 3, side, side)``; return it or, half the time once full, one from earlier."""
        size, filled = len(self.images), int(self.filled)
        if filled < size:
            self.images[filled] = image[0]
            self.filled += 1
        elif size and rng.random() < 0.5:
            index = int(rng.integers(size))
            earlier = self.images[index : index + 1].clone()
            self.images[index] = image[0]
            return earlier
        return image


class CycleGAN(nn.Module):
    """Two generators, two discriminators, two pools.

    Parameters
    ----------
    width, blocks : int, optional
        Width and blocks of the generators; the discriminators have the same width.
    pool : int, optional
        Images in each pool (paper's code: 50).
    side : int, optional
        Side of the training crops, in pixels.
    """

    def __init__(self, width: int = 64, blocks: int = 9, pool: int = 50, side: int = 256):
        super().__init__()
        self.to_target, self.to_source = Generator(width, blocks), Generator(width, blocks)
        self.judge_target, self.judge_source = Discriminator(width), Discriminator(width)
        self.pool_target, self.pool_source = ImagePool(pool, side), ImagePool(pool, side)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(module.weight, 0.0, 0.02)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    @contextmanager
    def judges_frozen(self) -> Iterator[None]:
        """Losses computed within reach the generators only."""
        judges = [*self.judge_target.parameters(), *self.judge_source.parameters()]
        for parameter in judges:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in judges:
                parameter.requires_grad_(True)
