"""Hierarchical bootstrap of the study: groups of tested tiles and seeds of networks are drawn, then Holm's correction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from calibration_nuclei_study import Study
from calibration_nuclei_treatments import NONE, PRIMARY, Treatment

REPEATS = 10_000
FEWEST_GROUPS = 6
"""With fewer groups on the test side no verdict is given."""
LEVEL = 0.95
PQ = 1
"""Its column among the measures."""
Direction = tuple[str, str]


@dataclass(frozen=True, eq=False)
class Draws:
    """A statistic of the data, first, and of its resamples: ``(1 + REPEATS,)``."""

    values: np.ndarray

    @property
    def value(self) -> float:
        return float(self.values[0])

    @property
    def interval(self) -> tuple[float, float]:
        low, high = np.quantile(self.values[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return float(low), float(high)

    @property
    def p(self) -> float:
        """Two-sided, that the statistic is zero."""
        drawn = self.values[1:]
        side = min((drawn <= 0).sum(), (drawn >= 0).sum())
        return min(1.0, 2 * (side + 1) / (len(drawn) + 1))


class Bootstrap:
    """The same draws of groups and seeds for everything that is compared."""

    def __init__(self, study: Study):
        self.study = study
        rng = np.random.default_rng(0)
        self.tiles = {name: _of_groups(data.test.groups, rng) for name, data in study.data.items()}
        self._rng = rng
        self.seeds, self.done = cache(self._seeds), cache(self._done)
        self._nets: dict[tuple[str, str], np.ndarray] = {}

    def _seeds(self, kind: str) -> list[int]:
        """Seeds of a kind of network that count: those with figures without and with the primary calibration."""
        primary = self.study.scored(PRIMARY, kind)
        return [seed for seed in self.study.scored(NONE, kind) if seed in primary]

    def _done(self, treatment: Treatment, kind: str = "plain") -> bool:
        """Whether all of those were scored in every direction."""
        wanted = self.seeds(kind)
        return bool(wanted) and set(wanted) <= set(self.study.scored(treatment, kind))

    def direction(self, treatment: Treatment, direction: Direction, kind: str = "plain", measure: int = PQ) -> Draws:
        """Mean of a measure over tiles and seeds."""
        found = self.study.values(treatment, *direction, kind)
        scores = np.array([found[seed][:, measure] for seed in self.seeds(kind)])
        return Draws(np.einsum("rs,st,rt->r", self._drawn(direction[0], kind), scores, self.tiles[direction[1]]))

    def reference(self, name: str, measure: int = PQ) -> Draws:
        """The same of networks of the data set itself, whose seeds are not drawn."""
        return Draws(self.tiles[name] @ self.study.reference(name)[:, measure])

    def mean(self, treatment: Treatment, kind: str = "plain", measure: int = PQ) -> Draws:
        """Over all directions."""
        return average([self.direction(treatment, each, kind, measure) for each in self.study.directions])

    def gain(self, treatment: Treatment, direction: Direction, kind: str = "plain") -> Draws:
        """PQ above that of tiles as they are, for the same networks."""
        return difference(self.direction(treatment, direction, kind), self.direction(NONE, direction, kind))

    def gap(self) -> Draws:
        """PQ of networks of the same data set above plain networks of another one, mean over all directions."""
        wanted = average([self.reference(theirs) for _, theirs in self.study.directions])
        return difference(wanted, self.mean(NONE))

    def enough(self, direction: Direction) -> bool:
        return len(set(self.study.data[direction[1]].test.groups)) >= FEWEST_GROUPS

    def _drawn(self, name: str, kind: str) -> np.ndarray:
        """Weights of the networks of a data set ``(1 + REPEATS, seeds)``."""
        if (name, kind) not in self._nets:
            count = len(self.seeds(kind))
            drawn = self._rng.multinomial(count, np.full(count, 1 / count), size=REPEATS) / count
            self._nets[name, kind] = np.vstack([np.full(count, 1 / count), drawn])
        return self._nets[name, kind]


def average(draws: Sequence[Draws]) -> Draws:
    return Draws(np.mean([each.values for each in draws], axis=0))


def difference(one: Draws, other: Draws) -> Draws:
    return Draws(one.values - other.values)


def share(part: Draws, whole: Draws) -> Draws:
    """NaN of nothing."""
    return Draws(np.divide(part.values, whole.values, out=np.full_like(whole.values, np.nan), where=whole.values != 0))


def holm(p: Sequence[float]) -> np.ndarray:
    """Adjusted p values (Holm, Scandinavian Journal of Statistics 6(2), 1979)."""
    order = np.argsort(p)
    steps = np.asarray(p)[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def _of_groups(groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Weights of tiles ``(1 + REPEATS, n)``: all alike, then as often as their group is drawn."""
    names, member = np.unique(groups, return_inverse=True)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=REPEATS)
    weights = np.vstack([np.ones(len(groups)), drawn[:, member]])
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
