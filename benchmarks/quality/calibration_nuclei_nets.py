"""The networks of the study: each learns nuclei on one half of one data set."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from calibration_nuclei_data import DataSet
from nuclei import write
from nuclei_labs import FOLDS
from nuclei_net import network, planes, train

from stainxform.augment import HED, HSV, Augmentation, ColorStatistics, RandStainNA

KINDS: dict[str, Callable[[np.ndarray], Augmentation | None]] = {
    "plain": lambda tiles: None,
    "hsv": lambda tiles: HSV.preset("strong"),
    "hed": lambda tiles: HED.preset("strong"),
    "randstainna": lambda tiles: RandStainNA.preset("strong", model=ColorStatistics.fit(tiles)),
}
"""How colors are changed in training."""
KIND_TITLES = {"plain": "none", "hsv": "HSV", "hed": "HED", "randstainna": "RandStainNA"}


def half_of(seed: int) -> int:
    """Even seeds are taught by the first half of a data set, odd ones by the second."""
    return seed % FOLDS


@dataclass(frozen=True)
class Recipe:
    """How networks are taught, and the folder where they are kept."""

    folder: Path
    steps: int

    def path(self, name: str, kind: str, seed: int) -> Path:
        return self.folder / f"{name}-{kind}-{seed}-{self.steps}.pt"

    def taught(self, name: str, data: DataSet, kind: str, seed: int) -> torch.nn.Module:
        """A network of a data set, from the folder, or a new one."""
        path = self.path(name, kind, seed)
        if not path.exists():
            known = data.of_half(half_of(seed))
            start = time.process_time()
            made = train(known.tiles, known.nuclei, steps=self.steps, seed=seed, augmentation=KINDS[kind](known.tiles))
            seconds = time.process_time() - start
            write(path, lambda part: torch.save({"weights": made.state_dict(), "seconds": seconds}, part))
            print(f"network of {name}, {kind}, seed {seed}: {seconds:.0f} s", flush=True)
        net = network(seed)
        net.load_state_dict(torch.load(path)["weights"])
        return net.eval()


def adapted(net: torch.nn.Module, tiles: np.ndarray) -> torch.nn.Module:
    """AdaBN (Li et al., "Adaptive batch normalization for practical domain adaptation", Pattern Recognition 80, 2018).

    The statistics of batch normalization become those of other tiles; no weight changes.
    """
    net = copy.deepcopy(net)
    for layer in net.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        net.train()(planes(tiles))
    return net.eval()
