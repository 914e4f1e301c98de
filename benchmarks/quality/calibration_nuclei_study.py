"""Networks of one data set on the normalized tiles of another: every score is kept, so that a stopped run goes on."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from calibration_nuclei_data import LOADERS, DataSet, load
from calibration_nuclei_nets import KINDS, Recipe, adapted, half_of
from calibration_nuclei_treatments import Treatment, bridge, fitted
from nuclei import write
from nuclei_labs import FOLDS
from nuclei_net import predict

from stainxform.evaluate import dice, panoptic_quality

MEASURES = ("Dice", "PQ")
REFERENCE = "same data set"


class Study:
    """The data sets, the networks, and the folder where everything is kept.

    Parameters
    ----------
    data : where the data sets are.
    out : the folder.
    seeds : of each kind of network.
    steps : of a network.
    teach : whether networks that are not there are taught; without, what is there is scored.
    """

    def __init__(self, data: Path, out: Path, *, seeds: Sequence[int], steps: int, teach: bool = True):
        self.out, self.seeds, self.teach = out, seeds, teach
        self.recipe = Recipe(out / "networks", steps)
        self.data: dict[str, DataSet] = {name: load(data, name) for name in LOADERS}
        self.directions = [(ours, theirs) for ours in LOADERS for theirs in LOADERS if ours != theirs]

    def of(self, seeds: Sequence[int], steps: int) -> Study:
        """The same data and folder, with networks of other seeds and length."""
        other = copy.copy(self)
        other.seeds, other.recipe = seeds, Recipe(self.out / "networks", steps)
        return other

    def teach_all(self) -> None:
        """Every network; whole seeds first, plain ones before all."""
        order = sorted(((kind, seed) for kind in KINDS for seed in self.seeds), key=lambda each: each[0] != "plain")
        for kind, seed in order:
            for name, data in self.data.items():
                self.recipe.taught(name, data, kind, seed)

    def score(self, treatment: Treatment, kinds: Sequence[str]) -> None:
        """What is missing of a treatment, in every direction."""
        for ours, theirs in self.directions:
            path = self._path(str(treatment), ours, theirs)
            known = _read(path)
            for half in range(FOLDS):
                wanted = [net for net in self._nets(ours, kinds) if half_of(net[1]) == half and _key(*net) not in known]
                if wanted:
                    known |= self._scores(treatment, ours, half, theirs, wanted)
            _keep(path, known)
        print(treatment, ", ".join(kinds), flush=True)

    def score_reference(self) -> None:
        """Plain networks of the data set itself, each on the half that it was not taught."""
        for name, data in self.data.items():
            path = self._path(REFERENCE, name, name)
            known = _read(path)
            for kind, seed in self._nets(name, ["plain"]):
                if _key(kind, seed) not in known:
                    test = data.test.of_half(1 - half_of(seed))
                    net = self.recipe.taught(name, data, kind, seed)
                    known[_key(kind, seed)] = _scored(net, test.tiles, test.nuclei)
            _keep(path, known)

    def scored(self, treatment: Treatment, kind: str) -> list[int]:
        """The seeds for which every direction is there."""
        found = [self.values(treatment, *each, kind) for each in self.directions]
        return [seed for seed in self.seeds if all(seed in each for each in found)]

    def values(self, treatment: Treatment, ours: str, theirs: str, kind: str) -> dict[int, np.ndarray]:
        """Dice and PQ of each tested tile ``(n, 2)``, by seed; what is there."""
        path = self._path(str(treatment), ours, theirs)
        known = _read(path)
        return {seed: np.array(known[_key(kind, seed)]) for seed in self.seeds if _key(kind, seed) in known}

    def reference(self, name: str) -> np.ndarray:
        """Dice and PQ of each tested tile ``(n, 2)`` by networks of the same data set, mean over seeds."""
        known = _read(self._path(REFERENCE, name, name))
        test = self.data[name].test
        found = np.full((len(test.tiles), len(MEASURES)), np.nan)
        for half in range(FOLDS):
            rows = [known[_key("plain", seed)] for seed in self.seeds if half_of(seed) != half]
            found[test.half == half] = np.mean(rows, axis=0)
        return found

    def _scores(
        self, treatment: Treatment, ours: str, half: int, theirs: str, nets: Sequence[tuple[str, int]]
    ) -> dict[str, list[list[float]]]:
        data = self.data[theirs]
        taught = self.data[ours].of_half(half)
        target = fitted(self.out / "targets", f"{ours}-{half}", taught, treatment) if treatment.method else None
        normalize = bridge(treatment, target, data)
        tiles = normalize(data.test)
        others = normalize(data.spare) if treatment.batch_norm else None
        found = {}
        for kind, seed in nets:
            net = self.recipe.taught(ours, self.data[ours], kind, seed)
            found[_key(kind, seed)] = _scored(net if others is None else adapted(net, others), tiles, data.test.nuclei)
        return found

    def _nets(self, name: str, kinds: Sequence[str]) -> Iterator[tuple[str, int]]:
        for kind in kinds:
            for seed in self.seeds:
                if self.teach or self.recipe.path(name, kind, seed).exists():
                    yield kind, seed

    def _path(self, treatment: str, ours: str, theirs: str) -> Path:
        return self.out / "scores" / treatment / f"{ours}-{theirs}-{self.recipe.steps}.json"


def _read(path: Path) -> dict[str, list[list[float]]]:
    return json.loads(path.read_text()) if path.exists() else {}


def _keep(path: Path, known: dict[str, list[list[float]]]) -> None:
    write(path, lambda part: part.write_text(json.dumps(known)))


def _key(kind: str, seed: int) -> str:
    return f"{kind}-{seed}"


def _scored(net: torch.nn.Module, tiles: np.ndarray, truths: np.ndarray) -> list[list[float]]:
    found = ((truth, predict(net, tile)) for tile, truth in zip(tiles, truths))
    return [[dice(truth > 0, nuclei > 0), panoptic_quality(truth, nuclei).pq] for truth, nuclei in found]
