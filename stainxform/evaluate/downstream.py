"""What a model makes of the images: measures of classification and of segmentation, from counts."""

from __future__ import annotations

from typing import Any

import numpy as np

from stainxform.errors import ParameterError

__all__ = ["auc", "dice", "f1", "iou"]


def auc(truth: Any, scores: Any) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties count half.

    Parameters
    ----------
    truth : array_like
        bool or 0/1, ``(n,)``.
    scores : array_like
        Finite numbers ``(n,)``.

    Raises
    ------
    ParameterError
        One class, NaN, no values, or lengths that differ.

    Notes
    -----
    Mann-Whitney statistic; Hanley and McNeil, Radiology 143(1), 1982.
    """
    positive, values = _labels("truth", truth), np.asarray(scores, np.float64)
    if values.shape != positive.shape:
        raise ParameterError(f"truth and scores must have one shape, got {positive.shape} and {values.shape}")
    if not np.isfinite(values).all():
        raise ParameterError("scores hold NaN or infinite values")
    count, other = int(positive.sum()), int((~positive).sum())
    if not count or not other:
        raise ParameterError("AUC needs positives and negatives; truth holds one class")
    _, inverse, ties = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(ties) - (ties - 1) / 2)[inverse]
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * other))


def f1(truth: Any, predicted: Any) -> float:
    """F1 of 0/1 labels, 2 TP / (2 TP + FP + FN): the same number as :func:`dice` of masks; 1 if there are no positives.

    Raises
    ------
    ParameterError
        As :func:`dice`.
    """
    return dice(truth, predicted)


def dice(truth: Any, predicted: Any) -> float:
    """Dice coefficient of two masks, 2 |A and B| / (|A| + |B|) (Dice, Ecology 26, 1945).

    Parameters
    ----------
    truth, predicted : array_like
        bool or 0/1, of one shape, e.g. ``(H, W)``.

    Returns
    -------
    float
        0..1; 1 if both are empty.

    Raises
    ------
    ParameterError
        Other values than 0 and 1, shapes that differ, or no values at all.
    """
    both, either = _overlap(truth, predicted)
    return 2 * both / (both + either) if either else 1.0


def iou(truth: Any, predicted: Any) -> float:
    """Intersection over union of two masks (Jaccard 1901); 1 if both are empty. Otherwise as :func:`dice`."""
    both, either = _overlap(truth, predicted)
    return both / either if either else 1.0


def _overlap(truth: Any, predicted: Any) -> tuple[int, int]:
    """Pixels in both masks, and in either."""
    one, other = _labels("truth", truth), _labels("predicted", predicted)
    if one.shape != other.shape:
        raise ParameterError(f"truth and predicted must have one shape, got {one.shape} and {other.shape}")
    return int((one & other).sum()), int((one | other).sum())


def _labels(name: str, values: Any) -> np.ndarray:
    array = np.asarray(values)
    if not array.size:
        raise ParameterError(f"{name} is empty")
    if array.dtype.kind not in "biuf" or not ((array == 0) | (array == 1)).all():
        raise ParameterError(f"{name} must hold 0 and 1 (or False and True) only")
    return array.astype(bool)
