"""Can a classifier tell from its colors which center a tile comes from?"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stainxform._optional import require
from stainxform.errors import ParameterError
from stainxform.evaluate.intervals import Interval, bootstrap_interval

__all__ = ["MAX_FOLDS", "Identifiability", "center_identifiability"]

MAX_FOLDS = 5


@dataclass(frozen=True)
class Identifiability:
    """How well a classifier guesses the center.

    Attributes
    ----------
    accuracy : Interval
        Share of tiles whose center it guesses, out of fold.
    balanced_accuracy : Interval
        Mean of that share over the centers; 1 / number of centers is chance.
    majority : float
        Accuracy of who always names the center with the most tiles.
    chance : float
        1 / number of centers.
    folds : int
        Folds of the cross-validation.
    """

    accuracy: Interval
    balanced_accuracy: Interval
    majority: float
    chance: float
    folds: int


def center_identifiability(
    features: Any,
    centers: Sequence[str],
    groups: Sequence[Any] | None = None,
    *,
    level: float = 0.95,
    repeats: int = 1000,
    seed: int = 0,
) -> Identifiability:
    """Cross-validated accuracy of a logistic regression that guesses the center from color features.

    Normalization that works makes this fall to chance; what is left is color that it did not bring together. The
    groups of one fold are never in training, so knowing a slide does not help.

    Parameters
    ----------
    features : array_like
        ``(n, d)``, see :func:`stainxform.evaluate.color_features`.
    centers : sequence of str
        The center of each row.
    groups : sequence, optional
        Its slide or patient; a name that occurs at two centers is one patient. None: every row by itself, which lets
        tiles of one slide stand on both sides: too high.
    level : float, optional
        See :func:`bootstrap_interval`.
    repeats, seed : int, optional
        See :func:`bootstrap_interval`.

    Raises
    ------
    ParameterError
        One center, a center with one group, NaN, or lengths that differ.
    MissingDependencyError
        scikit-learn is not installed.

    Notes
    -----
    Features are standardized within each training set; L2 penalty with C = 1. Groups are dealt to the folds, at most 5
    and at most as many as the smallest number of groups of a center, such that every fold holds some of every center.
    """
    rows = np.asarray(features, np.float64)
    if rows.ndim != 2 or not np.isfinite(rows).all():
        raise ParameterError(f"expected finite features (n, d), got shape {rows.shape} or NaN")
    if not len(rows) == len(centers) == (len(rows) if groups is None else len(groups)):
        raise ParameterError(f"features, centers and groups must have one length, got {len(rows)} and {len(centers)}")
    names = sorted(set(centers))
    if len(names) < 2:
        raise ParameterError("distinguishing centers needs at least two of them; there is one")
    labels = list(range(len(rows))) if groups is None else list(groups)
    folds = _folds(list(centers), labels)
    truth = np.array([names.index(center) for center in centers])
    guess = _cross_validate(rows, truth, folds)
    both = np.stack([truth, guess], axis=1)
    crossed = len({(c, g) for c, g in zip(centers, labels)}) > len(set(labels))
    options: dict[str, Any] = {
        "strata": None if crossed else list(centers), "level": level, "repeats": repeats, "seed": seed
    }  # fmt: skip
    return Identifiability(
        bootstrap_interval(truth == guess, labels, **options),
        bootstrap_interval(both, labels, statistic=_balanced, **options),
        max(Counter(centers).values()) / len(rows),
        1 / len(names),
        int(folds.max()) + 1,
    )


def _folds(centers: list[str], groups: list[Any]) -> np.ndarray:
    """The fold of each row: groups of the same centers are dealt one by one, large ones first."""
    of_group: dict[Any, Counter[str]] = defaultdict(Counter)
    for center, group in zip(centers, groups):
        of_group[group][center] += 1
    number = Counter(center for counts in of_group.values() for center in counts)
    name, fewest = min(number.items(), key=lambda item: item[1])
    if fewest < 2:
        raise ParameterError(
            f"center {name!r} has one slide or patient: its tiles cannot be in training and in the test; give two or more"
        )
    count = min(MAX_FOLDS, fewest)
    dealt: dict[frozenset[str], int] = defaultdict(int)
    fold = {}
    for group in sorted(of_group, key=lambda group: -of_group[group].total()):
        kind = frozenset(of_group[group])
        fold[group] = dealt[kind] % count
        dealt[kind] += 1
    return np.array([fold[group] for group in groups])


def _cross_validate(rows: np.ndarray, truth: np.ndarray, folds: np.ndarray) -> np.ndarray:
    linear_model = require("sklearn.linear_model", "report")
    guess = np.empty_like(truth)
    for fold in range(folds.max() + 1):
        train = folds != fold
        center, scale = rows[train].mean(0), rows[train].std(0)
        scaled = (rows - center) / np.where(scale > 0, scale, 1)
        model = linear_model.LogisticRegression(C=1.0, max_iter=5000)
        guess[~train] = model.fit(scaled[train], truth[train]).predict(scaled[~train])
    return guess


def _balanced(rows: np.ndarray) -> float:
    truth, guess = rows.T
    return float(np.mean([(guess[truth == label] == label).mean() for label in np.unique(truth)]))
