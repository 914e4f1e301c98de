"""Training of StainGAN: a CycleGAN between the tiles of two centers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stainxform._optional import pick_device
from stainxform._torch import learning, seeded
from stainxform.learning import data
from stainxform.learning.loop import autocast, train
from stainxform.normalizers.staingan.network import STRIDE, CycleGAN, Generator, ImagePool
from stainxform.normalizers.staingan.settings import MIN_CROP, StainGANSettings

__all__ = ["VALIDATION_CROPS", "StainGANTask", "train_staingan", "verdict_loss"]

VALIDATION_CROPS = 8


def verdict_loss(verdict: Tensor, real: bool) -> Tensor:
    """Least-squares GAN loss (Mao et al., ICCV 2017)."""
    return (verdict.float() - float(real)).square().mean()


class StainGANTask:
    """CycleGAN with one update of all four networks a step.

    The published code steps the generators, then the discriminators, on fakes made before either. The generators' loss
    does not reach the discriminators' parameters, nor the other way round, so both can step at once with the same
    result: one Adam on the sum of the losses.
    """

    def __init__(
        self,
        net: CycleGAN,
        target: Sequence[np.ndarray],
        source: Sequence[np.ndarray],
        settings: StainGANSettings,
        device: torch.device,
    ):
        self.net = net.to(device)
        self._target, self._source, self._settings, self._device = target, source, settings, device

    def parameter_groups(self) -> list[dict[str, Any]]:
        """One group, Adam with beta1 = 0.5."""
        return [{"params": list(self.net.parameters()), "lr": self._settings.learning_rate, "betas": (0.5, 0.999)}]

    def step_loss(self, step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """One random crop of each center, unpaired."""
        real_target, real_source = (self._draw(tiles, rng) for tiles in (self._target, self._source))
        with autocast(self._device):
            generators, (fake_target, fake_source), numbers = self._generator_loss(real_target, real_source)
            judges = self._judge_loss(self.net.judge_target, real_target, fake_target, self.net.pool_target, rng)
            judges = judges + self._judge_loss(
                self.net.judge_source, real_source, fake_source, self.net.pool_source, rng
            )
        return generators + judges, numbers | {"judges": float(judges.detach())}

    def _generator_loss(
        self, real_target: Tensor, real_source: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor], dict[str, float]]:
        """Adversarial + cycle_weight (cycle + identity_weight identity), for both directions, and the detached fakes."""
        net = self.net
        with net.judges_frozen():
            fake_target, fake_source = net.to_target(real_source), net.to_source(real_target)
            adversarial = verdict_loss(net.judge_target(fake_target), True)
            adversarial = adversarial + verdict_loss(net.judge_source(fake_source), True)
        cycle = _l1(net.to_source(fake_target), real_source) + _l1(net.to_target(fake_source), real_target)
        loss = adversarial + self._settings.cycle_weight * cycle
        if self._settings.identity_weight:
            identity = _l1(net.to_target(real_target), real_target) + _l1(net.to_source(real_source), real_source)
            loss = loss + self._settings.cycle_weight * self._settings.identity_weight * identity
        fakes = (fake_target.detach().float(), fake_source.detach().float())
        return loss, fakes, {"adversarial": float(adversarial.detach()), "cycle": float(cycle.detach())}

    @staticmethod
    def _judge_loss(judge: nn.Module, real: Tensor, fake: Tensor, pool: ImagePool, rng: np.random.Generator) -> Tensor:
        earlier = pool.exchange(fake, rng)
        return (verdict_loss(judge(real), True) + verdict_loss(judge(earlier), False)) / 2

    def _draw(self, tiles: Sequence[np.ndarray], rng: np.random.Generator) -> Tensor:
        planes = data.turn(data.random_crop(tiles, self._settings.crop, rng), rng)
        return torch.from_numpy(planes * 2 - 1)[None].to(self._device)

    def validate(self) -> dict[str, float]:
        """Cycle error of some crops, in levels. It is no score: the last generator is the one to keep."""
        errors = []
        for index in range(VALIDATION_CROPS):
            real = self._draw(self._source, np.random.default_rng((2, index)))
            errors.append(127.5 * float(_l1(self.net.to_source(self.net.to_target(real)), real)))
        return {"cycle_levels": sum(errors) / len(errors)}


def _l1(found: Tensor, wanted: Tensor) -> Tensor:
    return F.l1_loss(found.float(), wanted)


def train_staingan(
    target: Sequence[np.ndarray], source: Sequence[np.ndarray], settings: StainGANSettings
) -> tuple[Generator, dict[str, float]]:
    """Train on uint8 tiles ``(H, W, 3)``; returns the generator source -> target, on the CPU, and its last validation.

    Raises
    ------
    NotEnoughTissueError
        A tile is smaller than 32 px a side.
    TrainingError
        See :func:`stainxform.learning.loop.train`.
    """
    smallest = min(data.smallest_side(tiles, MIN_CROP, "StainGAN") for tiles in (target, source))
    settings = replace(settings, crop=min(settings.crop, smallest) // STRIDE * STRIDE)
    device = pick_device(settings.device)
    with learning(), seeded(settings.seed):
        net = CycleGAN(settings.width, settings.blocks, settings.pool, settings.crop)
    task = StainGANTask(net, target, source, settings, device)
    names = ("crop", "width", "blocks", "pool", "learning_rate", "cycle_weight", "identity_weight")
    fingerprint = {name: getattr(settings, name) for name in names} | {
        "method": "staingan", "target": data.digest_of(target), "source": data.digest_of(source),
    }  # fmt: skip
    last = train(task, settings, fingerprint)
    return net.to_target.cpu(), last
