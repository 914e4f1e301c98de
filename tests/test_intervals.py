"""Cluster bootstrap: what it covers, what it refuses, and that groups, not rows, are drawn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import laws

from stainxform.errors import ParameterError
from stainxform.evaluate import Interval, auc, bootstrap_interval


def test_the_value_is_the_plain_statistic():
    values = np.random.default_rng(0).normal(size=30)
    assert bootstrap_interval(values, None).value == pytest.approx(values.mean(), abs=1e-15)
    assert bootstrap_interval(values, None, statistic=np.median).value == np.median(values)


def test_two_groups_written_out():
    # Draws of two groups with means 0 and 1: 0, .5 or 1, with chances 1/4, 1/2, 1/4.
    assert bootstrap_interval([0, 0, 1, 1], ["a", "a", "b", "b"], repeats=2000) == Interval(0.5, 0.0, 1.0)
    assert bootstrap_interval([0, 0, 1, 1], ["a", "a", "b", "b"], level=0.4, repeats=2000) == Interval(0.5, 0.5, 0.5)


def test_the_mean_by_sums_is_the_mean_by_rows():
    values, groups = np.random.default_rng(1).normal(size=40), np.repeat(np.arange(10), [1, 7] * 5)
    fast = bootstrap_interval(values, groups, repeats=4000)
    plain = bootstrap_interval(values, groups, statistic=np.mean, repeats=4000)
    assert fast.value == pytest.approx(plain.value, abs=1e-15)
    assert [fast.low, fast.high] == pytest.approx([plain.low, plain.high], abs=0.05)


def test_rows_that_are_copies_do_not_narrow_the_interval():
    """Ten tiles of each slide that say the same are one observation each."""
    slides = np.random.default_rng(2).normal(size=12)
    once = bootstrap_interval(slides, None)
    grouped = bootstrap_interval(np.repeat(slides, 10), np.repeat(np.arange(12), 10))
    ignored = bootstrap_interval(np.repeat(slides, 10), None)
    assert (grouped.low, grouped.high) == pytest.approx((once.low, once.high), abs=1e-12)
    assert ignored.high - ignored.low < 0.5 * (grouped.high - grouped.low)


@pytest.mark.slow
def test_it_covers_the_truth_about_as_often_as_it_says():
    rng, covered = np.random.default_rng(3), 0
    for trial in range(300):
        slides = rng.normal(size=25)
        tiles = np.repeat(slides, 4) + rng.normal(0, 0.5, 100)
        found = bootstrap_interval(tiles, np.repeat(np.arange(25), 4), repeats=400, seed=trial)
        covered += found.low <= 0 <= found.high
    assert 0.89 <= covered / 300 <= 0.98  # the percentile interval of 25 groups is known to be a little narrow


def test_strata_keep_their_number_of_groups():
    labels = np.array([0] * 6 + [1] * 3)
    seen = set()

    def share(rows):
        seen.add((len(rows), int(labels[rows].sum())))
        return rows.mean()

    bootstrap_interval(np.arange(9), None, statistic=share, strata=labels, repeats=50)
    assert seen == {(9, 3)}


@laws
@given(st.lists(st.floats(-100, 100), min_size=2, max_size=20), st.integers(0, 99))
def test_inside_the_range_and_the_same_again(values, seed):
    found = bootstrap_interval(values, None, repeats=50, seed=seed)
    assert found == bootstrap_interval(values, None, repeats=50, seed=seed)
    assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9


def test_resamples_without_a_value_are_left_out_if_they_are_few():
    truth = np.array([0, 1] * 8)
    rows = np.stack([truth, np.random.default_rng(4).random(16)], 1)
    assert bootstrap_interval(rows, None, statistic=lambda r: auc(r[:, 0], r[:, 1])).low is not None
    with pytest.raises(ParameterError, match="too few groups"):
        bootstrap_interval(rows[:2], None, statistic=lambda r: auc(r[:, 0], r[:, 1]))


@pytest.mark.parametrize(
    ("values", "groups", "more", "message"),
    [
        ([], None, {}, "there are none"),
        ([1.0, np.nan], None, {}, "finite"),
        (["a", "b"], None, {}, "finite"),
        ([1, 2, 3], ["a", "a", "a"], {}, "two groups"),
        ([1], None, {}, "two groups"),
        ([1, 2, 3], ["a", "b"], {}, "one label for each of the 3"),
        ([1, 2, 3], ["a", "b", "a"], {"strata": [0, 0, 1]}, "two strata"),
        ([[1, 2], [3, 4]], None, {}, "statistic"),
        ([1, 2], None, {"level": 1.0}, "level"),
        ([1, 2], None, {"repeats": 1}, "repeats"),
    ],
)
def test_what_has_no_interval(values, groups, more, message):
    with pytest.raises(ParameterError, match=message):
        bootstrap_interval(values, groups, **more)


def test_it_prints_itself():
    assert str(Interval(0.51234, 0.4, 0.6)) == "0.512 [0.4, 0.6]"
    assert str(Interval(0.51234)) == "0.512"
