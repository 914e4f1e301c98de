import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from references import khan as reference
from scipy.interpolate import PchipInterpolator
from strategies import blank_image, he_image, he_images, laws, odd_images

import stainxform as sx
from stainxform import Khan
from stainxform.errors import MissingDependencyError, ModelFileError, NotEnoughTissueError, ParameterError
from stainxform.evaluate.metrics import psnr
from stainxform.image.histogram import ColorHistogram
from stainxform.normalizers.khan import MonotoneSpline
from stainxform.samples import pair, render, tissue
from stainxform.stains.classifier import BACKGROUND, EOSIN, HEMATOXYLIN, StainClassifier, bundled_classifier

BUNDLED = tuple(vars(bundled_classifier()).values())
sources = he_images(smallest=28)
glass = pytest.mark.parametrize("glass", ["measured", "white"])


def can_be_fitted(*images):
    """Images that do not show both stains obey no law."""
    for image in images:
        try:
            Khan.fit(image)
        except NotEnoughTissueError:
            assume(False)


@pytest.fixture(scope="module")
def centers():
    """The same tissue at three centers, uint8 ``(4, 64, 64, 3)`` each."""
    return pair(4, 64, ("a", "b", "c"), seed=3)


# ---------------------------------------------------------------- normalizer


@glass
@laws
@given(sources, sources)
def test_normalization_equals_the_reference(glass, image, target):
    can_be_fitted(image, target)
    source, goal = (reference.fit(x, BUNDLED, measure_glass=glass == "measured") for x in (image, target))
    fitted = Khan.fit(target, glass=glass)
    np.testing.assert_allclose(fitted.stain_matrix, goal[0][:, :2], atol=1e-9)
    np.testing.assert_allclose(np.sort(fitted.statistics.reshape(2, 9)), goal[1], rtol=1e-9)
    np.testing.assert_allclose(fitted.target_glass, goal[2], atol=1e-12)
    expected = reference.normalize(image, source, goal)
    np.testing.assert_allclose(fitted(image / 255) * 255, expected, atol=1e-6)
    result = fitted(image, on_blank="raise").astype(int)
    assert np.abs(result - np.rint(expected)).max() <= 1  # float32 against float64 may round a tie apart
    assert (result == np.rint(expected)).mean() >= 0.99


@laws
@given(sources)
def test_identity_when_source_is_the_target(image):
    can_be_fitted(image)
    assert np.array_equal(Khan.fit(image)(image), image)


def test_another_center_comes_close_to_the_truth(centers):
    ours, *others = centers
    center = Khan.fit(ours)
    for images in others:
        before = np.mean([psnr(image, truth) for image, truth in zip(images, ours, strict=True)])
        after = np.mean([psnr(center(image), truth) for image, truth in zip(images, ours, strict=True)])
        assert after > before + 6


def every_pixel(image):
    """Its pixels as colors, one by one."""
    return ColorHistogram(image.reshape(-1, 3).T / 255, np.ones(image.shape[0] * image.shape[1], np.int64))


def test_classes_are_what_the_slide_shows():
    sample = tissue(96, seed=11, background=0.3)
    amounts = sample.concentrations
    pure = amounts.max(axis=0) > 0.6 * amounts.sum(axis=0)
    for name in ("a", "b", "c"):
        image = render(sample, name)
        found = bundled_classifier().probabilities(every_pixel(image)).argmax(axis=0).reshape(96, 96)
        assert (found[~sample.tissue] == BACKGROUND).mean() > 0.95
        dense = pure & (amounts.sum(axis=0) > 0.3)
        assert (found[dense & (amounts[0] > amounts[1])] == HEMATOXYLIN).mean() > 0.9
        assert (found[dense & (amounts[1] > amounts[0])] == EOSIN).mean() > 0.9


@laws
@given(sources, st.randoms(use_true_random=False))
def test_where_pixels_are_does_not_matter(image, random):
    can_be_fitted(image)
    order = list(range(image.shape[0] * image.shape[1]))
    random.shuffle(order)
    shuffled = image.reshape(1, -1, 3)[:, order]
    normalizer = Khan.fit(he_image(0, 40, 40))
    assert np.array_equal(normalizer(shuffled), normalizer(image).reshape(1, -1, 3)[:, order])
    assert np.array_equal(Khan.fit(shuffled).statistics, Khan.fit(image).statistics)


@laws
@given(sources)
def test_fit_on_counted_colors_equals_the_fit_on_pixels(image):
    can_be_fitted(image)
    counted, pixels = Khan.fit(image), Khan.fit(image / 255)  # floats are kept one by one
    np.testing.assert_allclose(counted.stain_matrix, pixels.stain_matrix, atol=1e-9)
    np.testing.assert_allclose(counted.statistics, pixels.statistics, atol=1e-9)


