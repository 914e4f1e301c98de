"""Training of StainNet: a 1x1 network learns, color by color, what another normalizer does to a center's tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stainxform._optional import pick_device
from stainxform._torch import learning, seeded
from stainxform.learning import data
from stainxform.learning.loop import train
from stainxform.normalizers.stainnet.network import StainNetwork
from stainxform.normalizers.stainnet.settings import StainNetSettings

__all__ = ["ColorPairs", "StainNetTask", "train_stainnet"]


@dataclass(frozen=True)
class ColorPairs:
    """Colors before and after the teacher, uint8 ``(N, 3)`` each."""

    source: np.ndarray
    target: np.ndarray

    @classmethod
    def sample(cls, source: np.ndarray, target: np.ndarray, count: int, rng: np.random.Generator) -> ColorPairs:
        """At most ``count`` random pixels of a tile ``(H, W, 3)`` and of what the teacher made of it."""
        before, after = source.reshape(-1, 3), target.reshape(-1, 3)
        chosen = rng.choice(len(before), min(count, len(before)), replace=False)
        return cls(before[chosen], after[chosen])

    @classmethod
    def join(cls, parts: list[ColorPairs]) -> ColorPairs:
        """All pairs of some tiles."""
        return cls(np.concatenate([part.source for part in parts]), np.concatenate([part.target for part in parts]))


class StainNetTask:
    """L1 between the network's colors and the teacher's; pixels are independent, so a batch is one of pixels."""

    def __init__(
        self,
        net: StainNetwork,
        pairs: ColorPairs,
        held_out: ColorPairs,
        settings: StainNetSettings,
        device: torch.device,
    ):
        self.net = net.to(device)
        self._pairs, self._held_out, self._settings, self._device = pairs, held_out, settings, device

    def parameter_groups(self) -> list[dict[str, Any]]:
        """One group."""
        return [{"params": list(self.net.parameters()), "lr": self._settings.learning_rate}]

    def step_loss(self, step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """A batch of random pixels, the loss in the network's own scale of -1..1."""
        chosen = rng.integers(len(self._pairs.source), size=self._settings.batch)
        source, target = (self._colors(colors[chosen]) for colors in (self._pairs.source, self._pairs.target))
        loss = 2 * F.l1_loss(self.net(source), target)
        return loss, {"l1_levels": 127.5 * float(loss.detach())}

    def validate(self) -> dict[str, float]:
        """Mean absolute error, in levels, over the pixels of held-out tiles."""
        found = self.net(self._colors(self._held_out.source)).clamp(0, 1)
        error = 255 * float(F.l1_loss(found, self._colors(self._held_out.target)))
        return {"score": -error, "l1_levels": error}

    def _colors(self, levels: np.ndarray) -> Tensor:
        return torch.from_numpy(levels).to(self._device, torch.float32) / 255


def train_stainnet(pairs: list[ColorPairs], settings: StainNetSettings) -> tuple[StainNetwork, dict[str, float]]:
    """Train on the pairs of each tile; returns the network in eval mode on the CPU and its best validation.

    Raises
    ------
    TrainingError
        See :func:`stainxform.learning.loop.train`.
    """
    with learning(), seeded(settings.seed):
        net = StainNetwork()
    kept, held_out = (
        ColorPairs.join([pairs[i] for i in part])
        for part in data.hold_out(len(pairs), settings.val_fraction, settings.seed)
    )
    task = StainNetTask(net, kept, held_out, settings, pick_device(settings.device))
    names = ("batch", "learning_rate", "val_fraction")
    fingerprint = {name: getattr(settings, name) for name in names} | {
        "method": "stainnet",
        "tiles": data.digest_of([array for pair in pairs for array in (pair.source, pair.target)]),
    }
    best = train(task, settings, fingerprint)
    return net.cpu(), best
