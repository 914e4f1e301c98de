"""Confidence intervals by bootstrap: slides or patients are drawn, not tiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stainxform.errors import ParameterError, StainXformError

__all__ = ["MAX_UNDEFINED", "Interval", "bootstrap_interval", "statistic_of"]

MAX_UNDEFINED = 0.05
"""More resamples than this, as a fraction, without a value of the statistic are too many for an interval."""


@dataclass(frozen=True)
class Interval:
    """A number with its confidence interval.

    Attributes
    ----------
    value : float
        The statistic of the data.
    low, high : float or None
        Ends of the interval; None where there is none, because all values come from one group.
    """

    value: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        return f"{self.value:.3g}" if self.low is None else f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


def bootstrap_interval(
    values: Any,
    groups: Sequence[Any] | None,
    *,
    statistic: Callable[[np.ndarray], float] | None = None,
    strata: Sequence[Any] | None = None,
    level: float = 0.95,
    repeats: int = 1000,
    seed: int = 0,
) -> Interval:
    """Percentile interval of the cluster bootstrap: whole groups are drawn with replacement.

    Tiles of one slide resemble each other: intervals that draw tiles are too narrow.

    Parameters
    ----------
    values : array_like
        Numbers ``(n,)`` or rows ``(n, ...)``.
    groups : sequence or None
        The slide or patient of each row, ``(n,)``; None: every row is a group of its own.
    statistic : callable, optional
        Function of rows, a plain number; None: the mean of numbers. Where it raises a stainxform error or is NaN on a
        resample (AUC of one class), that resample is left out, as long as these are 5 % or less.
    strata : sequence, optional
        A label for each row, e.g. its center: the number of groups of each label is the same in every resample. A group
        lies within one stratum.
    level : float, optional
        Level of confidence, above 0 and below 1.
    repeats : int, optional
        Number of resamples.
    seed : int, optional
        Same seed and data, same interval.

    Returns
    -------
    Interval
        All float64.

    Raises
    ------
    ParameterError
        No values, NaN, lengths that differ, fewer than two groups in all strata, or another parameter out of its range.

    Notes
    -----
    Field and Welsh, "Bootstrapping clustered data", J. R. Stat. Soc. B 69(3), 2007; percentile interval of Efron and
    Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    rows = np.asarray(values)
    if rows.ndim == 0 or not len(rows):
        raise ParameterError("an interval needs values; there are none")
    if rows.dtype.kind not in "biuf" or not np.isfinite(rows).all():
        raise ParameterError("an interval needs finite numbers; leave out what is NaN or infinite, and say how many")
    if not 0 < level < 1:
        raise ParameterError(f"level is a confidence between 0 and 1, got {level}")
    if repeats < 2:
        raise ParameterError(f"repeats must be at least 2, got {repeats}")
    clusters = _clusters(len(rows), groups, strata)
    if max(map(len, clusters)) < 2:
        raise ParameterError("an interval needs values of at least two groups (slides or patients); there is one")
    rng = np.random.default_rng(seed)
    if statistic is None:
        if rows.ndim > 1:
            raise ParameterError(f"values of shape {rows.shape} need a statistic; the mean is of one number per row")
        estimate = float(rows.mean(dtype=np.float64))
        found = _means(rows.astype(np.float64), clusters, repeats, rng)
    else:
        estimate = float(statistic(rows))
        drawn = (statistic_of(statistic, rows[_draw(clusters, rng)]) for _ in range(repeats))
        found = np.fromiter(drawn, np.float64, repeats)
    defined = found[np.isfinite(found)]
    if len(defined) < (1 - MAX_UNDEFINED) * repeats:
        raise ParameterError(
            f"the statistic has no value on {repeats - len(defined)} of {repeats} resamples: too few groups for it"
        )
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(estimate, float(low), float(high))


def statistic_of(statistic: Callable[[np.ndarray], float], rows: np.ndarray) -> float:
    """The statistic, NaN where it is not defined."""
    try:
        return float(statistic(rows))
    except StainXformError:
        return float("nan")


def _clusters(count: int, groups: Sequence[Any] | None, strata: Sequence[Any] | None) -> list[list[np.ndarray]]:
    """Rows of each group, by stratum."""
    codes = np.arange(count) if groups is None else _codes("groups", groups, count)
    layers = np.zeros(count, np.intp) if strata is None else _codes("strata", strata, count)
    members = [np.flatnonzero(codes == code) for code in np.unique(codes)]
    for rows in members:
        if len(set(layers[rows].tolist())) > 1:
            raise ParameterError("a group has rows in two strata; a slide belongs to one center")
    return [[rows for rows in members if layers[rows[0]] == layer] for layer in np.unique(layers)]


def _codes(name: str, labels: Sequence[Any], count: int) -> np.ndarray:
    if len(labels) != count:
        raise ParameterError(f"{name} must have one label for each of the {count} values, got {len(labels)}")
    names = labels.tolist() if isinstance(labels, np.ndarray) else labels
    known: dict[Any, int] = {}
    return np.array([known.setdefault(label, len(known)) for label in names])


def _draw(clusters: list[list[np.ndarray]], rng: np.random.Generator) -> np.ndarray:
    return np.concatenate([members[i] for members in clusters for i in rng.integers(len(members), size=len(members))])


def _means(values: np.ndarray, clusters: list[list[np.ndarray]], repeats: int, rng: np.random.Generator) -> np.ndarray:
    """Means of the resamples, from the sums of the groups."""
    totals, sizes = np.zeros(repeats), np.zeros(repeats)
    for members in clusters:
        sums = np.array([values[rows].sum() for rows in members])
        lengths = np.array([len(rows) for rows in members])
        drawn = rng.integers(len(members), size=(repeats, len(members)))
        totals += sums[drawn].sum(1)
        sizes += lengths[drawn].sum(1)
    return np.asarray(totals / sizes)
