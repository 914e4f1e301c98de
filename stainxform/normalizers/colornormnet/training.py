"""Training of ColorNormNet: a center's tiles, shifted in CIELAB by known offsets, which the network learns to predict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stainxform._optional import pick_device
from stainxform._torch import learning, predicting, seeded
from stainxform.color import CIELab
from stainxform.image.tissue import tissue_planes
from stainxform.learning import data
from stainxform.learning.loop import train
from stainxform.normalizers.colornormnet.network import ColorNormNetwork
from stainxform.normalizers.colornormnet.settings import MIN_CROP, ColorNormNetSettings

__all__ = ["MAX_HELD_OUT", "VALIDATION_SIDE", "ColorNormNetTask", "offset_loss", "tissue_offsets", "train_colornormnet"]

MAX_HELD_OUT = 32
"""Tiles that validation looks at, however many are held out."""

VALIDATION_SIDE = 256
"""Side in pixels of the middle of a held-out tile that validation looks at."""


def offset_loss(error: Tensor, l2_weight: float) -> Tensor:
    """``mean |e| + l2_weight * mean e^2`` of the error, in multiples of the largest offset."""
    return error.abs().mean() + l2_weight * error.square().mean()


def tissue_offsets(net: ColorNormNetwork, planes: np.ndarray, device: torch.device) -> tuple[np.ndarray, int]:
    """Predicted a, b offsets summed over the tissue of RGB planes ``(3, H, W)``, float64 ``(2,)``, and its pixels."""
    lab = CIELab().from_rgb(planes).astype(np.float32)
    with predicting():
        predicted = net(torch.from_numpy(lab)[None].to(device))[0, 1:].cpu().numpy()
    tissue = tissue_planes(planes)
    return predicted[:, tissue].sum(1, dtype=np.float64), int(tissue.sum())


class ColorNormNetTask:
    """Self-supervised: an offset of a* and one of b*, uniform and independent, are added to every crop of a batch."""

    def __init__(
        self,
        net: ColorNormNetwork,
        tiles: Sequence[np.ndarray],
        held_out: Sequence[np.ndarray],
        settings: ColorNormNetSettings,
        device: torch.device,
    ):
        self.net = net.to(device)
        self._tiles, self._held_out, self._settings, self._device = tiles, held_out, settings, device

    def parameter_groups(self) -> list[dict[str, Any]]:
        """One group."""
        return [{"params": list(self.net.parameters()), "lr": self._settings.learning_rate}]

    def step_loss(self, step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """Shift random crops by random offsets, which the network must predict at every pixel; 0 for L*."""
        planes = np.stack(
            [data.random_crop(self._tiles, self._settings.crop, rng) for _ in range(self._settings.batch)], axis=1
        )
        lab = CIELab().from_rgb(planes).swapaxes(0, 1)
        offsets = self._draw(rng, self._settings.batch)[:, :, None, None]
        predicted = self.net(torch.from_numpy(lab + offsets).to(self._device))
        error = predicted - torch.from_numpy(offsets).to(self._device)
        with torch.no_grad():
            mae = float(error[:, 1:].mean((2, 3)).abs().mean())
        return offset_loss(error / self.net.max_offset, self._settings.l2_weight), {"offset_error": mae}

    def _draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        offsets = rng.uniform(-self.net.max_offset, self.net.max_offset, (count, 3)).astype(np.float32)
        offsets[:, 0] = 0
        return offsets

    def validate(self) -> dict[str, float]:
        """Mean absolute error, in Lab units, of the offsets of held-out tiles, each shifted once, always the same way.

        The shifted colors are brought back into gamut, as those of a real image are.
        """
        errors = []
        for index, tile in enumerate(self._held_out[:MAX_HELD_OUT]):
            planes = data.unit_planes(tile[data.window(tile.shape[:2], VALIDATION_SIDE, None)])
            offset = self._draw(np.random.default_rng((self._settings.seed, 2, index)), 1)[0]
            shifted = CIELab().to_rgb(CIELab().from_rgb(planes) + offset[:, None, None])
            total, pixels = tissue_offsets(self.net, np.clip(shifted, 0, 1), self._device)
            if pixels:
                errors.append(np.abs(total / pixels - offset[1:]).mean())
        mae = float(np.mean(errors)) if errors else self.net.max_offset
        return {"score": -mae, "offset_error": mae}


def train_colornormnet(
    tiles: Sequence[np.ndarray], settings: ColorNormNetSettings
) -> tuple[ColorNormNetwork, dict[str, float]]:
    """Train on uint8 tiles ``(H, W, 3)``; returns the network in eval mode on the CPU and its best validation.

    Raises
    ------
    NotEnoughTissueError
        A tile is smaller than 16 px a side.
    TrainingError
        See :func:`stainxform.learning.loop.train`.
    """
    device = pick_device(settings.device)
    settings = replace(settings, crop=min(settings.crop, data.smallest_side(tiles, MIN_CROP, "ColorNormNet")))
    with learning(), seeded(settings.seed):
        net = ColorNormNetwork(settings.max_offset)
    kept, held_out = data.hold_out(len(tiles), settings.val_fraction, settings.seed)
    task = ColorNormNetTask(net, data.some_of(tiles, kept), data.some_of(tiles, held_out), settings, device)
    names = ("batch", "crop", "max_offset", "l2_weight", "learning_rate", "val_fraction")
    fingerprint = {name: getattr(settings, name) for name in names}
    best = train(task, settings, fingerprint | {"method": "colornormnet", "tiles": data.digest_of(tiles)})
    return net.cpu(), best
