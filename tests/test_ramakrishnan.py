from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from references import ramakrishnan as reference
from strategies import STAINS, blank_image, he_image, he_images, laws, odd_images

from stainxform import Ramakrishnan, background_intensity
from stainxform.errors import NotEnoughTissueError, ParameterError, StainXformWarning
from stainxform.image.histogram import ColorHistogram
from stainxform.samples import CENTERS, pair
from stainxform.stains.ramakrishnan import Spread
from stainxform.stains.references import stain_angles


def slide(seed, tiles=3, glass=(236, 240, 244), side=24):
    """Tiles of one slide whose first row is glass."""
    images = [he_image(1000 * seed + k, side, side, hematoxylin=1.2, eosin=1.6) for k in range(tiles)]
    noise = np.random.default_rng(seed).integers(-2, 3, (tiles, 2, side, 3))
    for image, grain in zip(images, noise):
        image[:2] = np.array(glass) + grain
    return images


def assert_same_levels(result, expected, share=0.95):
    """Within one level everywhere, and equal nearly everywhere."""
    difference = np.abs(result.astype(int) - np.rint(expected).astype(int))
    assert difference.max(initial=0) <= 1
    assert (difference == 0).mean() >= share


def test_fit_and_normalization_equal_the_reference():
    source, target = slide(1, glass=(236, 240, 244)), slide(2, glass=(245, 243, 247))
    source_fit, target_fit = reference.fit(source), reference.fit(target)
    fitted = Ramakrishnan.fit(target)
    np.testing.assert_allclose(fitted.stain_matrix, target_fit[0], atol=2e-3)
    np.testing.assert_allclose(fitted.max_concentrations, target_fit[1], rtol=5e-3)
    np.testing.assert_allclose(fitted.background, target_fit[2])
    normalize = fitted.map_for_tiles(source)
    for tile in source:
        assert_same_levels(normalize(tile), reference.normalize(tile, source_fit, target_fit), share=0.9)


def test_one_image_is_a_slide_of_one_tile():
    image = slide(3, 1)[0]
    fitted = Ramakrishnan.fit(slide(4))
    expected = reference.normalize(
        image, reference.fit([image]), (fitted.stain_matrix, fitted.max_concentrations, fitted.background)
    )
    assert_same_levels(fitted(image), expected, share=0.9)
    assert np.array_equal(fitted.map_for_tiles(iter([image]))(image), fitted(image))


def test_glass_becomes_the_glass_of_the_target():
    source, target = slide(5, glass=(230, 235, 240)), slide(6, glass=(250, 248, 246))
    fitted = Ramakrishnan.fit(target)
    np.testing.assert_allclose(fitted.background, [252, 250, 248], atol=1)
    glass = np.rint(background_intensity(np.stack(source))).astype(np.uint8)
    result = fitted.map_for_tiles(source)(glass.reshape(1, 1, 3))
    np.testing.assert_allclose(result[0, 0], fitted.background, atol=1)


def test_tiles_with_much_glass_are_left_out_unless_all_are_like_that():
    tiles, pale = slide(7), slide(8)
    for image in pale:
        image[:4] = image[:2].repeat(2, axis=0)  # a sixth of it
    mixed, alone = Ramakrishnan.fit(tiles + pale), Ramakrishnan.fit(tiles)
    np.testing.assert_allclose(mixed.stain_matrix, alone.stain_matrix, atol=1e-3)  # their glass counts
    np.testing.assert_allclose(
        Ramakrishnan.fit(tiles + pale, max_white=0.2).stain_matrix,
        Ramakrishnan.fit(pale + tiles, max_white=0.2).stain_matrix,
    )
    assert np.abs(Ramakrishnan.fit(tiles + pale, max_white=0.2).stain_matrix - alone.stain_matrix).max() > 1e-3
    assert np.isfinite(Ramakrishnan.fit(pale).stain_matrix).all()


def test_a_tile_that_cannot_be_factorized_is_left_out():
    tiles = slide(9)
    flat = np.full((24, 24, 3), (150, 90, 160), np.uint8)
    expected = Ramakrishnan.fit(tiles).stain_matrix
    assert np.array_equal(Ramakrishnan.fit([flat, *tiles, blank_image(0)]).stain_matrix, expected)


