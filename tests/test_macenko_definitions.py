"""The definition "staintools", other people's Macenko, and fits on several targets."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from references import macenko as veta
from references import macenko_staintools as reference
from strategies import blank_image, he_image, he_images, laws, odd_images

from stainxform import Macenko, fit_center
from stainxform.errors import NotEnoughTissueError, ParameterError, StainXformWarning
from stainxform.io.images import read_image

GOLDEN = Path(__file__).parents[2] / "shared" / "golden"
needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"{GOLDEN} is not there: it is not part of the package")

sources = he_images(smallest=12)


def fit(image):
    """The reference fit; images without 32 stained pixels show no law."""
    try:
        Macenko.fit(image, definition="staintools")
    except NotEnoughTissueError:
        assume(False)
    return reference.fit(image)


def golden(*names):
    return [read_image(GOLDEN / f"{name}.png") for name in names]


# ---------------------------------------------------------------- staintools


@laws
@given(sources)
def test_fit_equals_the_reference(image):
    stains, maxima = fit(image)
    fitted = Macenko.fit(image, definition="staintools")
    np.testing.assert_allclose(fitted.stain_matrix, stains, atol=1e-9)
    np.testing.assert_allclose(fitted.max_concentrations, maxima, rtol=1e-7)


@laws
@given(sources, sources)
def test_normalization_equals_the_reference(image, target):
    expected = reference.normalize(image, *fit(image), *fit(target))
    normalizer = Macenko.fit(target, definition="staintools")
    np.testing.assert_allclose(normalizer(image / 255) * 255, np.minimum(expected, 255), atol=1e-5)
    assert np.abs(normalizer(image).astype(int) - np.rint(expected)).max() <= 1


@needs_golden
def test_golden_staintools():
    source, target, expected = golden("source", "target", "staintools__macenko")
    normalizer = Macenko.fit(target, definition="staintools")
    difference = np.abs(normalizer(source).astype(int) - expected)
    assert difference.max() <= 1
    assert difference.mean() < 0.5  # StainTools truncates where we round
    exact = np.moveaxis(normalizer.map_for(source).evaluate(np.moveaxis(source / 255, -1, 0)), 0, -1) * 255
    # What is left: its lightness is rounded to 8 bits, so that a few pixels at the edge of the tissue differ.
    assert np.abs(np.floor(exact.clip(0, 255)) - expected).mean() < 0.1


@needs_golden
@pytest.mark.parametrize(("name", "rest"), [("torchstain-numpy", 1e-4), ("HEnorm_python", 0.25)])
def test_golden_implementations_of_the_original_code(name, rest):
    source, target, expected = golden("source", "target", f"{name}__macenko")
    normalizer = Macenko.fit(target)
    assert np.abs(normalizer(source).astype(int) - expected).max() <= 1
    exact = np.moveaxis(normalizer.map_for(source).evaluate(np.moveaxis(source / 255, -1, 0)), 0, -1) * 255
    # Both truncate where we round. That explains all of torchstain; HEnorm is .2 level darker still, most of it in red.
    assert np.abs(np.floor(exact.clip(0, 255) + 1e-9) - expected).mean() < rest


def test_no_concentration_is_negative():
    image = he_image(4, 40, 40)
    color_map = Macenko.fit(he_image(5, 40, 40), definition="staintools").map_for(image)
    od = color_map.source.from_rgb(np.moveaxis(image / 255, -1, 0))
    assert color_map.separation(od).min() >= 0
    assert od.min() >= 1e-6
    assert np.array_equal(od[:, image.min(axis=-1) == 255], np.full((3, (image.min(axis=-1) == 255).sum()), 1e-6))


NO_TWO_STAINS = {
    "blank": blank_image(),
    "white": blank_image(255),
    "black": blank_image(0),
    "no pixels": np.zeros((0, 7, 3), np.uint8),
    "one color": np.full((24, 24, 3), (150, 90, 160), np.uint8),
    "two pixels": he_image(0, 1, 2),
    "gray": np.repeat(he_image()[..., :1], 3, axis=-1),
}


@pytest.mark.parametrize("image", NO_TWO_STAINS.values(), ids=NO_TWO_STAINS)
def test_tissue_without_two_stains_cannot_be_fitted_and_is_returned_unchanged(image):
    with pytest.raises(NotEnoughTissueError):
        Macenko.fit(image, definition="staintools")
    normalizer = Macenko(definition="staintools")
    assert np.array_equal(normalizer(image), image)
    with pytest.raises(NotEnoughTissueError):
        normalizer(image, on_blank="raise")


@laws
@given(odd_images() | he_images(), st.sampled_from(["uint8", "float16", "float32", "float64"]))
def test_odd_images_give_finite_colors_in_range_and_no_warning(image, dtype):
    """pytest turns numpy's warnings into errors."""
    image = image if dtype == "uint8" else (image / 255).astype(dtype)
    result = Macenko(definition="staintools")(image)
    assert np.isfinite(result).all()
    assert dtype == "uint8" or 0 <= result.min() <= result.max() <= 1


