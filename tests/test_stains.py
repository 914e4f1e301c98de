"""Stain tools: published vectors, telling stains apart, separating and combining, estimating, background."""

import math
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import nnls
from skimage import color as skimage_color
from strategies import STAINS, concentrations, he_image, he_images, laws, store, stored_images

import stainxform as sx
from stainxform.errors import InvalidImageError, NotEnoughTissueError, ParameterError
from stainxform.stains.references import REFERENCES, stain_angles

SKIMAGE = {
    "hed": skimage_color.rgb_from_hed,
    "he": skimage_color.rgb_from_hed[:2],
    "hdab": skimage_color.rgb_from_hed[[0, 2]],
    "haec": skimage_color.rgb_from_hax[:2],
    "hpas": skimage_color.rgb_from_hpx[:2],
    "alcian": skimage_color.rgb_from_ahx[:2],
    "methyl-green-dab": skimage_color.rgb_from_gdx[:2],
    "macenko": [[0.5626, 0.7201, 0.4062], [0.2159, 0.8012, 0.5581]],  # HERef
}


@pytest.mark.parametrize("name", REFERENCES)
def test_published_vectors_are_those_of_scikit_image_and_of_macenko(name):
    assert np.array_equal(REFERENCES[name].densities, SKIMAGE[name])
    matrix = sx.reference_stains(name)
    assert matrix.shape == (3, len(REFERENCES[name].stains))
    np.testing.assert_allclose(matrix.T, SKIMAGE[name] / np.linalg.norm(SKIMAGE[name], axis=1)[:, None])
    assert REFERENCES[name].source


def test_an_unknown_name_is_refused():
    with pytest.raises(ParameterError, match="hdab"):
        sx.reference_stains("h&e")


@laws
@given(st.integers(0, 9999), st.sampled_from(list(REFERENCES)))
def test_matching_undoes_any_order(seed, name):
    """Of vectors that are moved by less than half the smallest angle between two stains."""
    rng, reference = np.random.default_rng(seed), sx.reference_stains(name)
    angles = stain_angles(reference, reference) + 360 * np.eye(reference.shape[1])
    moved = reference + rng.normal(size=reference.shape) * math.radians(angles.min()) / 2 / 4
    for order in permutations(range(reference.shape[1])):
        assert np.array_equal(sx.match_stains(moved[:, order], name), moved)


def test_matching_is_no_rule_on_channels():
    """Ratios of red to blue call the second of these hematoxylin, larger first components the second of those."""
    redder = np.array([[0.55, 0.72, 0.42], [0.22, 0.96, 0.13]]).T
    assert redder[0, 0] / redder[2, 0] < redder[0, 1] / redder[2, 1]
    assert np.array_equal(sx.match_stains(redder), redder)
    assert np.array_equal(sx.match_stains(redder[:, ::-1]), redder)
    with_dab = sx.reference_stains("hdab")[:, ::-1]
    assert np.array_equal(sx.match_stains(with_dab, "hdab"), with_dab[:, ::-1])


def test_vectors_that_no_stain_takes_come_last():
    third = np.array([[0.1, 0.1, 0.99]]).T
    vectors = np.hstack([third, sx.reference_stains("he")[:, ::-1]])
    assert np.array_equal(sx.match_stains(vectors), np.hstack([sx.reference_stains("he"), third]))
    with pytest.raises(ParameterError, match="3 stains"):
        sx.match_stains(sx.reference_stains("he"), "hed")


BAD_VECTORS = [np.zeros((3, 2)), np.full((3, 2), np.nan), np.ones((2, 3)), np.ones(3)]


@pytest.mark.parametrize("vectors", BAD_VECTORS, ids=["zero", "NaN", "shape", "one axis"])
def test_what_are_no_stain_vectors_is_refused(vectors):
    with pytest.raises(ParameterError):
        sx.match_stains(vectors)
    with pytest.raises(ParameterError):
        sx.separate_stains(he_image(), vectors)
    with pytest.raises(ParameterError):
        sx.combine_stains(np.zeros((4, 4, 2)), vectors)


def test_the_residual_is_perpendicular():
    matrix = sx.complement_stains("macenko")
    np.testing.assert_allclose(matrix[:, 2] @ matrix, [0, 0, 1], atol=1e-12)
    assert np.array_equal(sx.complement_stains("hed"), sx.reference_stains("hed"))
    with pytest.raises(ParameterError, match="depend"):
        sx.complement_stains(np.ones((3, 2)))


THREE = ["hed", *(sx.complement_stains(name) for name in ("he", "hdab", "macenko")), 2 * sx.complement_stains("haec")]


