"""Downstream measures against cases computed by hand, plain loops and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics
from strategies import laws

from stainxform.errors import ParameterError
from stainxform.evaluate import PanopticQuality, aji, auc, dice, f1, iou, panoptic_quality


def test_auc_by_hand():
    # Positives .8, .4; negatives .6, .4: 2 of 4 pairs above, one tie: 2.5 / 4.
    assert auc([1, 0, 1, 0], [0.8, 0.6, 0.4, 0.4]) == 0.625
    assert auc([True, False], [2, 1]) == 1
    assert auc([True, False], [1, 2]) == 0
    assert auc([1, 0, 1], [5, 5, 5]) == 0.5


two_classes = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=40).filter(
    lambda rows: len({truth for truth, _ in rows}) == 2
)


@laws
@given(two_classes)
def test_auc_as_scikit_learn(rows):
    truth, scores = np.array(rows).T
    assert auc(truth, scores) == pytest.approx(metrics.roc_auc_score(truth, scores), abs=1e-12)


def test_overlap_by_hand():
    truth, predicted = [1, 1, 1, 0, 0], [1, 0, 0, 1, 0]
    assert dice(truth, predicted) == f1(truth, predicted) == 2 * 1 / (3 + 2)
    assert iou(truth, predicted) == 1 / 4
    assert dice([0, 0], [0, 0]) == iou([0, 0], [0, 0]) == 1
    assert dice([1, 0], [0, 0]) == iou([1, 0], [0, 0]) == 0


@laws
@given(hnp.arrays(bool, st.tuples(st.just(2), st.integers(1, 30))))
def test_overlap_as_scikit_learn_and_as_each_other(rows):
    truth, predicted = rows
    if truth.any() or predicted.any():
        assert f1(truth, predicted) == pytest.approx(metrics.f1_score(truth, predicted), abs=1e-12)
        assert iou(truth, predicted) == pytest.approx(metrics.jaccard_score(truth, predicted), abs=1e-12)
    assert dice(truth, predicted) == pytest.approx(2 * iou(truth, predicted) / (1 + iou(truth, predicted)), abs=1e-12)


def label_map(*boxes, side=12):
    """Rectangles (top, left, bottom, right), numbered from 3 in steps of 2: labels need not be consecutive."""
    labels = np.zeros((side, side), np.int32)
    for i, (top, left, bottom, right) in enumerate(boxes):
        labels[top:bottom, left:right] = 3 + 2 * i
    return labels


TWO = label_map((0, 0, 4, 4), (6, 6, 10, 10))


def test_equal_maps():
    assert aji(TWO, TWO * 10) == 1
    assert panoptic_quality(TWO, TWO * 10) == PanopticQuality(2, 0, 0, 2.0)


def test_one_shifted_one_missed_one_spurious_by_hand():
    # Shifted by one column: 12 of 16 + 16 - 12 = 20 pixels: IoU .6. The second is missed, the third is spurious (4 pixels).
    predicted = label_map((0, 1, 4, 5), (0, 8, 2, 10))
    found = panoptic_quality(TWO, predicted)
    assert found == PanopticQuality(1, 1, 1, 12 / 20)
    assert (found.sq, found.rq, found.pq) == (0.6, 1 / (1 + 1), 0.6 / 2)
    assert aji(TWO, predicted) == 12 / (20 + 16 + 4)


def test_an_overlap_of_one_half_is_no_match_but_counts_in_aji():
    # Two columns of four: 8 of 16: IoU 8/16 = .5.
    predicted = label_map((0, 0, 4, 2))
    truth = label_map((0, 0, 4, 4))
    assert panoptic_quality(truth, predicted) == PanopticQuality(0, 1, 1, 0.0)
    assert panoptic_quality(truth, predicted).pq == 0
    assert aji(truth, predicted) == 0.5


def test_aji_may_take_one_prediction_twice_as_kumar_wrote_it():
    # One prediction over both nuclei, 32 pixels: each takes it; unions 32 + 32.
    truth, predicted = label_map((0, 0, 4, 4), (0, 4, 4, 8)), label_map((0, 0, 4, 8))
    assert aji(truth, predicted) == (16 + 16) / (32 + 32)


def test_empty_maps():
    empty = np.zeros((12, 12), int)
    assert aji(empty, empty) == panoptic_quality(empty, empty).pq == 1
    assert aji(TWO, empty) == aji(empty, TWO) == panoptic_quality(TWO, empty).pq == 0
    assert panoptic_quality(empty, TWO) == PanopticQuality(0, 2, 0, 0.0)


def test_images_add_up():
    one = panoptic_quality(TWO, label_map((0, 1, 4, 5)))
    assert one + panoptic_quality(TWO, TWO) == PanopticQuality(3, 0, 1, pytest.approx(2.6))


def plain_aji(truth, predicted):
    """Kumar's algorithm, nucleus by nucleus."""
    above = below = 0
    used = set()
    others = [label for label in np.unique(predicted) if label]
    for label in np.unique(truth)[np.unique(truth) > 0]:
        inside = truth == label
        scored = [((inside & (predicted == o)).sum() / (inside | (predicted == o)).sum(), o) for o in others]
        best = max(scored, key=lambda pair: pair[0], default=(0, None))
        if best[0] > 0:
            chosen = predicted == best[1]
            above, below = above + (inside & chosen).sum(), below + (inside | chosen).sum()
            used.add(best[1])
        else:
            below += inside.sum()
    below += sum((predicted == o).sum() for o in others if o not in used)
    return above / below if below else 1.0


def plain_pq(truth, predicted):
    """Every pair."""
    pairs = []
    for one in np.unique(truth)[np.unique(truth) > 0]:
        for other in np.unique(predicted)[np.unique(predicted) > 0]:
            a, b = truth == one, predicted == other
            if (a & b).sum() / (a | b).sum() > 0.5:
                pairs.append((a & b).sum() / (a | b).sum())
    counts = [len(np.unique(m[m > 0])) for m in (truth, predicted)]
    return PanopticQuality(len(pairs), counts[1] - len(pairs), counts[0] - len(pairs), pytest.approx(sum(pairs)))


maps = hnp.arrays(np.int64, st.just((6, 7)), elements=st.integers(0, 4))


@laws
@given(maps, maps)
def test_label_maps_as_the_plain_loops(truth, predicted):
    assert aji(truth, predicted) == pytest.approx(plain_aji(truth, predicted), abs=1e-12)
    assert panoptic_quality(truth, predicted) == plain_pq(truth, predicted)
    assert 0 <= panoptic_quality(truth, predicted).pq <= 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: auc([1, 1], [0.1, 0.2]), "one class"),
        (lambda: auc([1, 0], [0.1, np.nan]), "NaN"),
        (lambda: auc([1, 0], [0.1]), "one shape"),
        (lambda: auc([], []), "empty"),
        (lambda: f1([1, 2], [1, 0]), "0 and 1"),
        (lambda: dice([1, np.nan], [1, 0]), "0 and 1"),
        (lambda: iou(np.ones((2, 2)), np.ones((2, 3))), "one shape"),
        (lambda: aji(np.ones((2, 2)), np.ones((2, 2), int)), "integers"),
        (lambda: aji(TWO[0], TWO[0]), "label map"),
        (lambda: panoptic_quality(TWO, TWO[:4]), "one shape"),
        (lambda: panoptic_quality(-TWO, TWO), "negative"),
    ],
)
def test_what_cannot_be_measured(call, message):
    with pytest.raises(ParameterError, match=message):
        call()
