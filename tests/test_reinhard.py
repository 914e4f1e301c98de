from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from references import reinhard as reference
from strategies import blank_image, he_image, he_images, laws, odd_images

from stainxform import Reinhard
from stainxform.errors import NotEnoughTissueError, ParameterError
from stainxform.image.histogram import ColorHistogram
from stainxform.io.images import read_image

GOLDEN = Path(__file__).parents[2] / "shared" / "golden"
needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"{GOLDEN} is not there: it is not part of the package")

spaces = pytest.mark.parametrize("space", reference.SPACES)
masks = pytest.mark.parametrize("tissue_only", [False, True], ids=["all pixels", "tissue only"])
sources = he_images(smallest=8)


def assert_same_levels(result, expected, share=0.99):
    """Within one level everywhere, and equal nearly everywhere: float32 against float64 may round a tie apart."""
    difference = np.abs(result.astype(int) - np.rint(expected).astype(int))
    assert difference.max(initial=0) <= 1
    assert (difference == 0).mean() >= share


@spaces
@masks
@laws
@given(sources)
def test_fit_equals_the_reference(space, tissue_only, image):
    mean, std = reference.statistics(image, space, tissue_only)
    fitted = Reinhard.fit(image, space=space, tissue_only=tissue_only)
    np.testing.assert_allclose(fitted.mean, mean, atol=1e-9)
    np.testing.assert_allclose(fitted.std, std, atol=1e-9)


@spaces
@masks
@laws
@given(sources, sources)
def test_normalization_equals_the_reference(space, tissue_only, image, target):
    expected = reference.normalize(image, *reference.statistics(target, space, tissue_only), space, tissue_only)
    normalizer = Reinhard.fit(target, space=space, tissue_only=tissue_only)
    assert_same_levels(normalizer(image, on_blank="raise"), expected)


@needs_golden
@pytest.mark.parametrize(("space", "name"), [("cielab", "cielabD65"), ("ruderman", "ruderman")])
def test_golden_float64(space, name):
    source, target = (read_image(GOLDEN / f"{image}.png") for image in ("source", "target"))
    expected = read_image(GOLDEN / f"ref-float64-{name}__reinhard.png")
    assert_same_levels(Reinhard.fit(target, space=space)(source), expected)


@spaces
@masks
@laws
@given(he_images())
def test_identity_when_source_is_the_target(space, tissue_only, image):
    try:
        normalizer = Reinhard.fit(image, space=space, tissue_only=tissue_only)
    except NotEnoughTissueError:
        assume(False)
    # l-alpha-beta lifts cone responses below one level: colors darker than that cannot come back.
    bright = image.min(axis=-1) >= 2
    assert np.abs(normalizer(image).astype(int) - image)[bright].max(initial=0) <= 1


@spaces
@laws
@given(sources, sources)
def test_the_result_has_the_statistics_of_the_target(space, image, target):
    normalizer = Reinhard.fit(target, space=space)
    planes = np.moveaxis(image / 255, -1, 0)
    exact = normalizer.map_for(image).evaluate(planes)
    assume((exact > 0.01).all() and (exact < 1).all())  # clipping moves the mean
    mean, std = reference.statistics(np.moveaxis(exact, 0, -1) * 255, space)
    np.testing.assert_allclose(mean, normalizer.mean, atol=1e-4)
    np.testing.assert_allclose(std, normalizer.std, atol=1e-4)


@spaces
@laws
@given(sources, st.randoms(use_true_random=False))
def test_where_pixels_are_does_not_matter(space, image, random):
    order = list(range(image.shape[0] * image.shape[1]))
    random.shuffle(order)
    shuffled = image.reshape(1, -1, 3)[:, order]
    normalizer = Reinhard.fit(he_image(), space=space)
    assert np.array_equal(normalizer(shuffled), normalizer(image).reshape(1, -1, 3)[:, order])
    assert np.array_equal(Reinhard.fit(shuffled, space=space).std, Reinhard.fit(image, space=space).std)


