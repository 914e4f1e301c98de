"""How long does a step of StainLUT's training take, where does it go, and what would the plain ways cost?

Every variant is the training step of today with one part done the plain way; all start from the same weights and see the
same tiles and random numbers, and take turns step by step. Their losses must agree.

    chrt -r 3 taskset -c 1 python benchmarks/training_step.py -o runs/training_step.json --table docs/results/training_speed.md
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from pages import cpu_name, write_between_marks
from torch import Tensor

import stainxform as sx
from stainxform._native import native
from stainxform.learning import data
from stainxform.normalizers.stainlut import network as nets
from stainxform.normalizers.stainlut.network import Fusion, StainLUTNet, regularization
from stainxform.normalizers.stainlut.settings import StainLUTSettings
from stainxform.normalizers.stainlut.training import StainLUTTask
from stainxform.ops.lut4d import lookup_gray, lut4d
from stainxform.samples import pair

TOLERANCE = 1e-4
"""Relative, between the losses of any variant and of ours at each of the first steps."""

CHECKED = 5
SMOOTH, MONO = 1e-4, 0.1
MARKS = ("<!-- training_step: begin -->", "<!-- training_step: end -->")


def autograd_penalty(luts: Tensor, smooth_weight: float, mono_weight: float) -> Tensor:
    """The regularizers of the LUTs as the formulas have them."""
    differences = [luts.diff(dim=axis) for axis in (-1, -2, -3, -4)]
    return sum(smooth_weight * d.square().mean() + mono_weight * F.relu(-d).mean() for d in differences)


def sixteen_corners(net: StainLUTNet, gray: Tensor, window: tuple[slice, slice]) -> tuple[Tensor, Fusion]:
    """``StainLUTNet.forward`` through the fused 4D LUT and its general lookup."""
    unit = gray.to(net.luts.dtype) / 255
    seen = unit[(..., *window)]
    fusion, context = net.predictor(unit), net.encoder(seen)[0, 0]
    return lut4d(net.fuse(fusion), context, seen[0].expand(3, -1, -1)).unsqueeze(0), fusion


class Plain:
    """Stands for the class of a hand-written gradient."""

    apply = staticmethod(autograd_penalty)


def plain_penalty() -> AbstractContextManager[object]:
    return mock.patch.object(nets, "_LutPenalty", Plain)


@contextmanager
def all_plain() -> Iterator[None]:
    with plain_penalty(), mock.patch.object(StainLUTNet, "forward", sixteen_corners):
        yield


VARIANTS: dict[str, tuple[Callable[[], AbstractContextManager[object]], bool]] = {
    "ours": (nullcontext, True),
    "regularization by autograd": (plain_penalty, True),
    "lookup in the fused 4D LUT, 16 corners": (
        lambda: mock.patch.object(StainLUTNet, "forward", sixteen_corners),
        True,
    ),
    "Adam, not fused": (nullcontext, False),
    "all of it plain": (all_plain, False),
}
"""What is switched back while a step runs, and whether Adam is fused."""


class Trainer:
    """Takes steps of ``stainxform.learning.loop.train``, at constant rates, without its log."""

    def __init__(self, tiles: list[np.ndarray], crop: int | None, fused: bool):
        torch.manual_seed(0)
        self.task = StainLUTTask(
            StainLUTNet(),
            tiles,
            tiles[:1],
            StainLUTSettings(crop=crop, smooth_weight=SMOOTH, mono_weight=MONO),
            torch.device("cpu"),
        )
        self.optimizer = torch.optim.Adam(self.task.parameter_groups(), fused=fused or None)
        self.task.net.train()

    def step(self, number: int) -> float:
        torch.manual_seed(number)
        self.optimizer.zero_grad(set_to_none=True)
        loss, _ = self.task.step_loss(number, np.random.default_rng((0, number)))
        loss.backward()
        self.optimizer.step()
        return loss.item()


def variants(tiles: list[np.ndarray], crop: int | None, rounds: int) -> dict[str, list[float]]:
    """Seconds of the steps of each variant, taking turns; the first steps, whose losses are compared, do not count."""
    trainers = {name: Trainer(tiles, crop, fused) for name, (_, fused) in VARIANTS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for number in range(CHECKED + rounds):
        losses = {}
        for name, (switch_back, _) in VARIANTS.items():
            with switch_back():
                start = time.perf_counter()
                losses[name] = trainers[name].step(number)
                if number >= CHECKED:
                    seconds[name].append(time.perf_counter() - start)
        if number < CHECKED:
            for name, loss in losses.items():
                if not abs(loss - losses["ours"]) <= TOLERANCE * losses["ours"]:
                    raise SystemExit(f"step {number}: {name} has the loss {loss}, ours is {losses['ours']}")
    return seconds


def stages(tiles: list[np.ndarray], crop: int | None, rounds: int) -> dict[str, list[float]]:
    """Seconds of the parts of a step, each by itself, its gradient from a graph that ends where it does."""
    trainer = Trainer(tiles, crop, True)
    task, net = trainer.task, trainer.task.net
    trainer.step(0)
    seconds: dict[str, list[float]] = {}
    at = time.perf_counter()

    def done(stage: str) -> None:
        nonlocal at
        now = time.perf_counter()
        seconds.setdefault(stage, []).append(now - at)
        at = time.perf_counter()

    for number in range(rounds):
        rng = np.random.default_rng((0, number))
        trainer.optimizer.zero_grad(set_to_none=True)
        at = time.perf_counter()
        planes = data.turn(data.unit_planes(tiles[number % len(tiles)]), rng)
        window = data.window(planes.shape[1:], crop, rng)
        target = torch.from_numpy(planes[:, *window].copy())
        gray = task._gray(task._randomization(planes, rng))
        unit = gray.to(net.luts.dtype) / 255
        done("data")
        fusion = net.predictor(unit)
        done("Predictor, forward")
        context = net.encoder(unit[(..., *window)])[0, 0]
        done("Encoder, forward")
        cut = Fusion(*(value.detach().requires_grad_() for value in fusion))
        cut_context = context.detach().requires_grad_()
        colors = lookup_gray(net.table(cut), gray[(..., *window)][0, 0], cut_context)
        F.mse_loss(colors, target).backward()
        done("collapse, lookup, loss, both ways")
        regularization(net.luts, cut, SMOOTH, MONO).backward()
        done("regularization, both ways")
        context.backward(cut_context.grad)
        done("Encoder, backward")
        torch.autograd.backward(tuple(fusion), tuple(value.grad for value in cut))
        done("Predictor, backward")
        trainer.optimizer.step()
        done("Adam")
    return seconds


def table(found: dict) -> list[str]:
    """Markdown."""
    crops = list(found["variants"])
    head = ["| {} | " + " | ".join(crops) + " |", "|---|" + "--:|" * len(crops)]
    lines = [
        "Milliseconds a step, median (quartiles); behind it how many times ours.",
        "",
        head[0].format("step"),
        head[1],
    ]
    for name in VARIANTS:
        cells = []
        for crop in crops:
            low, middle, high = np.percentile(np.array(found["variants"][crop][name]) * 1e3, [25, 50, 75])
            ours = np.median(found["variants"][crop]["ours"]) * 1e3
            cells.append(f"{middle:.1f} ({low:.1f} - {high:.1f}), {middle / ours:.2f}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", "Where the time of ours goes, milliseconds, median.", "", head[0].format("stage"), head[1]]
    for name in found["stages"][crops[0]]:
        lines.append(
            f"| {name} | " + " | ".join(f"{np.median(found['stages'][crop][name]) * 1e3:.1f}" for crop in crops) + " |"
        )
    return [*lines, "", found["machine"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, required=True, help="JSON with every single time")
    parser.add_argument("--table", type=Path, help="write the markdown between the marks of this file")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--side", type=int, default=228, help="of the tiles, px")
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    native.set_threads(1)
    tiles = list(pair(8, arguments.side, seed=0)[0])
    crops = {"crop of 128 px": 128, f"whole tile of {arguments.side} px": None}
    found = {
        "variants": {name: variants(tiles, crop, arguments.rounds) for name, crop in crops.items()},
        "stages": {name: stages(tiles, crop, arguments.rounds) for name, crop in crops.items()},
        "machine": f"stainxform {sx.__version__}, torch {torch.__version__}, {cpu_name()}, "
        f"kernels {native.active() or 'off'}, 1 thread, {arguments.rounds} steps of each.",
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(found))
    print("\n".join(table(found)))
    if arguments.table:
        write_between_marks(arguments.table, MARKS, "Speed of StainLUT's training", table(found))


if __name__ == "__main__":
    main()
