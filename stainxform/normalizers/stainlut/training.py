"""Training of StainLUT: a center's tiles, color-randomized and grayed, are colorized back (eq. 5-9)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stainxform._optional import pick_device
from stainxform._torch import learning, seeded
from stainxform.learning import data
from stainxform.learning.loop import autocast, train
from stainxform.normalizers.stainlut.network import StainLUTNet, gray_levels, regularization
from stainxform.normalizers.stainlut.settings import MIN_CROP, StainLUTSettings

__all__ = ["StainLUTTask", "train_stainlut"]


class StainLUTTask:
    """Self-supervised colorization of a center's tiles."""

    def __init__(
        self,
        net: StainLUTNet,
        tiles: Sequence[np.ndarray],
        held_out: Sequence[np.ndarray],
        settings: StainLUTSettings,
        device: torch.device,
    ):
        self.net = net.to(device)
        self._tiles, self._held_out, self._settings, self._device = tiles, held_out, settings, device
        self._gray_weights, self._randomization = settings.gray_weights, settings.randomization

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Four groups: Predictor trunk, its head, Encoder, LUTs."""
        rates = self._settings.rates
        head = set(self.net.predictor.head.parameters())
        trunk = [p for p in self.net.predictor.parameters() if p not in head]
        return [
            {"params": trunk, "lr": rates.predictor},
            {"params": list(self.net.predictor.head.parameters()), "lr": rates.head},
            {"params": list(self.net.encoder.parameters()), "lr": rates.encoder},
            {"params": [self.net.luts], "lr": rates.luts},
        ]

    def step_loss(self, step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """One tile (batch 1, as in the paper): rotate, mirror, randomize, gray, colorize, compare.

        The Predictor sees the whole tile, as it will when the model is applied: shown crops only, it would learn
        another scale. The Encoder and the loss, which are local, take a random crop.
        """
        epoch, position = divmod(step, len(self._tiles))
        order = np.random.default_rng((self._settings.seed, 1, epoch)).permutation(len(self._tiles))
        planes = data.turn(data.unit_planes(self._tiles[order[position]]), rng)
        window = data.window(planes.shape[1:], self._settings.crop, rng)
        target = torch.from_numpy(planes[:, *window].copy()).to(self._device)
        gray = self._gray(self._randomization(planes, rng))
        with autocast(self._device):
            colors, fusion = self.net(gray, window)
            mse = F.mse_loss(colors[0].float(), target)
        loss = mse + regularization(self.net.luts, fusion, self._settings.smooth_weight, self._settings.mono_weight)
        return loss, {"psnr": -10 * math.log10(max(float(mse.detach()), 1e-12))}

    def validate(self) -> dict[str, float]:
        """Mean PSNR on held-out tiles, each color-randomized once, always the same way."""
        scores = []
        for index, tile in enumerate(self._held_out):
            rng = np.random.default_rng((self._settings.seed, 2, index))
            planes = data.unit_planes(tile)
            window = data.window(planes.shape[1:], self._settings.crop, None)
            colors, _ = self.net(self._gray(self._randomization(planes, rng)), window)
            error = F.mse_loss(colors[0].clamp(0, 1).cpu(), torch.from_numpy(planes[:, *window].copy()))
            scores.append(-10 * math.log10(max(float(error), 1e-12)))
        return {"score": sum(scores) / len(scores)}

    def _gray(self, planes: np.ndarray) -> Tensor:
        return torch.from_numpy(gray_levels(planes, self._gray_weights))[None, None].to(self._device)


def train_stainlut(tiles: Sequence[np.ndarray], settings: StainLUTSettings) -> tuple[StainLUTNet, dict[str, float]]:
    """Train on uint8 tiles ``(H, W, 3)``; returns the network in eval mode on the CPU and its best validation.

    Raises
    ------
    NotEnoughTissueError
        A tile is smaller than 16 px a side.
    TrainingError
        See :func:`stainxform.learning.loop.train`.
    """
    device = pick_device(settings.device)
    data.smallest_side(tiles, MIN_CROP, "StainLUT")
    with learning(), seeded(settings.seed):
        net = StainLUTNet(
            settings.bases, settings.size, settings.context_nodes, settings.dropout,
            encoder_norm=settings.encoder_norm, predictor_norm=settings.predictor_norm,
        )  # fmt: skip
    kept, held_out = data.hold_out(len(tiles), settings.val_fraction, settings.seed)
    task = StainLUTTask(net, data.some_of(tiles, kept), data.some_of(tiles, held_out), settings, device)
    names = (
        "bases", "size", "context_nodes", "dropout", "encoder_norm", "predictor_norm", "crop", "smooth_weight",
        "mono_weight", "val_fraction",
    )  # fmt: skip
    fingerprint = {name: getattr(settings, name) for name in names} | {
        "method": "stainlut", "gray_weights": list(settings.gray_weights),
        "randomization": asdict(settings.randomization), "rates": asdict(settings.rates), "tiles": data.digest_of(tiles),
    }  # fmt: skip
    best = train(task, settings, fingerprint)
    return net.cpu(), best