def test_fit_on_many_tiles_is_the_fit_on_their_pixels_together(centers):
    tiles = list(centers[0])
    together = Khan.fit(np.concatenate(tiles))
    for images in (tiles, np.stack(tiles), iter(tiles), tiles[::-1]):
        assert np.array_equal(Khan.fit(images).statistics, together.statistics)


def test_one_map_serves_every_tile_of_a_slide(centers):
    normalizer, slide = Khan.fit(centers[0]), np.concatenate(centers[1])
    whole = normalizer.color_map(ColorHistogram.of(slide))
    assert np.array_equal(whole(slide[:64]), normalizer(slide)[:64])


def test_glass_of_the_source_becomes_glass_of_the_target(centers):
    ours, theirs = (images.copy() for images in centers[:2])
    ours[:, :20], theirs[:, :20] = (244, 244, 246), (231, 228, 222)
    result = Khan.fit(ours)(theirs)[:, :20]
    assert np.abs(result.astype(int) - (244, 244, 246)).max() <= 3


def test_what_neither_stain_explains_is_left_alone(centers):
    normalizer, image = Khan.fit(centers[0]), centers[1][0]
    color_map = normalizer.map_for(image)
    planes = np.moveaxis(image / 255, -1, 0)
    result = color_map.evaluate(planes)
    inside = (result > 0.02).all(axis=0)

    def residual(rgb, matrix, od_of_glass):
        od = -np.log((rgb * 255 + 1) / 256).reshape(3, -1) - od_of_glass[:, None]
        return (np.linalg.inv(matrix) @ od)[2].reshape(inside.shape)[inside]

    before = residual(planes, np.linalg.inv(color_map.separate), color_map.source_glass)
    after = residual(result, color_map.combine, color_map.target_glass)
    np.testing.assert_allclose(after, before, atol=1e-9)


def test_torch_computes_the_same_and_lets_gradients_flow(centers):
    color_map = Khan.fit(centers[0]).map_for(centers[1][0])
    planes = np.moveaxis(centers[1][0] / 255, -1, 0)
    tensor = torch.tensor(planes, requires_grad=True)
    result = color_map.evaluate(tensor)
    np.testing.assert_allclose(result.detach().numpy(), color_map.evaluate(planes), atol=1e-12)
    result.sum().backward()
    assert torch.isfinite(tensor.grad).all()
    assert tensor.grad.abs().sum() > 0


def one_stain(hematoxylin, eosin):
    return he_image(3, 40, 40, hematoxylin=hematoxylin, eosin=eosin)


NO_TWO_STAINS = {
    "blank": blank_image(),
    "black": blank_image(0),
    "no pixels": np.zeros((0, 7, 3), np.uint8),
    "one color": np.full((24, 24, 3), (150, 90, 160), np.uint8),
    "two pixels": he_image(0, 1, 2),
    "hematoxylin": one_stain(1.5, 0),
    "eosin": one_stain(0, 1.5),
    "gray": np.repeat(he_image()[..., :1], 3, axis=-1),
}


@pytest.mark.parametrize("image", NO_TWO_STAINS.values(), ids=NO_TWO_STAINS)
def test_tissue_without_two_stains_cannot_be_fitted_and_is_returned_unchanged(image):
    with pytest.raises(NotEnoughTissueError):
        Khan.fit(image)
    normalizer = Khan.fit(he_image(0, 40, 40))
    assert np.array_equal(normalizer(image), image)
    with pytest.raises(NotEnoughTissueError):
        normalizer(image, on_blank="raise")


@laws
@given(odd_images() | he_images(), st.sampled_from(["uint8", "float16", "float32", "float64"]))
def test_odd_images_give_finite_colors_in_range_and_no_warning(image, dtype):
    """pytest turns numpy's warnings into errors."""
    image = image if dtype == "uint8" else (image / 255).astype(dtype)
    result = Khan.fit(he_image(0, 40, 40))(image)
    assert np.isfinite(result).all()
    assert dtype == "uint8" or 0 <= result.min() <= result.max() <= 1


@pytest.mark.parametrize("settings", [{"confidence": 0.4}, {"confidence": 1.0}, {"glass": "clean"}], ids=str)
def test_senseless_settings_are_refused(settings):
    with pytest.raises(ParameterError, match=next(iter(settings))):
        Khan.fit(he_image(), **settings)


def test_a_model_file_keeps_it_with_its_classifier(tmp_path):
    normalizer, image = Khan.fit(he_image(0, 40, 40), confidence=0.6, glass="white"), he_image(7, 40, 40)
    normalizer.save(tmp_path / "k.safetensors")
    loaded = sx.load(tmp_path / "k.safetensors")
    assert (loaded.confidence, loaded.glass) == (0.6, "white")
    assert np.array_equal(loaded(image), normalizer(image))


