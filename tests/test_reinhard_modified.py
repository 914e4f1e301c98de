from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from references import reinhard as moments
from references import reinhard_modified as reference
from strategies import blank_image, he_image, he_images, laws, odd_images

from stainxform import Reinhard, ReinhardModified
from stainxform.errors import ModelFileError, NotEnoughTissueError
from stainxform.io.images import read_image

GOLDEN = Path(__file__).parents[2] / "shared" / "golden"
needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"{GOLDEN} is not there: it is not part of the package")

spaces = pytest.mark.parametrize("space", moments.SPACES)
masks = pytest.mark.parametrize("tissue_only", [False, True], ids=["all pixels", "tissue only"])
sources = he_images(smallest=8)


def planes(image):
    return np.moveaxis(image / 255, -1, 0)


@spaces
@masks
@laws
@given(sources, sources)
def test_normalization_equals_the_reference(space, tissue_only, image, target):
    expected = reference.normalize(image, *moments.statistics(target, space, tissue_only), space, tissue_only)
    normalizer = ReinhardModified.fit(target, space=space, tissue_only=tissue_only)
    result = normalizer(image, on_blank="raise").astype(int)
    assert np.abs(result - np.rint(expected)).max() <= 1  # float32 against float64 may round a tie apart
    assert (result == np.rint(expected)).mean() >= 0.99


@needs_golden
def test_golden_torchstain():
    source, target = (read_image(GOLDEN / f"{name}.png") for name in ("source", "target"))
    expected = read_image(GOLDEN / "torchstain-torch-modified__reinhard_modified.png").astype(int)
    normalizer = ReinhardModified.fit(target)
    difference = np.abs(normalizer(source) - expected)
    assert difference.max() <= 1
    assert difference.mean() < 0.5  # torchstain truncates where we round
    exact = np.moveaxis(normalizer.map_for(source).evaluate(planes(source)), 0, -1)
    truncated = np.floor(exact.clip(0, 1) * 255)
    assert (truncated != expected).mean() < 1e-4


@spaces
@laws
@given(sources, sources)
def test_color_moves_to_the_target_and_lightness_stays_and_gains_contrast(space, image, target):
    normalizer = ReinhardModified.fit(target, space=space)
    color_map = normalizer.map_for(image)
    mean, std = moments.statistics(image, space)
    new_mean, new_std = mean * color_map.scale + color_map.shift, std * color_map.scale
    np.testing.assert_allclose(new_mean, [mean[0], *normalizer.mean[1:]], atol=1e-9)
    np.testing.assert_allclose(new_std[1:], std[1:])
    goal = normalizer.std[0]
    assert std[0] <= new_std[0] <= max(goal, 1.05 * std[0]) + 1e-9  # toward the target's, never past it but for 5 %


def test_contrast_is_that_of_the_paper_on_both_sides_of_its_case():
    flat, lively = he_image(0) // 4 + 120, he_image(1)
    scale = {}
    for name, image, target in (("less", flat, lively), ("more", lively, flat), ("same", flat, flat)):
        scale[name] = ReinhardModified.fit(target).map_for(image).scale[0]
    std = [moments.statistics(image)[1][0] for image in (flat, lively)]
    assert std[0] < std[1]
    assert scale["less"] == pytest.approx(1 + (std[1] - std[0]) / std[1])
    assert scale["more"] == scale["same"] == 1.05


def test_it_shares_its_statistics_with_reinhard_but_not_its_models(tmp_path):
    images = [he_image(seed) for seed in range(3)]
    fitted, classic = ReinhardModified.fit(images), Reinhard.fit(images)
    assert np.array_equal(fitted.mean, classic.mean)
    assert np.array_equal(fitted.std, classic.std)
    fitted.save(tmp_path / "m.safetensors")
    with pytest.raises(ModelFileError, match="reinhard_modified"):
        Reinhard.load(tmp_path / "m.safetensors")


@spaces
@pytest.mark.parametrize("level", [0, 245, 255])
def test_blank_tiles_come_back_unchanged_and_can_be_made_to_raise(space, level):
    normalizer = ReinhardModified.fit(he_image(), space=space)
    assert np.array_equal(normalizer(blank_image(level)), blank_image(level))
    with pytest.raises(NotEnoughTissueError):
        normalizer(blank_image(level), on_blank="raise")


def test_nothing_to_take_statistics_from_raises():
    with pytest.raises(NotEnoughTissueError):
        ReinhardModified.fit(np.zeros((0, 4, 3), np.uint8))


@spaces
@laws
@given(odd_images() | he_images(), odd_images(), st.sampled_from(["uint8", "float16", "float32", "float64"]))
def test_odd_images_give_finite_colors_in_range_and_no_warning(space, image, target, dtype):
    """pytest turns numpy's warnings into errors; the target may be flat, too."""
    image = image if dtype == "uint8" else (image / 255).astype(dtype)
    result = ReinhardModified.fit(target, space=space)(image)
    assert np.isfinite(result).all()
    assert dtype == "uint8" or 0 <= result.min() <= result.max() <= 1