@laws
@given(stored_images(), st.sampled_from(range(len(THREE))))
def test_separating_and_combining_three_stains_changes_nothing(stored, which):
    matrix, keywords = THREE[which], stored.keywords
    amounts = sx.separate_stains(stored.image, matrix, **keywords)
    eight_bit = stored.pixels.max() > 1
    result = sx.combine_stains(amounts, matrix, value_range=None if eight_bit else (0, 1), **keywords)
    assert type(amounts) is type(result) is type(stored.image)
    shape = list(stored.image.shape)
    assert list(result.shape) == list(amounts.shape) == shape  # three stains in place of three channels
    if eight_bit:
        assert str(result.dtype).endswith("uint8")
    # Black is lifted by one level.
    levels = 255 if eight_bit else 1
    expected = np.maximum(stored.pixels / levels, 1 / 255)
    found = np.moveaxis(np.asarray(result, np.float64), stored.axis, -1)
    np.testing.assert_allclose(found / levels, expected, atol=1e-12 if eight_bit else 1e-3)


@laws
@given(he_images(), st.sampled_from(["HWC", "CHW", "NHWC", "NCHW", "torch CHW", "torch NCHW"]))
def test_layouts_agree(pixels, layout):
    stored = store(pixels, "uint8", layout)
    expected = sx.separate_stains(pixels, "he")
    assert expected.dtype == np.float32
    assert expected.shape == (*pixels.shape[:2], 2)
    found = sx.separate_stains(stored.image, "he", **stored.keywords)
    assert isinstance(found, type(stored.image))
    found = np.moveaxis(np.asarray(found), stored.axis, -1)
    assert np.array_equal(found[0] if "N" in layout else found, expected)


def test_dtypes():
    image = he_image()
    for dtype, expected in (("float16", "float32"), ("float32", "float32"), ("float64", "float64")):
        amounts = sx.separate_stains((image / 255).astype(dtype))
        assert amounts.dtype == expected
        np.testing.assert_allclose(amounts, sx.separate_stains(image), atol=1e-1 if dtype == "float16" else 1e-5)
    signed = sx.separate_stains(image / 127.5 - 1, value_range=(-1, 1))
    np.testing.assert_allclose(signed, sx.separate_stains(image), atol=1e-5)
    back = sx.combine_stains(signed, value_range=(-1, 1))
    assert back.dtype == np.float64
    np.testing.assert_allclose((back + 1) * 127.5, sx.combine_stains(signed), atol=0.51)
    assert sx.separate_stains(torch.zeros(3, 4, 4, dtype=torch.bfloat16) + 0.5).dtype == torch.float32


@laws
@given(st.integers(0, 999))
def test_two_stains_that_made_an_image_are_found_again(seed):
    amounts = concentrations(seed, 12, 9)
    image = np.exp(-amounts @ STAINS.T)
    for nonnegative in (False, True):
        found = sx.separate_stains(image.clip(1 / 255), STAINS, nonnegative=nonnegative)
        np.testing.assert_allclose(found[image.min(-1) >= 1 / 255], amounts[image.min(-1) >= 1 / 255], atol=1e-12)


@laws
@given(stored_images(), st.floats(0.2, 3))
def test_two_stains_without_negative_amounts(stored, length):
    """The best non-negative fit, whatever the length of the columns."""
    matrix = STAINS * [1, length]
    amounts = sx.separate_stains(stored.image, matrix, nonnegative=True, **stored.keywords)
    amounts = np.moveaxis(np.asarray(amounts, np.float64), stored.axis, -1).reshape(-1, 2)
    pixels = stored.pixels.reshape(-1, 3) / (255 if stored.pixels.max() > 1 else 1)
    for color, found in list(zip(pixels, amounts))[:30]:
        expected, _ = nnls(matrix, -np.log(np.clip(color, 1 / 255, 1)))
        np.testing.assert_allclose(found, expected, atol=1e-5)


@laws
@given(he_images())
def test_scikit_image_agrees(image):
    """Its amounts are in units of -ln(1e-6), and never negative."""
    image = np.maximum(image, 1)
    theirs = skimage_color.separate_stains(image, np.linalg.inv(skimage_color.rgb_from_hed))
    ours = sx.separate_stains(image / 255, skimage_color.rgb_from_hed.T, nonnegative=True)
    np.testing.assert_allclose(ours, theirs * -np.log(1e-6), atol=1e-9)
    back = skimage_color.combine_stains(theirs, skimage_color.rgb_from_hed)
    ours = sx.combine_stains(ours, skimage_color.rgb_from_hed.T, value_range=(0, 1))
    np.testing.assert_allclose(ours, back, atol=1e-9)


