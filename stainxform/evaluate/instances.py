"""Measures of instance segmentation: which nucleus of the truth each predicted nucleus is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stainxform.errors import ParameterError

__all__ = ["PanopticQuality", "aji", "panoptic_quality"]


@dataclass(frozen=True)
class PanopticQuality:
    """PQ = SQ * RQ (Kirillov et al., CVPR 2019), with what it is made of, so that images can be summed.

    Attributes
    ----------
    matched : int
        Pairs with an IoU above .5 (TP).
    spurious : int
        Predicted instances without a pair (FP).
    missed : int
        Instances of the truth without a pair (FN).
    iou_sum : float
        Sum of the IoU of the pairs.
    """

    matched: int
    spurious: int
    missed: int
    iou_sum: float

    @property
    def sq(self) -> float:
        """Segmentation quality: mean IoU of the pairs; 0 if there are none, 1 if both maps are empty."""
        return self.iou_sum / self.matched if self.matched else float(self._empty)

    @property
    def rq(self) -> float:
        """Recognition quality: F1 of the instances; 1 if both maps are empty."""
        return 1.0 if self._empty else self.matched / (self.matched + (self.spurious + self.missed) / 2)

    @property
    def pq(self) -> float:
        """Panoptic quality, 0..1."""
        return self.sq * self.rq

    @property
    def _empty(self) -> bool:
        return not (self.matched or self.spurious or self.missed)

    def __add__(self, other: PanopticQuality) -> PanopticQuality:
        return PanopticQuality(
            self.matched + other.matched,
            self.spurious + other.spurious,
            self.missed + other.missed,
            self.iou_sum + other.iou_sum,
        )


def panoptic_quality(truth: Any, predicted: Any) -> PanopticQuality:
    """Panoptic quality of two label maps of one class.

    Parameters
    ----------
    truth, predicted : array_like
        Integers ``(H, W)``: 0 outside, another number for each instance.

    Raises
    ------
    ParameterError
        No label maps, or shapes that differ.
    """
    both, areas, predicted_areas = _contingency(truth, predicted)
    union = areas[:, None] + predicted_areas[None] - both
    matched = (both / np.maximum(union, 1)) > 0.5  # above one half: a pair is the only one of both
    count = int(matched.sum())
    return PanopticQuality(
        count, len(predicted_areas) - count, len(areas) - count, float((both[matched] / union[matched]).sum())
    )


def aji(truth: Any, predicted: Any) -> float:
    """Aggregated Jaccard index of two label maps (Kumar et al., IEEE TMI 36(7), 2017, algorithm 1).

    Every nucleus of the truth takes the predicted one with the highest IoU; their intersections are summed above,
    their unions below, with the areas of the predicted ones that none took. One may be taken twice, as in the paper.

    Parameters
    ----------
    truth, predicted : array_like
        As for :func:`panoptic_quality`.

    Returns
    -------
    float
        0..1; 1 if both are empty.

    Raises
    ------
    ParameterError
        As for :func:`panoptic_quality`.
    """
    both, areas, predicted_areas = _contingency(truth, predicted)
    if not len(areas) or not len(predicted_areas):
        return float(len(areas) == len(predicted_areas))
    union = areas[:, None] + predicted_areas[None] - both
    taken = (both / union).argmax(axis=1)
    rows = np.arange(len(areas))
    hit = both[rows, taken] > 0
    above = both[rows, taken][hit].sum()
    unused = np.setdiff1d(np.arange(len(predicted_areas)), taken[hit])
    below = union[rows, taken][hit].sum() + areas[~hit].sum() + predicted_areas[unused].sum()
    return float(above / below)


def _contingency(truth: Any, predicted: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels that instance i of the truth and j of the prediction share ``(n, m)``, and the areas of both."""
    maps = [np.asarray(each) for each in (truth, predicted)]
    for name, each in zip(("truth", "predicted"), maps):
        if each.dtype.kind not in "biu" or each.ndim != 2 or not each.size:
            raise ParameterError(f"expected {name} as a label map of integers (H, W), got {each.dtype} {each.shape}")
    if maps[0].shape != maps[1].shape:
        raise ParameterError(f"label maps must have one shape, got {maps[0].shape} and {maps[1].shape}")
    codes = [np.unique(np.concatenate([[0], each.ravel()]), return_inverse=True) for each in maps]
    (labels, rows), (others, columns) = ((found, inverse[1:]) for found, inverse in codes)
    if min(labels[0], others[0]) < 0:
        raise ParameterError("label maps hold 0 outside and positive numbers inside, got a negative one")
    table = np.bincount(rows * len(others) + columns, minlength=len(labels) * len(others))
    table = table.reshape(len(labels), len(others))
    return table[1:, 1:], table[1:].sum(axis=1), table[:, 1:].sum(axis=0)