# ---------------------------------------------------------------- spline

percentiles = st.lists(st.floats(0, 4, width=16), min_size=9, max_size=9).map(np.array)


@laws
@given(percentiles, percentiles, st.integers(0, 99))
def test_a_spline_rises_passes_its_knots_and_is_pchip(source, target, seed):
    spline = MonotoneSpline.between(source, target)
    x, y = reference.knots(np.sort(source), np.sort(target))
    np.testing.assert_allclose(spline.x, x)
    np.testing.assert_allclose(spline.y, y)
    np.testing.assert_allclose(spline(x), y, atol=1e-12)
    values = np.sort(np.append(x, np.random.default_rng(seed).uniform(0, x[-1], 200)))
    expected = PchipInterpolator(x, y)
    np.testing.assert_allclose(spline(values), expected(values), atol=1e-11)
    np.testing.assert_allclose(spline.slopes(), expected.derivative()(x), atol=1e-8)
    assert (np.diff(spline(values)) >= -1e-12).all()
    np.testing.assert_allclose(spline(x[-1] + values), y[-1] + values)


@laws
@given(percentiles)
def test_a_spline_between_equal_percentiles_is_the_identity(source):
    values = np.linspace(0, 6, 50)
    np.testing.assert_allclose(MonotoneSpline.between(source, source)(values), values, atol=1e-12)


# ---------------------------------------------------------------- classifier


def labeled(n):
    """Images and labels with the truth of synthetic tissue."""
    images, labels = [], []
    for k in range(n):
        sample = tissue(48, seed=(5, k), background=0.3)
        images.append(render(sample, "abc"[k % 3], seed=k))
        labels.append(np.where(sample.tissue, (sample.concentrations[1] > sample.concentrations[0]).astype(int), 2))
    return images, labels


@pytest.fixture(scope="module")
def slides():
    return labeled(9)


def train(slides, **settings):
    pytest.importorskip("sklearn")
    return StainClassifier.fit(*slides, **{"components": 3, "pixels": 200} | settings)


def test_a_classifier_learns_labels_and_draws_the_same_pixels_again(slides):
    images, labels = slides
    classifier, again = train(slides), train(slides)
    assert all(np.array_equal(a, b) for a, b in zip(vars(classifier).values(), vars(again).values(), strict=True))
    right = [
        (classifier.probabilities(every_pixel(image)).argmax(axis=0) == label.ravel()).mean()
        for image, label in zip(images, labels, strict=True)
    ]
    assert np.mean(right) > 0.85
    assert np.allclose(np.mean([classifier.descriptor(ColorHistogram.of(image)) for image in images], axis=0), 0)


def test_a_classifier_of_ones_own_is_used_from_an_object_or_a_file(slides, tmp_path):
    classifier, path = train(slides), tmp_path / "classifier.safetensors"
    classifier.save(path)
    own, bundled = Khan.fit(slides[0], classifier=classifier), Khan.fit(slides[0])
    assert not np.allclose(own.stain_matrix, bundled.stain_matrix)
    np.testing.assert_allclose(Khan.fit(slides[0], classifier=path).stain_matrix, own.stain_matrix, atol=1e-3)
    assert np.array_equal(StainClassifier.load(path).mean, classifier.mean.astype(np.float32))


def test_labels_must_show_every_class_in_enough_images(slides):
    images, labels = slides
    with pytest.raises(ParameterError, match="classes"):
        train((images, [np.minimum(label, 1) for label in labels]))
    with pytest.raises(ParameterError, match="too few"):
        train((images[:3], labels[:3]))


def test_training_without_scikit_learn_names_the_extra(slides, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn.linear_model", None)
    with pytest.raises(MissingDependencyError, match="report"):
        StainClassifier.fit(*slides)


def test_a_file_that_is_no_classifier_is_refused(tmp_path):
    Khan.fit(he_image(0, 40, 40)).save(tmp_path / "khan.safetensors")
    with pytest.raises(ModelFileError, match="no stain classifier"):
        StainClassifier.load(tmp_path / "khan.safetensors")


def test_arrays_that_do_not_fit_together_are_refused():
    arrays = dict(vars(bundled_classifier()))
    with pytest.raises(ValueError, match="shapes"):
        StainClassifier.from_arrays(arrays | {"mean": np.zeros(4)})
    broken = dataclasses.replace(bundled_classifier(), coefficients=np.zeros((3, 10, 2)))
    with pytest.raises(ValueError, match="shapes"):
        StainClassifier.from_arrays(vars(broken))