def test_large_images_are_separated_in_blocks_without_seams():
    image = he_image(0, 300, 200)
    parts = [sx.separate_stains(image[top : top + 7]) for top in range(0, 300, 7)]
    assert np.array_equal(sx.separate_stains(image), np.concatenate(parts))


def test_bad_input_is_refused():
    image = he_image()
    amounts = sx.separate_stains(image)
    with pytest.raises(InvalidImageError):
        sx.separate_stains(image[..., :2])
    with pytest.raises(InvalidImageError, match="3 stains"):
        sx.combine_stains(amounts, "hed")
    with pytest.raises(InvalidImageError, match="uint8"):
        sx.combine_stains(image, "hed")
    with pytest.raises(InvalidImageError, match="NaN"):
        sx.combine_stains(amounts * np.nan)
    with pytest.raises(ParameterError, match="value_range"):
        sx.combine_stains(amounts, value_range=(1, 0))
    with pytest.raises(ParameterError, match="channel_axis"):
        sx.combine_stains(amounts, channel_axis=0)
    image.setflags(write=False)
    before = image.copy()
    sx.separate_stains(image)
    assert np.array_equal(image, before)


@pytest.mark.parametrize("method", ["macenko", "vahadane", "ramakrishnan"])
@pytest.mark.parametrize("layout", ["HWC", "NCHW", "torch NCHW"])
def test_the_stains_of_an_image_are_estimated(method, layout):
    image = (240 * np.exp(-concentrations(3, 48, 48) @ STAINS.T)).round().astype(np.uint8)
    stored = store(image, "uint8", layout)
    stains = sx.estimate_stain_matrix(stored.image, method, **stored.keywords)
    assert stains.shape == (3, 2)
    np.testing.assert_allclose(np.linalg.norm(stains, axis=0), 1)
    assert np.diag(stain_angles(stains, STAINS)).max() < 12
    signed = image / 127.5 - 1
    as_float = sx.estimate_stain_matrix(signed, method, value_range=(-1, 1))
    np.testing.assert_allclose(as_float, sx.estimate_stain_matrix(image, method), atol=1e-3)


def test_the_reference_says_which_stain_is_which():
    dab = sx.reference_stains("hdab")
    image = (240 * np.exp(-concentrations(4, 48, 48) @ dab.T)).round().astype(np.uint8)
    stains = sx.estimate_stain_matrix(image, reference="hdab")
    assert np.diag(stain_angles(stains, dab)).max() < 8
    turned = sx.estimate_stain_matrix(image, reference=dab[:, ::-1])
    assert np.array_equal(turned, stains[:, ::-1])


def test_estimation_passes_settings_on_and_refuses_what_is_wrong():
    image = he_image(2, 40, 40)
    assert np.array_equal(sx.estimate_stain_matrix(image, alpha=5), sx.Macenko.fit(image, alpha=5).stain_matrix)
    with pytest.raises(ParameterError, match="no stain matrix"):
        sx.estimate_stain_matrix(image, "reinhard")
    with pytest.raises(ParameterError, match="no stain matrix; use one of: khan"):
        sx.estimate_stain_matrix(image, "ruifrok")
    with pytest.raises(NotEnoughTissueError):
        sx.estimate_stain_matrix(np.full((20, 20, 3), 255, np.uint8))


@pytest.mark.parametrize("layout", ["HWC", "CHW", "torch NCHW"])
def test_background_is_a_percentile_of_white_pixels(layout):
    image = he_image(5, 30, 30).clip(0, 215)
    image[:10] = np.random.default_rng(0).integers(228, 250, (10, 30, 3))
    stored = store(image, "uint8", layout)
    expected = np.percentile(image[:10].reshape(-1, 3), 90, axis=0)
    repeated = np.percentile(np.repeat(image[:10].reshape(-1, 3), 2, axis=0), 90, axis=0) if "N" in layout else expected
    np.testing.assert_allclose(sx.background_intensity(stored.image, **stored.keywords), repeated)
    np.testing.assert_allclose(sx.background_intensity(image / 255), expected)
    np.testing.assert_allclose(sx.background_intensity(image, percent=0), image[:10].min((0, 1)))


def test_background_without_glass_is_that_of_an_ideal_scanner():
    image = he_image(5, 30, 30).clip(0, 215)
    assert np.array_equal(sx.background_intensity(image), [255, 255, 255])
    image[0] = 240  # 30 pixels
    assert np.array_equal(sx.background_intensity(image), [255, 255, 255])
    assert np.array_equal(sx.background_intensity(image[:0]), [255, 255, 255])
    image[:4] = 240
    assert np.array_equal(sx.background_intensity(image), [240, 240, 240])
