"""Training of StainLUT: a center's tiles, color-randomized and grayed, are colorized back (eq. 5-9)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stainxform.color import GRAY_WEIGHTS
from stainxform.errors import ParameterError
from stainxform.learning import data
from stainxform.learning.loop import Schedule, autocast, pick_device, train
from stainxform.normalizers.stainlut.network import StainLUTNet, gray_levels, regularization

LEAST_SIDE = 16
"""Smaller tiles, in pixels, hold no neighborhood for the Encoder (receptive field 11 px)."""


@dataclass(frozen=True)
class ColorRandomization:
    """Jitter applied before graying, so that the network meets other scanners (reconstructed ranges).

    Each setting is the half width of a uniform draw around 1 (brightness, contrast, saturation, gain) or of the
    natural logarithm of the exponent (gamma); 0 turns it off. ``gain`` is drawn for each channel by itself.
    Saturation blends with the luma, so it moves the gray only through clipping or other gray weights.
    """

    brightness: float = 0.1
    contrast: float = 0.1
    saturation: float = 0.1
    gain: float = 0.0
    gamma: float = 0.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 <= value < 1:
                raise ParameterError(f"{name} is a half width from 0 to below 1, got {value}")

    def __call__(self, planes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Jitter float32 planes ``(3, H, W)`` in [0, 1] in a random order of the operations; returns a new array."""
        widths = asdict(self)
        out = planes
        for name in rng.permutation(list(widths)):
            if widths[name]:
                out = np.clip(_JITTERS[name](out, rng, widths[name]), 0, 1, dtype=np.float32)
        return out


def _luma(planes: np.ndarray) -> np.ndarray:
    return np.tensordot(np.array(GRAY_WEIGHTS, np.float32), planes, 1)


def _around_one(rng: np.random.Generator, width: float) -> np.float32:
    return np.float32(rng.uniform(1 - width, 1 + width))


def _contrast(planes: np.ndarray, rng: np.random.Generator, width: float) -> np.ndarray:
    mean = _luma(planes).mean()
    return mean + (planes - mean) * _around_one(rng, width)


def _saturation(planes: np.ndarray, rng: np.random.Generator, width: float) -> np.ndarray:
    luma = _luma(planes)
    return luma + (planes - luma) * _around_one(rng, width)


_JITTERS: dict[str, Any] = {
    "brightness": lambda planes, rng, width: planes * _around_one(rng, width),
    "contrast": _contrast,
    "saturation": _saturation,
    "gain": lambda planes, rng, width: planes * np.float32(rng.uniform(1 - width, 1 + width, (3, 1, 1))),
    "gamma": lambda planes, rng, width: planes ** np.float32(np.exp(rng.uniform(-width, width))),
}


@dataclass(frozen=True)
class Rates:
    """Peak learning rates of Adam.

    The paper uses 1e-4 for all. The Predictor's head sums 8,192 features, so that one step of 1e-4 can move a fusion
    weight by up to 0.8 and training diverges from an identity start; the lookup tables and the Encoder on the other
    hand need thousands of steps at 1e-4. Measured in ``docs/results.md``; ``Rates(1e-4, 1e-4, 1e-4, 1e-4)`` is the
    paper's.
    """

    predictor: float = 1e-4
    head: float = 1e-6
    encoder: float = 1e-3
    luts: float = 5e-3