def test_it_takes_no_beta():
    with pytest.raises(ParameterError, match="beta"):
        Macenko.fit(he_image(), definition="staintools", beta=0.15)


# ---------------------------------------------------------------- several targets

TARGETS = [he_image(seed, 40, 40) for seed in range(4)]


def test_concatenated_is_the_default_and_pools_pixels():
    stains, maxima = veta.veta_fit(np.concatenate(TARGETS))
    for fitted in (Macenko.fit(TARGETS), Macenko.fit(TARGETS, combine="concatenated")):
        np.testing.assert_allclose(fitted.stain_matrix, stains, atol=1e-9)
        np.testing.assert_allclose(fitted.max_concentrations, maxima, rtol=1e-7)


@pytest.mark.parametrize("arrange", [list, np.stack, iter, lambda tiles: tiles[::-1]])
def test_averaged_is_the_mean_of_the_fits_with_unit_columns(arrange):
    fits = [veta.veta_fit(tile) for tile in TARGETS]
    mean = np.mean([stains for stains, _ in fits], axis=0)
    fitted = Macenko.fit(arrange(TARGETS), combine="averaged")
    np.testing.assert_allclose(fitted.stain_matrix, mean / np.linalg.norm(mean, axis=0), atol=1e-9)
    np.testing.assert_allclose(fitted.max_concentrations, np.mean([maxima for _, maxima in fits], axis=0), rtol=1e-7)


@laws
@given(sources, st.sampled_from(["veta", "paper", "staintools"]))
def test_of_one_target_both_are_the_same(image, definition):
    try:
        pooled = Macenko.fit(image, definition=definition)
    except NotEnoughTissueError:
        assume(False)
    averaged = Macenko.fit(image, definition=definition, combine="averaged")
    np.testing.assert_allclose(averaged.stain_matrix, pooled.stain_matrix, atol=1e-12)
    np.testing.assert_allclose(averaged.max_concentrations, pooled.max_concentrations)


def test_targets_that_cannot_be_fitted_are_skipped_and_counted():
    with pytest.warns(StainXformWarning, match="skipped 2 of 6"):
        fitted = Macenko.fit([blank_image(), *TARGETS, NO_TWO_STAINS["one color"]], combine="averaged")
    np.testing.assert_array_equal(fitted.stain_matrix, Macenko.fit(TARGETS, combine="averaged").stain_matrix)


@pytest.mark.parametrize("images", [[blank_image(), blank_image(0)], []], ids=["blank", "none"])
def test_when_no_target_can_be_fitted_it_says_so(images):
    with pytest.raises(NotEnoughTissueError, match=f"none of {len(images)}"):
        Macenko.fit(images, combine="averaged")


def test_unknown_combination_is_refused():
    with pytest.raises(ParameterError, match="concatenated, averaged"):
        Macenko.fit(TARGETS, combine="mean")


def test_it_is_a_setting_of_fit_center():
    fitted = fit_center(TARGETS, "macenko", combine="averaged")
    np.testing.assert_array_equal(fitted.stain_matrix, Macenko.fit(TARGETS, combine="averaged").stain_matrix)