def test_the_order_of_tiles_does_not_matter_and_outliers_do_little():
    tiles = slide(10, 5)
    fitted = Ramakrishnan.fit(tiles)
    assert np.array_equal(Ramakrishnan.fit(tiles[::-1]).stain_matrix, fitted.stain_matrix)
    assert np.array_equal(Ramakrishnan.fit(np.stack(tiles)).stain_matrix, fitted.stain_matrix)
    ink = np.random.default_rng(0).integers(0, 215, (24, 24, 3)).astype(np.uint8)
    moved = np.diag(stain_angles(Ramakrishnan.fit([*tiles, ink]).stain_matrix, fitted.stain_matrix))
    assert moved.max() < 6


@laws
@given(st.integers(0, 300), st.integers(1, 20))
def test_a_spread_is_even_and_bounded(total, least):
    spread = Spread(least)
    for index in range(total):
        spread.add(index)
        assert len(spread.kept) < 2 * least
    assert len(spread.kept) >= min(least, total)
    assert spread.kept == list(range(0, total, spread.every))


def test_a_slide_is_read_once_in_bounded_memory(monkeypatch):
    held = []
    monkeypatch.setattr(Spread, "add", lambda self, h, add=Spread.add: (add(self, h), held.append(len(self.kept)))[0])
    tiles = (he_image(seed, 12, 12, hematoxylin=2, eosin=2) for seed in range(40))
    assert Ramakrishnan.fit(tiles, patches=3).stain_matrix.shape == (3, 2)
    assert next(tiles, None) is None
    assert max(held) < 6


@pytest.mark.parametrize("seed", range(2))
def test_stains_and_glass_of_a_synthetic_slide_are_recovered(seed):
    stains = np.abs(STAINS + np.random.default_rng(seed).normal(0, 0.05, (3, 2)))
    center = replace(CENTERS["a"], stain_matrix=stains / np.linalg.norm(stains, axis=0))
    (tiles,) = pair(4, 96, [center], seed=seed, background=0.2)
    fitted = Ramakrishnan.fit(tiles)
    assert np.diag(stain_angles(fitted.stain_matrix, center.stain_matrix)).max() < 8
    np.testing.assert_allclose(fitted.background, center.background, atol=3)  # a percentile of noisy glass


NO_TWO_STAINS = {
    "blank": blank_image(),
    "black": blank_image(0),
    "no pixels": np.zeros((0, 7, 3), np.uint8),
    "one color": np.full((24, 24, 3), (150, 90, 160), np.uint8),
    "two pixels": he_image(0, 1, 2),
    "gray": np.repeat(he_image()[..., :1], 3, axis=-1),
    "no pixel below 220 in every channel": np.full((24, 24, 3), (230, 120, 200), np.uint8),
}


@pytest.mark.parametrize("image", NO_TWO_STAINS.values(), ids=NO_TWO_STAINS)
def test_tissue_without_two_stains_cannot_be_fitted_and_is_returned_unchanged(image):
    with pytest.raises(NotEnoughTissueError):
        Ramakrishnan.fit(image)
    normalizer = Ramakrishnan.fit(slide(11))
    assert np.array_equal(normalizer(image), image)
    with pytest.warns(StainXformWarning, match="returned unchanged"):
        normalizer(image, on_blank="warn")
    with pytest.raises(NotEnoughTissueError):
        normalizer.map_for(image)


def test_no_tiles():
    with pytest.raises(NotEnoughTissueError, match="blank"):
        Ramakrishnan.fit([])


@laws
@given(odd_images() | he_images(), st.sampled_from(["uint8", "float16", "float32", "float64"]))
def test_odd_images_give_finite_colors_in_range_and_no_warning(image, dtype):
    """pytest turns numpy's warnings into errors."""
    image = image if dtype == "uint8" else (image / 255).astype(dtype)
    normalizer = Ramakrishnan(
        stain_matrix=STAINS, max_concentrations=np.array([2.0, 1.0]), background=np.array([240.0, 241.0, 242.0])
    )
    result = normalizer(image)
    assert np.isfinite(result).all()
    assert dtype == "uint8" or 0 <= result.min() <= result.max() <= 1


BAD_SETTINGS = [{"regularization": 0}, {"patches": 0}, {"patches": 2.5}, {"max_white": -0.1}, {"max_white": 1.1}]


@pytest.mark.parametrize("wrong", BAD_SETTINGS, ids=str)
def test_senseless_settings_are_refused(wrong):
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        Ramakrishnan.fit(slide(12), **wrong)


def test_the_map_of_a_histogram_is_that_of_the_image():
    image, normalizer = slide(13)[0], Ramakrishnan.fit(slide(14))
    assert np.array_equal(normalizer.color_map(ColorHistogram.of(image))(image), normalizer(image))
