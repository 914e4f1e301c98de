"""Transport: the closed form against an outside solver and a plain reference, moments that merge, glass that stays."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from references import transport as reference

import stainxform as sx
from stainxform.errors import ModelFileError, NotEnoughTissueError, ParameterError
from stainxform.image.histogram import ColorHistogram
from stainxform.image.moments import Moments
from stainxform.io.modelfile import read_model, write_model
from stainxform.normalizers.transport import SPACES, Transport, geodesic, monge_map
from stainxform.samples import pair
from stainxform.testing import blank_image, he_image, he_images

spaces = pytest.mark.parametrize("space", SPACES)
OURS, THEIRS = pair(4, 72, seed=5)


def covariance(seed, scale=0.3):
    factor = np.random.default_rng(seed).normal(size=(3, 3)) * scale
    return factor @ factor.T + 1e-4 * np.eye(3)


seeds = st.integers(0, 2**32 - 1)


@given(first=seeds, second=seeds)
@settings(max_examples=50, deadline=None)
def test_the_map_is_that_of_an_outside_solver(first, second):
    ot = pytest.importorskip("ot")
    one, other = covariance(first), covariance(second)
    assume(np.linalg.cond(one) < 1e6)
    mean = np.array([0.2, 0.5, 0.3])
    wanted, shift = ot.gaussian.bures_wasserstein_mapping(mean, mean + 0.1, one, other)
    found = monge_map(one, other)
    np.testing.assert_allclose(found, wanted, atol=1e-6, rtol=1e-6)
    np.testing.assert_allclose(mean + 0.1 - found @ mean, shift.ravel(), atol=1e-6)


def test_on_samples_it_is_that_of_an_outside_solver():
    ot = pytest.importorskip("ot")
    rng = np.random.default_rng(0)
    one, other = (rng.multivariate_normal([0.3] * 3, covariance(seed), 4000) for seed in (1, 2))
    wanted, shift = ot.gaussian.empirical_bures_wasserstein_mapping(one, other, reg=0)
    moments = [Moments.of(values.T, np.ones(len(values), np.int64)) for values in (one, other)]
    found = monge_map(moments[0].covariance, moments[1].covariance)
    np.testing.assert_allclose(found, wanted, atol=1e-3)
    np.testing.assert_allclose(moments[1].mean - found @ moments[0].mean, shift.ravel(), atol=1e-3)


@given(first=seeds, second=seeds)
@settings(max_examples=50, deadline=None)
def test_it_is_symmetric_positive_and_takes_one_gaussian_to_the_other(first, second):
    one, other = covariance(first), covariance(second)
    found = monge_map(one, other)
    np.testing.assert_array_equal(found, found.T)
    assert np.linalg.eigvalsh(found)[0] > 0
    np.testing.assert_allclose(found @ one @ found, other, atol=1e-6)
    np.testing.assert_allclose(monge_map(one, one), np.eye(3), atol=1e-6)


@given(first=seeds, second=seeds, weight=st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_the_way_between_two_gaussians_has_constant_speed(first, second, weight):
    ot = pytest.importorskip("ot")
    one, other = (Moments(1, np.full(3, 0.1 * k), covariance(seed)) for k, seed in ((1, first), (2, second)))
    between = geodesic(one, other, weight)

    def distance(a, b):
        return float(ot.gaussian.bures_wasserstein_distance(a.mean, b.mean, a.covariance, b.covariance))

    whole = distance(one, other)
    assert distance(one, between) == pytest.approx(weight * whole, abs=1e-4)
    assert distance(between, other) == pytest.approx((1 - weight) * whole, abs=1e-4)


def test_pixels_are_those_of_the_plain_reference():
    fitted = Transport.fit(OURS[0])
    expected = reference.normalize(THEIRS[0], OURS[0])
    assert np.abs(fitted(THEIRS[0]) - expected).max() <= 0.5 + 1e-3
    mean, spread = reference.statistics(OURS[0])
    np.testing.assert_allclose(fitted.mean, mean, atol=1e-9)
    np.testing.assert_allclose(fitted.covariance, spread, atol=1e-9)


@spaces
def test_the_target_itself_comes_back(space):
    fitted = Transport.fit(OURS, space=space)
    mapped = fitted.map_for_tiles(OURS)(OURS)
    assert np.abs(mapped.astype(int) - OURS).max() <= 1


@spaces
def test_moments_of_many_tiles_are_those_of_one(space):
    """And so in any order, and merged in any grouping."""
    whole = Transport.fit(OURS.reshape(1, -1, *OURS.shape[2:]), space=space)
    for tiles in (OURS, OURS[::-1], [OURS[:2], OURS[2:]]):
        parts = Transport.fit(tiles, space=space)
        np.testing.assert_allclose(parts.mean, whole.mean, rtol=1e-12)
        np.testing.assert_allclose(parts.covariance, whole.covariance, rtol=1e-9)
        assert parts.pixels == whole.pixels


@given(images=st.lists(he_images(8, 24), min_size=2, max_size=4), cut=st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_merging_is_associative(images, cut):
    parts = [Moments.of(h.colors, h.counts) for h in map(ColorHistogram.of, images)]
    at_once = Moments.merge(parts)
    in_two = Moments.merge([Moments.merge(parts[:cut]), Moments.merge(parts[cut:])])
    assert in_two.count == at_once.count
    np.testing.assert_allclose(in_two.mean, at_once.mean, atol=1e-12)
    np.testing.assert_allclose(in_two.covariance, at_once.covariance, atol=1e-12)


@spaces
def test_the_result_has_the_moments_of_the_target(space):
    """Of tissue that is far from glass, and but for rounding, clipping and shrinkage."""
    fitted = Transport.fit(OURS, space=space)
    result = fitted.map_for_tiles(THEIRS)(THEIRS)
    found = Moments.merge(fitted.settings.moments(ColorHistogram.of(tile)) for tile in result)
    before = Moments.merge(fitted.settings.moments(ColorHistogram.of(tile)) for tile in THEIRS)
    off, was = (np.linalg.norm(m.mean - fitted.mean) for m in (found, before))
    assert off < 0.2 * was


@spaces
@pytest.mark.parametrize("level", [(255, 255, 255), (246, 245, 247)])
def test_glass_stays_glass(space, level):
    image = THEIRS[0].copy()
    image[:8] = level
    result = Transport.fit(OURS, space=space)(image)
    np.testing.assert_array_equal(result[:8], image[:8])


@spaces
@pytest.mark.parametrize("name", ["one color", "one color and noise", "ten pixels more"])
def test_a_degenerate_source_does_not_explode(space, name):
    flat = np.full((32, 32, 3), (150, 90, 160), np.uint8)
    if name == "one color and noise":
        flat = flat + np.random.default_rng(0).integers(0, 2, flat.shape, np.uint8)
    if name == "ten pixels more":
        flat[:, :] = 255
        flat[0, :32] = he_image(1, 32, 32)[8]
        flat[1, :10] = (150, 90, 160)
    fitted = Transport.fit(OURS, space=space)
    color_map = fitted.map_for(flat)
    assert np.linalg.eigvalsh(color_map.matrix)[-1] <= np.sqrt(1.01 / 0.01) + 1e-6
    result = fitted(flat).astype(float)
    if name != "ten pixels more":
        np.testing.assert_allclose(
            result.mean((0, 1)), fitted(flat[:1, :1].repeat(32, 0).repeat(32, 1)).mean((0, 1)), atol=25
        )


def test_a_target_of_one_color_is_allowed():
    flat = np.full((32, 32, 3), (150, 90, 160), np.uint8)
    assert np.isfinite(Transport.fit(flat)(THEIRS[0]).astype(float)).all()


def test_nothing_to_describe():
    with pytest.raises(NotEnoughTissueError, match="tissue pixels are too few"):
        Transport.fit(blank_image())
    with pytest.raises(NotEnoughTissueError, match="tissue pixels are too few"):
        Transport.fit(OURS).map_for_tiles([blank_image()])


def test_another_space_is_refused():
    with pytest.raises(ParameterError, match="space must be one of od, rgb, cielab, got 'hsv'"):
        Transport.fit(OURS, space="hsv")


def test_a_file_whose_covariance_is_none_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    Transport.fit(OURS).save(path)
    state = read_model(path)
    for wrong in (-np.eye(3), np.triu(np.ones((3, 3)))):
        state.arrays["covariance"] = wrong
        write_model(path, state)
        with pytest.raises(ModelFileError, match="covariance is not symmetric and positive"):
            sx.load(path)
