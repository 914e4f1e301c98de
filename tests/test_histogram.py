from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from strategies import he_image, he_images, laws, odd_images, stored_images

from stainxform.errors import InvalidImageError
from stainxform.image.histogram import ON_GRID, ColorHistogram, weighted_moments, weighted_percentile
from stainxform.image.layout import check_image
from stainxform.io.sources import iterate

tiles = st.lists(he_images(largest=12) | odd_images(), min_size=1, max_size=5)


def same(a, b):
    return (
        np.array_equal(a.colors, b.colors)
        and np.array_equal(a.counts, b.counts)
        and (a.levels is None) == (b.levels is None)
    )


def flat(images):
    return np.concatenate([image.reshape(-1, 3) for image in images])


@laws
@given(he_images() | odd_images())
def test_counts_every_distinct_color_of_8_bit_images(image):
    histogram = ColorHistogram.of(image)
    colors, counts = np.unique(image.reshape(-1, 3), axis=0, return_counts=True)
    assert histogram.levels is not None
    order = np.lexsort(histogram.levels[::-1])
    assert np.array_equal(histogram.colors, histogram.levels / 255)
    assert np.array_equal(histogram.levels[:, order].T, colors)
    assert np.array_equal(histogram.counts[order], counts)
    assert histogram.total == image.shape[0] * image.shape[1]


@laws
@given(stored_images())
def test_no_pixel_is_lost_in_any_dtype_or_layout(stored):
    histogram = ColorHistogram.of(stored.image, check_image(stored.image, **stored.keywords))
    repeated = np.repeat(histogram.colors, histogram.counts, axis=1)
    spec = check_image(stored.image, **stored.keywords)
    low, scale = (0, 255) if spec.integer else (spec.low, spec.scale)
    expected = (stored.pixels.reshape(-1, 3).T - low) / scale
    np.testing.assert_allclose(np.sort(repeated), np.sort(expected), atol=ON_GRID / 255)


@pytest.mark.parametrize("high", [1.0, 255.0, 1000.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_that_were_8_bit_count_as_8_bit(dtype, high):
    image = he_image(1)
    floats = (image / 255 * high).astype(dtype)
    assert same(ColorHistogram.of(floats, check_image(floats, (0, high))), ColorHistogram.of(image))


def test_other_floats_are_kept_one_by_one():
    floats = he_image(1).astype(np.float32) / 255
    floats[3, 5, 1] += 0.3 / 255
    histogram = ColorHistogram.of(floats)
    assert histogram.levels is None
    assert np.array_equal(histogram.colors, floats.reshape(-1, 3).T.astype(np.float64))


@laws
@given(tiles, st.integers(1, 4))
def test_pool_is_merge_is_the_histogram_of_the_concatenation(images, at_once):
    parts = [ColorHistogram.of(image) for image in images]
    whole = ColorHistogram.of(flat(images)[None])
    assert same(ColorHistogram.merge(parts), whole)
    assert same(ColorHistogram.pool(iter(parts), at_once), whole)
    assert same(ColorHistogram.pool(ColorHistogram.of(image) for image in iterate(images)), whole)


@laws
@given(tiles, st.randoms(use_true_random=False))
def test_merge_does_not_depend_on_order_or_grouping(images, random):
    parts = [ColorHistogram.of(image) for image in images]
    whole = ColorHistogram.merge(parts)
    random.shuffle(parts)
    assert same(ColorHistogram.merge(parts), whole)
    assert same(ColorHistogram.merge([ColorHistogram.merge(parts[:2]), ColorHistogram.merge(parts[2:])]), whole)


def test_merging_8_bit_with_float_keeps_every_pixel():
    a, b = he_image(1), he_image(2) / 256
    merged = ColorHistogram.merge([ColorHistogram.of(a), ColorHistogram.of(b)])
    assert merged.levels is None
    assert merged.total == 2 * 24 * 24
    np.testing.assert_allclose((merged.colors * merged.counts).sum(1), (a / 255 + b).sum((0, 1)))


@pytest.mark.parametrize("join", [ColorHistogram.merge, ColorHistogram.pool])
def test_nothing_merges_to_the_empty_histogram(join):
    assert (join([]).total, join([]).colors.shape) == (0, (3, 0))
    assert ColorHistogram.of(np.zeros((0, 4, 3), np.uint8)).total == 0


@laws
@given(he_images(), st.integers(0, 255))
def test_where_keeps_the_chosen_colors(image, level):
    histogram = ColorHistogram.of(image)
    assert histogram.where(histogram.colors[0] * 255 < level).total == (image[..., 0] < level).sum()


def test_what_is_no_rgb_image_is_refused():
    with pytest.raises(InvalidImageError):
        ColorHistogram.of(np.zeros((4, 4), np.uint8))


finite = st.floats(-1e3, 1e3)
weighted = st.integers(1, 30).flatmap(
    lambda n: st.tuples(arrays(np.float64, n, elements=finite), arrays(np.int64, n, elements=st.integers(1, 9)))
)


@laws
@given(weighted, st.integers(0, 100) | st.floats(0, 100))
def test_weighted_percentile_is_the_percentile_of_the_repeated_values(pair, percent):
    values, counts = pair
    expected = np.percentile(np.repeat(values, counts), percent)
    assert weighted_percentile(values, counts, percent) == pytest.approx(expected, rel=1e-12, abs=1e-9)


@laws
@given(weighted, st.floats(0, 50))
def test_weighted_percentile_is_monotone_and_within_the_values(pair, percent):
    low, high = (weighted_percentile(*pair, p) for p in (percent, 100 - percent))
    assert pair[0].min() <= low <= high <= pair[0].max()


@laws
@given(st.integers(1, 30).flatmap(partial(arrays, np.float64, elements=finite)), st.integers(0, 99))
def test_weighted_moments_are_those_of_the_repeated_values(row, seed):
    values = np.stack([row, row[::-1], -row])
    counts = np.random.default_rng(seed).integers(1, 9, row.size)
    mean, std = weighted_moments(values, counts)
    repeated = np.repeat(values, counts, axis=1)
    np.testing.assert_allclose(mean, repeated.mean(1), atol=1e-9)
    np.testing.assert_allclose(std, repeated.std(1), atol=1e-9)
