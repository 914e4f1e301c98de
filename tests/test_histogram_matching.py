from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from references import histogram_matching as reference
from skimage.exposure import match_histograms
from strategies import blank_image, he_image, he_images, laws, odd_images

import stainxform as sx
from stainxform import HistogramMatching
from stainxform.errors import NotEnoughTissueError, ParameterError
from stainxform.io.images import read_image
from stainxform.maps import CurveMap

GOLDEN = Path(__file__).parents[2] / "shared" / "golden"
needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"{GOLDEN} is not there: it is not part of the package")

sources = he_images(smallest=8)


@laws
@given(sources, sources)
def test_normalization_equals_the_reference_and_scikit_image(image, target):
    expected = reference.normalize(image, target)
    normalizer = HistogramMatching.fit(target)
    assert np.abs(normalizer(image, on_blank="raise") - expected).max() <= 0.501
    exact = normalizer(image / 255)
    np.testing.assert_allclose(exact * 255, expected, atol=1e-9)
    np.testing.assert_allclose(exact, match_histograms(image / 255, target / 255, channel_axis=-1), atol=1e-12)


@needs_golden
def test_golden_stainx():
    source, target = (read_image(GOLDEN / f"{name}.png") for name in ("source", "target"))
    expected = read_image(GOLDEN / "stainx__histmatch.png").astype(int)
    normalizer = HistogramMatching.fit(target)
    exact = np.moveaxis(normalizer.map_for(source).evaluate(np.moveaxis(source / 255, -1, 0)), 0, -1) * 255
    assert np.abs(normalizer(source) - expected).mean() < 0.5
    # stainx truncates where we round; its ranks tie in float32 where a level has one pixel or so, and it maps white to
    # white where scikit-image goes no further than the brightest level of the target.
    difference = np.abs(np.floor(exact + 1e-6) - expected)
    white = (source == 255) & (expected == 255)
    assert (difference[~white] > 0).mean() < 1e-4
    assert difference[~white].max() <= 7
    assert difference[white].max() <= 3


@laws
@given(sources)
def test_identity_when_source_is_the_target(image):
    normalizer = HistogramMatching.fit(image)
    assert np.array_equal(normalizer(image), image)
    np.testing.assert_allclose(normalizer(image / 255), image / 255, atol=1e-15)


@laws
@given(he_images(), he_images())
def test_curves_rise_and_stay_within_the_colors_of_the_target(image, target):
    normalizer = HistogramMatching.fit(target)
    curves = normalizer.map_for(np.concatenate([image] * 40)).curves if image.size >= 200 else np.zeros((3, 256))
    assert (np.diff(curves) >= 0).all()
    if image.size >= 200:
        assert (curves * 255 >= target.min((0, 1))[:, None] - 1e-9).all()
        assert (curves * 255 <= target.max((0, 1))[:, None] + 1e-9).all()


@laws
@given(sources, st.randoms(use_true_random=False))
def test_where_pixels_are_does_not_matter(image, random):
    order = list(range(image.shape[0] * image.shape[1]))
    random.shuffle(order)
    shuffled = image.reshape(1, -1, 3)[:, order]
    normalizer = HistogramMatching.fit(he_image())
    assert np.array_equal(normalizer(shuffled), normalizer(image).reshape(1, -1, 3)[:, order])
    assert np.array_equal(HistogramMatching.fit(shuffled).cumulative, HistogramMatching.fit(image / 255).cumulative)


def test_fit_on_many_tiles_is_the_fit_on_their_pixels_together():
    tiles = [he_image(seed) for seed in range(5)]
    together = HistogramMatching.fit(np.concatenate(tiles))
    for images in (tiles, np.stack(tiles), tuple(tiles), iter(tiles), tiles[::-1]):
        assert np.array_equal(HistogramMatching.fit(images).cumulative, together.cumulative)


def test_a_batch_is_not_pooled():
    """stainx matches a batch as one image."""
    batch, normalizer = np.stack([he_image(0), he_image(1) // 2]), HistogramMatching.fit(he_image(2))
    assert np.array_equal(normalizer(batch), np.stack([normalizer(image) for image in batch]))


@pytest.mark.parametrize("level", [0, 245, 255])
def test_blank_tiles_come_back_unchanged_and_can_be_made_to_raise(level):
    normalizer = HistogramMatching.fit(he_image())
    assert np.array_equal(normalizer(blank_image(level)), blank_image(level))
    with pytest.raises(NotEnoughTissueError):
        normalizer(blank_image(level), on_blank="raise")


def test_nothing_to_take_a_histogram_of_raises():
    with pytest.raises(NotEnoughTissueError):
        HistogramMatching.fit(np.zeros((0, 4, 3), np.uint8))


@laws
@given(odd_images() | he_images(), odd_images(), st.sampled_from(["uint8", "float16", "float32", "float64"]))
def test_odd_images_give_finite_colors_in_range_and_no_warning(image, target, dtype):
    """pytest turns numpy's warnings into errors; the target may have a single color, too."""
    image = image if dtype == "uint8" else (image / 255).astype(dtype)
    result = HistogramMatching.fit(target)(image)
    assert np.isfinite(result).all()
    assert dtype == "uint8" or 0 <= result.min() <= result.max() <= 1


def test_a_model_file_keeps_it_exactly(tmp_path):
    normalizer, image = HistogramMatching.fit([he_image(0), he_image(1)]), he_image(7)
    normalizer.save(tmp_path / "h.safetensors")
    assert np.array_equal(sx.load(tmp_path / "h.safetensors")(image), normalizer(image))


@pytest.mark.parametrize("rows", [np.linspace(1, 0, 256), np.linspace(0, 0.5, 256)], ids=["falls", "ends at a half"])
def test_what_is_no_cumulative_histogram_is_refused(rows):
    with pytest.raises(ParameterError, match="cumulative"):
        HistogramMatching(cumulative=np.stack([rows] * 3))


# ---------------------------------------------------------------- CurveMap


@laws
@given(st.integers(0, 999), st.integers(2, 40))
def test_a_curve_is_linear_interpolation(seed, nodes):
    rng = np.random.default_rng(seed)
    curves, planes = rng.random((3, nodes)), rng.random((3, 5, 7))
    planes[:, 0, :2] = 0, 1
    grid = np.linspace(0, 1, nodes)
    expected = [np.interp(plane, grid, curve) for plane, curve in zip(planes, curves, strict=True)]
    np.testing.assert_allclose(CurveMap(curves).evaluate(planes), expected, atol=1e-12)


def test_a_curve_gives_its_nodes_back_exactly_in_8_bits():
    levels = np.random.default_rng(0).integers(0, 256, (3, 256))
    image = np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (1, 1, 3))
    assert np.array_equal(CurveMap(levels / 255)(image)[0].T, levels)


def test_torch_computes_the_same_and_lets_gradients_flow():
    rng = np.random.default_rng(0)
    curve_map, planes = CurveMap(np.sort(rng.random((3, 9)))), rng.random((3, 6, 6))
    tensor = torch.tensor(planes, requires_grad=True)
    result = curve_map.evaluate(tensor)
    np.testing.assert_allclose(result.detach().numpy(), curve_map.evaluate(planes), atol=1e-15)
    result.sum().backward()
    slopes = np.diff(curve_map.curves)[:, np.floor(planes * 8).astype(int)[0]][0] * 8
    np.testing.assert_allclose(tensor.grad[0], slopes)
