"""What is done to the tiles of another data set before a network sees them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from calibration_nuclei_data import DataSet
from nuclei_labs import FOLDS

import stainxform as sx

TILE = "tile"
OTHER_PATIENTS = "other patients"
OTHER_TILES = "other tiles"
ANOTHER_GROUP = "another group"
TEST_TILES = "test tiles"
"""What a map is estimated from: the tile itself; all tiles of the half whose patients are not tested; tiles that are
not tested, of the same and all other patients; the same, mixed up: each tile gets the map of the next group; the tested
tiles themselves."""

GROUP, CENTER, AUTO = 0.0, 1.0, "auto"
LEARNED = {"stainlut": {"steps": 600}, "colornormnet": {"steps": 400}}
METHODS = ("transport", "reinhard", "macenko", "vahadane", "ramakrishnan", "stainlut", "colornormnet")
SPACES = ("od", "rgb", "cielab")
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)

Bridge = Callable[[DataSet], np.ndarray]
"""Tiles of a data set to normalized tiles."""


@dataclass(frozen=True)
class Treatment:
    """One column of scores.

    Attributes
    ----------
    method : a registered normalizer; "" leaves tiles as they are.
    seen : what the map is estimated from.
    weight : of the center against the group, where tiles of the group are seen.
    space : of ``transport``.
    batch_norm : whether the network takes its batch statistics from the tiles that are not tested (AdaBN).
    """

    method: str = ""
    seen: str = ""
    weight: float | str = CENTER
    space: str = ""
    batch_norm: bool = False

    def __str__(self) -> str:
        """Its name in the output folder."""
        weight = f"{self.weight}" if self.seen in (OTHER_TILES, ANOTHER_GROUP, TEST_TILES) else ""
        words = [self.method or "none", self.space, self.seen, weight, "adabn" if self.batch_norm else ""]
        return "-".join(word.replace(" ", "_") for word in words if word)

    @cached_property
    def target(self) -> tuple[str, dict[str, object]]:
        """The method and settings of its target."""
        space = {"space": self.space} if self.space else {}
        return self.method, LEARNED.get(self.method, {}) | space


NONE = Treatment()
PRIMARY = Treatment("transport", OTHER_TILES, AUTO)
HALF_WAY = Treatment("transport", OTHER_TILES, 0.5, "od")
ADABN = Treatment(batch_norm=True)
BOTH = Treatment("transport", OTHER_TILES, AUTO, batch_norm=True)
MIXED_UP = Treatment("transport", ANOTHER_GROUP, AUTO)
FOR_ALL = [NONE, HALF_WAY, PRIMARY, ADABN, BOTH]
"""For every kind of network."""
MIXTURES = [Treatment("transport", OTHER_TILES, weight, space) for space in SPACES for weight in WEIGHTS]
"""What the rotation chooses from."""
OF_METHODS = [
    treatment
    for method in METHODS
    for treatment in (
        Treatment(method, TILE),
        Treatment(method, OTHER_PATIENTS),
        Treatment(method, OTHER_TILES, CENTER),
        Treatment(method, OTHER_TILES, AUTO),
        Treatment(method, TEST_TILES, AUTO),
    )
]
FOR_PLAIN = [*OF_METHODS, MIXED_UP, *MIXTURES]
"""For plain networks alone."""


def fitted(folder: Path, name: str, ours: DataSet, treatment: Treatment) -> sx.Normalizer:
    """The target of a treatment, from the folder or new; ``name`` says what it is fitted on."""
    method, settings = treatment.target
    if method in LEARNED:
        settings = settings | {"seed": 0, "device": "cpu", "progress": False}
    path = folder / f"{'-'.join([name, method, *map(str, treatment.target[1].values())])}.safetensors"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        sx.fit_center(list(ours.tiles), method, qc="off", **settings).save(path)
    return sx.load(str(path))


def bridge(treatment: Treatment, target: sx.Normalizer | None, theirs: DataSet) -> Bridge:
    """How tiles of another data set are normalized."""
    if target is None:
        return lambda part: part.tiles
    if treatment.seen == TILE:
        return lambda part: np.stack([target(tile) for tile in part.tiles])
    if treatment.seen == OTHER_PATIENTS:
        centers = [_calibrated(target, theirs.of_half(1 - half), AUTO) for half in range(FOLDS)]
        return lambda part: np.stack([centers[half](tile) for tile, half in zip(part.tiles, part.half)])
    seen = theirs.test if treatment.seen == TEST_TILES else theirs.spare
    one = _calibrated(target, seen, treatment.weight)
    names = sorted(set(seen.groups))
    step = 1 if treatment.seen == ANOTHER_GROUP else 0
    map_of = {name: names[(i + step) % len(names)] for i, name in enumerate(names)}
    return lambda part: np.stack([one(tile, group=map_of.get(name)) for tile, name in zip(part.tiles, part.groups)])


def _calibrated(target: sx.Normalizer, seen: DataSet, weight: float | str) -> Any:
    return target.calibrate(list(seen.tiles), groups=seen.groups.tolist(), center_weight=weight, qc="off")