class StainLUTTask:
    """Self-supervised colorization of a center's tiles."""

    def __init__(
        self,
        net: StainLUTNet,
        tiles: Sequence[np.ndarray],
        held_out: Sequence[np.ndarray],
        *,
        gray_weights: tuple[float, float, float],
        randomization: ColorRandomization,
        rates: Rates,
        crop: int | None,
        smooth_weight: float,
        mono_weight: float,
        seed: int,
        device: torch.device,
    ):
        self.net = net.to(device)
        self._tiles, self._held_out = tiles, held_out
        self._gray_weights, self._randomization, self._rates = gray_weights, randomization, rates
        self._crop, self._seed, self._device = crop, seed, device
        self._smooth_weight, self._mono_weight = smooth_weight, mono_weight

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Four groups: Predictor trunk, its head, Encoder, LUTs."""
        head = set(self.net.predictor.head.parameters())
        trunk = [p for p in self.net.predictor.parameters() if p not in head]
        return [
            {"params": trunk, "lr": self._rates.predictor},
            {"params": list(self.net.predictor.head.parameters()), "lr": self._rates.head},
            {"params": list(self.net.encoder.parameters()), "lr": self._rates.encoder},
            {"params": [self.net.luts], "lr": self._rates.luts},
        ]

    def step_loss(self, step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """One tile (batch 1, as in the paper): rotate, mirror, randomize, gray, colorize, compare.

        The Predictor sees the whole tile, as it will when the model is applied: shown crops only, it would learn
        another scale. The Encoder and the loss, which are local, take a random crop.
        """
        epoch, position = divmod(step, len(self._tiles))
        order = np.random.default_rng((self._seed, 1, epoch)).permutation(len(self._tiles))
        planes = data.turn(data.unit_planes(self._tiles[order[position]]), rng)
        window = data.window(planes.shape[1:], self._crop, rng)
        target = torch.from_numpy(planes[:, *window].copy()).to(self._device)
        gray = self._gray(self._randomization(planes, rng))
        with autocast(self._device):
            colors, fusion = self.net(gray, window)
            mse = F.mse_loss(colors[0].float(), target)
        loss = mse + regularization(self.net.luts, fusion, self._smooth_weight, self._mono_weight)
        return loss, {"psnr": -10 * math.log10(max(float(mse.detach()), 1e-12))}

    def validate(self) -> dict[str, float]:
        """Mean PSNR on held-out tiles, each color-randomized once, always the same way."""
        scores = []
        for index, tile in enumerate(self._held_out):
            rng = np.random.default_rng((self._seed, 2, index))
            planes = data.unit_planes(tile)
            window = data.window(planes.shape[1:], self._crop, None)
            colors, _ = self.net(self._gray(self._randomization(planes, rng)), window)
            error = F.mse_loss(colors[0].clamp(0, 1).cpu(), torch.from_numpy(planes[:, *window].copy()))
            scores.append(-10 * math.log10(max(float(error), 1e-12)))
        return {"score": sum(scores) / len(scores)}

    def _gray(self, planes: np.ndarray) -> Tensor:
        return torch.from_numpy(gray_levels(planes, self._gray_weights))[None, None].to(self._device)


def train_stainlut(
    tiles: Sequence[np.ndarray],
    schedule: Schedule,
    *,
    bases: int,
    size: int,
    context_nodes: int,
    dropout: float,
    encoder_norm: str,
    predictor_norm: str,
    gray_weights: tuple[float, float, float],
    randomization: ColorRandomization,
    rates: Rates,
    crop: int | None,
    smooth_weight: float,
    mono_weight: float,
    val_fraction: float,
    device: str | torch.device,
) -> tuple[StainLUTNet, dict[str, float]]:
    """Train on uint8 tiles ``(H, W, 3)``; returns the network in eval mode on the CPU and its best validation.

    Raises
    ------
    NotEnoughTissueError : a tile is smaller than 16 px a side.
    TrainingError : see :func:`stainxform.learning.loop.train`.
    """
    chosen = pick_device(device)
    data.smallest_side(tiles, LEAST_SIDE, "StainLUT")
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(schedule.seed)
        net = StainLUTNet(bases, size, context_nodes, dropout, encoder_norm=encoder_norm, predictor_norm=predictor_norm)
    kept, held_out = data.hold_out(len(tiles), val_fraction, schedule.seed)
    task = StainLUTTask(
        net, [tiles[i] for i in kept], [tiles[i] for i in held_out],
        gray_weights=gray_weights, randomization=randomization, rates=rates, crop=crop, smooth_weight=smooth_weight,
        mono_weight=mono_weight, seed=schedule.seed, device=chosen,
    )  # fmt: skip
    fingerprint = {
        "method": "stainlut", "bases": bases, "size": size, "context_nodes": context_nodes, "dropout": dropout, "encoder_norm": encoder_norm,
        "predictor_norm": predictor_norm,
        "gray_weights": list(gray_weights), "randomization": asdict(randomization), "rates": asdict(rates),
        "crop": crop, "smooth_weight": smooth_weight, "mono_weight": mono_weight, "val_fraction": val_fraction,
        "tiles": data.digest_of(tiles),
    }  # fmt: skip
    best = train(task, schedule, fingerprint)
    return net.cpu(), best