@spaces
@laws
@given(sources)
def test_fit_on_counted_colors_equals_the_fit_on_pixels(space, image):
    counted, pixels = Reinhard.fit(image, space=space), Reinhard.fit(image / 255, space=space)
    np.testing.assert_allclose([counted.mean, counted.std], [pixels.mean, pixels.std], atol=1e-9)


@spaces
def test_fit_on_many_tiles_is_the_fit_on_their_pixels_together(space):
    tiles = [he_image(seed) for seed in range(5)]
    together = Reinhard.fit(np.concatenate(tiles), space=space)
    for images in (tiles, np.stack(tiles), tuple(tiles), iter(tiles), tiles[::-1]):
        assert np.array_equal(Reinhard.fit(images, space=space).mean, together.mean)


def test_tissue_only_ignores_glass():
    tissue, half_glass = he_image(0), np.concatenate([he_image(0), blank_image()])
    masked, target = Reinhard.fit(tissue, tissue_only=True), Reinhard.fit(half_glass, tissue_only=True)
    np.testing.assert_allclose([masked.mean, masked.std], [target.mean, target.std], atol=1e-12)
    assert not np.allclose(Reinhard.fit(tissue).mean, Reinhard.fit(half_glass).mean)


@spaces
@pytest.mark.parametrize("level", [0, 245, 255])
def test_blank_tiles_come_back_unchanged_and_can_be_made_to_raise(space, level):
    normalizer = Reinhard.fit(he_image(), space=space)
    assert np.array_equal(normalizer(blank_image(level)), blank_image(level))
    with pytest.raises(NotEnoughTissueError):
        normalizer(blank_image(level), on_blank="raise")


def test_nothing_to_take_statistics_from_raises():
    with pytest.raises(NotEnoughTissueError):
        Reinhard.fit(np.zeros((0, 4, 3), np.uint8))
    with pytest.raises(NotEnoughTissueError):
        Reinhard.fit(blank_image(), tissue_only=True)


@spaces
def test_a_flat_image_is_shifted_to_the_mean_of_the_target(space):
    flat, normalizer = np.full((24, 24, 3), (150, 90, 160), np.uint8), Reinhard.fit(he_image(), space=space)
    result = normalizer.map_for(flat).evaluate(np.moveaxis(flat[:1, :1] / 255, -1, 0))
    mean = reference.SPACES[space][0](np.moveaxis(result, 0, -1))[0, 0]
    np.testing.assert_allclose(mean, normalizer.mean, atol=1e-6)


@spaces
@laws
@given(odd_images() | he_images(), st.sampled_from(["uint8", "float16", "float32", "float64"]))
def test_odd_images_give_finite_colors_in_range_and_no_warning(space, image, dtype):
    """pytest turns numpy's warnings into errors."""
    image = image if dtype == "uint8" else (image / 255).astype(dtype)
    result = Reinhard.fit(he_image(), space=space)(image)
    assert np.isfinite(result).all()
    assert dtype == "uint8" or 0 <= result.min() <= result.max() <= 1


@spaces
@pytest.mark.parametrize("outlier", [(255, 255, 255), (0, 0, 0), (0, 255, 0)])
def test_one_outlier_in_a_large_flat_image_overflows_nothing(space, outlier):
    image = np.full((1500, 1500, 3), (40, 30, 60), np.uint8)
    image[5, 5] = outlier
    normalizer = Reinhard.fit(he_image(), space=space)
    planes = np.array(image[5:6, 5:6], np.float32).T / 255
    assert np.isfinite(normalizer.color_map(ColorHistogram.of(image)).evaluate(planes)).all()


def test_unknown_space_is_refused():
    with pytest.raises(ParameterError, match="cielab, ruderman"):
        Reinhard.fit(he_image(), space="lab")
