"""The polynomial map: least squares by numpy, sums that merge, the identity, glass, and colors that were never seen."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stainxform.errors import ParameterError
from stainxform.image.tissue import tissue_planes
from stainxform.maps import PolynomialFit, PolynomialMap
from stainxform.maps.polynomial import DENSITY, FLOOR, LARGEST_MOVE, REACH, RIDGE
from stainxform.samples import pair

OURS, THEIRS = pair(3, 64, seed=5)
seeds = st.integers(0, 2**32 - 1)


def tissue(image):
    planes = np.moveaxis(image, -1, 0).reshape(3, -1) / 255
    return planes[:, tissue_planes(planes)]


def darker(planes):
    """A map that no polynomial is, but is near one."""
    density = DENSITY.from_rgb(planes)
    return DENSITY.to_rgb(density * 1.2 + 0.1 * np.sin(2 * density[::-1]))


COLORS = np.concatenate([tissue(image) for image in THEIRS], axis=1)
FIT = PolynomialFit.of(COLORS, darker(COLORS))


def reference(colors_in, colors_out, counts, ridge):
    """What the fit should give, from all colors listed and ``numpy.linalg.lstsq``: a function of densities (K, 3)."""
    source, target = (-np.log((np.repeat(c, counts, axis=1).T * 255 + 1) / 256) for c in (colors_in, colors_out))
    mean, covariance = source.mean(0), np.cov(source.T, bias=True)
    values, vectors = np.linalg.eigh(covariance)
    scale = vectors @ np.diag((values + FLOOR**2) ** -0.5) @ vectors.T

    def terms(z):
        powers = [(a, b, c) for a in range(4) for b in range(4) for c in range(4) if a + b + c <= 3]
        return np.stack([z[:, 0] ** a * z[:, 1] ** b * z[:, 2] ** c for a, b, c in powers], axis=1)

    matrix = np.concatenate([terms((source - mean) @ scale) / np.sqrt(len(source)), np.sqrt(ridge) * np.eye(20)])
    wanted = np.concatenate([(target - source) / np.sqrt(len(source)), np.zeros((20, 3))])
    found = np.linalg.lstsq(matrix, wanted, rcond=None)[0]

    def evaluate(density):
        z = (density - mean) @ scale
        length = np.linalg.norm(z, axis=1, keepdims=True)
        return density + terms(z * np.minimum(1, REACH / np.maximum(length, 1e-12))) @ found

    return evaluate


@given(seed=seeds, ridge=st.sampled_from([1e-1, RIDGE, 1e-4]))
@settings(max_examples=20, deadline=None)
def test_it_is_the_least_squares_fit_of_numpy(seed, ridge):
    rng = np.random.default_rng(seed)
    colors = rng.uniform(0.2, 0.8, (3, 300))
    wanted = np.clip(darker(colors) + rng.normal(0, 0.05, colors.shape), 0, 1)
    counts = rng.integers(1, 4, 300)
    found = PolynomialFit.of(colors, wanted, counts).map(ridge)
    inside = rng.uniform(0.3, 0.7, (3, 50))
    plain = reference(colors, wanted, counts, ridge)(-np.log((inside.T * 255 + 1) / 256)).T
    np.testing.assert_allclose(DENSITY.from_rgb(found.evaluate(inside)), plain, atol=1e-9)


def test_a_polynomial_comes_back():
    """With hardly a ridge, the map that made the colors is found."""
    rng = np.random.default_rng(0)
    made = PolynomialMap(rng.normal(0, 0.02, (3, 20)), np.full(3, 0.7), 2 * np.eye(3))
    colors = DENSITY.to_rgb(rng.uniform(0.4, 1.0, (3, 4000)))
    found = PolynomialFit.of(colors, made.evaluate(colors)).map(1e-12)
    np.testing.assert_allclose(found.evaluate(colors), made.evaluate(colors), atol=1e-6)


def test_it_comes_closer_than_doing_nothing():
    colors = tissue(THEIRS[0])
    found = FIT.map().evaluate(colors)
    assert np.abs(found - darker(colors)).mean() < 0.1 * np.abs(colors - darker(colors)).mean()


@given(seed=seeds)
@settings(max_examples=20, deadline=None)
def test_identical_pairs_give_the_identity(seed):
    colors = np.random.default_rng(seed).uniform(0, 1, (3, 40))
    found = PolynomialFit.of(colors, colors).map()
    everything = np.random.default_rng(seed + 1).uniform(0, 1, (3, 40))
    np.testing.assert_allclose(found.evaluate(everything), everything, atol=1e-12)


@given(parts=st.lists(st.integers(0, COLORS.shape[1] - 1), max_size=5), order=st.randoms())
@settings(max_examples=20, deadline=None)
def test_parts_merge_to_the_whole_in_any_order(parts, order):
    cuts = np.split(np.arange(COLORS.shape[1]), sorted(parts))
    fits = [PolynomialFit.of(COLORS[:, cut], darker(COLORS[:, cut])) for cut in cuts]
    merged = PolynomialFit.merge(fits)
    order.shuffle(fits)
    shuffled = PolynomialFit.merge(fits)
    np.testing.assert_array_equal(merged.gram, shuffled.gram)
    np.testing.assert_array_equal(merged.cross, shuffled.cross)
    assert merged.squares == shuffled.squares
    assert merged.count == FIT.count == COLORS.shape[1]
    np.testing.assert_allclose(merged.map().coefficients, FIT.map().coefficients, atol=1e-10)


def test_counts_are_repetitions():
    colors, counts = COLORS[:, :100], np.arange(100) % 4
    one = PolynomialFit.of(colors, darker(colors), counts)
    other = PolynomialFit.of(np.repeat(colors, counts, 1), darker(np.repeat(colors, counts, 1)))
    assert one.count == other.count == counts.sum()
    np.testing.assert_allclose(one.map().coefficients, other.map().coefficients, atol=1e-9)


def test_no_color_gives_the_identity():
    empty = PolynomialFit.merge([])
    assert empty.count == 0
    np.testing.assert_array_equal(empty.map()(THEIRS[0]), THEIRS[0])


@given(seed=seeds, number=st.integers(1, 12))
@settings(max_examples=50, deadline=None)
def test_a_few_wild_colors_move_no_color_further_than_the_limit(seed, number):
    rng = np.random.default_rng(seed)
    colors, wanted, everything = (rng.uniform(0, 1, (3, n)) for n in (number, number, 500))
    found = PolynomialFit.of(colors, wanted).map().evaluate(everything)
    seen = np.square(DENSITY.from_rgb(wanted) - DENSITY.from_rgb(colors)).sum(0).mean() ** 0.5
    moved = np.square(DENSITY.from_rgb(found) - DENSITY.from_rgb(everything)).sum(0).max() ** 0.5
    assert moved <= LARGEST_MOVE * seen + 1e-9


def test_one_color_moves_all_about_as_it_moves():
    color, wanted = np.array([[0.7], [0.5], [0.6]]), np.array([[0.6], [0.4], [0.6]])
    found = PolynomialFit.of(color, wanted).map()
    np.testing.assert_allclose(found.evaluate(color), wanted, atol=1e-3)
    far = DENSITY.from_rgb(np.array([[0.3], [0.2], [0.4]]))
    moved = DENSITY.from_rgb(found.evaluate(DENSITY.to_rgb(far))) - far
    np.testing.assert_allclose(moved, DENSITY.from_rgb(wanted) - DENSITY.from_rgb(color), atol=1e-3)


def test_beyond_its_reach_colors_are_moved_like_the_nearest_within():
    found = FIT.map()
    direction = np.array([0.6, 0.6, 0.53])
    far = found.center[:, None] + np.linalg.inv(found.scale) @ np.outer(direction, [REACH, 1.5 * REACH])
    moves = DENSITY.from_rgb(found.evaluate(DENSITY.to_rgb(far))) - far
    np.testing.assert_allclose(moves[:, 0], moves[:, 1], atol=5e-3)


def test_glass_stays():
    glass = np.full((3, 1), 250 / 255)
    np.testing.assert_allclose(FIT.map().evaluate(glass), glass, atol=1e-12)


def test_torch_gives_the_same_and_gradients():
    torch = pytest.importorskip("torch")
    found = FIT.map()
    colors = np.concatenate([COLORS, np.eye(3), np.zeros((3, 1)), np.ones((3, 1))], axis=1)
    tensor = torch.tensor(colors, requires_grad=True)
    result = found.evaluate(tensor)
    np.testing.assert_allclose(result.detach().numpy(), found.evaluate(colors), atol=1e-12)
    result.sum().backward()
    assert torch.isfinite(tensor.grad).all()


def test_single_precision_is_enough():
    found = FIT.map()
    np.testing.assert_allclose(found.evaluate(COLORS.astype(np.float32)), found.evaluate(COLORS), atol=1e-5)


def test_bad_numbers_are_refused():
    with pytest.raises(ParameterError, match="ridge must be above 0"):
        FIT.map(0)
    with pytest.raises(ParameterError, match="coefficients of a polynomial must be finite numbers of shape"):
        PolynomialMap(np.full((3, 20), np.nan), np.zeros(3), np.eye(3))
    with pytest.raises(ParameterError, match=r"shape \(3, 20\)"):
        PolynomialMap(np.zeros((3, 10)), np.zeros(3), np.eye(3))
