from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from references import vahadane as reference
from strategies import STAINS, blank_image, concentrations, he_image, he_images, laws, odd_images

from stainxform import Vahadane
from stainxform.errors import NotEnoughTissueError, ParameterError, StainXformWarning
from stainxform.image.histogram import ColorHistogram
from stainxform.io.images import read_image
from stainxform.samples import CENTERS, pair
from stainxform.stains.factorization import sparse_stain_matrix
from stainxform.stains.references import match_stains, stain_angles
from stainxform.stains.separation import NonnegativeLasso
from stainxform.stains.vahadane import DEFINITIONS

GOLDEN = Path(__file__).parents[2] / "shared" / "golden"
needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"{GOLDEN} is not there: it is not part of the package")
definitions = pytest.mark.parametrize("definition", DEFINITIONS)


@st.composite
def stain_pairs(draw, closest=0.5):
    """Two unit vectors, from ``closest`` to 180 - ``closest`` degrees apart; most are non-negative."""
    rng = np.random.default_rng(draw(st.integers(0, 9999)))
    negative = draw(st.sampled_from([0, 0, 0.5]))
    first, second = (vector / np.linalg.norm(vector) for vector in rng.uniform(size=(2, 3)) ** 2 - negative)
    near = draw(st.sampled_from([1, 0.3, 0.1, 0.03]))
    second = first + near * (second - first)
    stains = np.stack([first, second / np.linalg.norm(second)], axis=1)
    assume(closest <= stain_angles(stains[:, :1], stains[:, 1:])[0, 0] <= 180 - closest)
    return stains


densities = arrays(np.float64, (3, 20), elements=st.floats(-0.1, 6))
penalties = st.sampled_from([0, 0.001, 0.01, 0.1, 0.5])


@laws
@given(stain_pairs(), densities, penalties)
def test_the_closed_form_is_the_minimum(stains, od, penalty):
    """The conditions of Karush, Kuhn and Tucker hold to rounding, and an active-set solver finds the same."""
    amounts = NonnegativeLasso(stains, penalty)(od)
    slope = stains.T @ (stains @ amounts - od) + penalty
    assert (amounts >= 0).all()
    assert slope.min() >= -1e-11
    assert np.abs(slope * amounts).max() <= 1e-9
    # The matrix to invert has the eigenvalue 1 - cosine, 4e-5 at half a degree.
    np.testing.assert_allclose(amounts.T, reference.lasso(od.T, stains, penalty), atol=1e-9)


@laws
@given(stain_pairs(closest=3), densities, penalties)
def test_the_closed_form_in_float32(stains, od, penalty):
    lasso = NonnegativeLasso(stains, penalty)
    single = lasso(od.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, lasso(od), atol=2e-3)  # 1 - cosine^2 is .003 at three degrees


@laws
@given(stain_pairs(closest=3), densities)
def test_the_closed_form_in_torch_and_its_gradient(stains, od):
    lasso = NonnegativeLasso(stains, 0.01)
    planes = torch.tensor(od, requires_grad=True)
    amounts = lasso(planes)
    np.testing.assert_allclose(amounts.detach().numpy(), lasso(od), atol=1e-12)
    amounts.sum().backward()
    assert torch.isfinite(planes.grad).all()


def test_one_color_at_a_time_gives_the_same_bits():
    od = np.random.default_rng(0).uniform(0, 3, (3, 200)).astype(np.float32)
    lasso = NonnegativeLasso(STAINS, 0.01)
    assert np.array_equal(lasso(od), np.stack([lasso(color) for color in od.T], axis=1))
    assert np.array_equal(lasso(np.asfortranarray(od)), lasso(od))


def factorized(od, penalty, counts=None):
    """Our stain matrix for colors ``(N, 3)`` and its objective, computed by the reference."""
    stains = sparse_stain_matrix(od.T, np.ones(len(od), int) if counts is None else counts, penalty=penalty)
    weighted = od if counts is None else np.repeat(od, counts, axis=0)
    return stains, reference.objective(weighted, stains, reference.lasso(weighted, stains, penalty), penalty)


@pytest.mark.parametrize(("seed", "penalty"), [(0, 0.1), (1, 0.1), (2, 0.02)])
def test_objective_is_as_low_as_that_of_other_starts(seed, penalty):
    image = he_image(seed, 20, 20)
    od = reference.optical_density(image)[reference.tissue(image)]
    stains, reached = factorized(od, penalty)
    for start in range(3):
        others, objective = reference.factorize(od, penalty, start)
        assert reached <= objective + 1e-9
        # The landscape has one valley: whoever has gone down it is at the same stains.
        assert np.diag(stain_angles(match_stains(others), match_stains(stains))).max() < 0.2


def golden_colors(name, count=800):
    """Some of the tissue pixels."""
    image = read_image(GOLDEN / f"{name}.png")
    od = reference.optical_density(image)[reference.tissue(image)]
    return od[:: len(od) // count]


@needs_golden
@pytest.mark.parametrize("name", ["source", "target"])
def test_objective_is_as_low_as_that_of_other_starts_on_real_tissue(name):
    od = golden_colors(name)
    _, reached = factorized(od, 0.1)
    assert reached <= min(reference.factorize(od, 0.1, start, 500)[1] for start in range(2)) + 1e-9


@needs_golden
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_objective_is_as_low_as_that_of_scikit_learn():
    decomposition = pytest.importorskip("sklearn.decomposition")
    od = golden_colors("target", 150)
    _, reached = factorized(od, 0.1)
    learner = decomposition.DictionaryLearning(
        2, alpha=0.1, max_iter=50, fit_algorithm="cd", positive_code=True, positive_dict=True, random_state=0
    )
    theirs = learner.fit(od).components_.T
    theirs = theirs / np.linalg.norm(theirs, axis=0)
    assert reached <= reference.objective(od, theirs, reference.lasso(od, theirs, 0.1), 0.1) + 1e-9


@laws
@given(st.integers(0, 99))
def test_counts_are_repeated_pixels(seed):
    """In the squares and in the penalty: weights of sqrt(count) on the rows would not do."""
    image = he_image(seed, 8, 8)
    od = reference.optical_density(image)
    counts = np.random.default_rng(seed).integers(1, 9, len(od))
    weighted, reached = factorized(od, 0.1, counts)
    repeated, expected = factorized(np.repeat(od, counts, axis=0), 0.1)
    # Their sums are rounded differently, so one may stop a step before the other: equal as far as a solution is at rest.
    np.testing.assert_allclose(reached, expected, rtol=1e-9)
    np.testing.assert_allclose(weighted, repeated, atol=2e-4)


@pytest.mark.parametrize("penalty", [0.1, 0.01])
def test_the_solution_on_many_colors_is_at_rest(penalty):
    """Above a number of colors the iteration starts on a sample; it must end where the sample does not matter."""
    od = reference.optical_density(he_image(1, 160, 160)).T
    stains = sparse_stain_matrix(od, np.ones(od.shape[1], int), penalty=penalty)
    again = sparse_stain_matrix(od[:, ::-1], np.ones(od.shape[1], int), penalty=penalty)
    np.testing.assert_allclose(stains, again, atol=2e-4)


def assert_same_levels(result, expected, share=0.98):
    """Within one level everywhere, and equal nearly everywhere."""
    difference = np.abs(result.astype(int) - np.rint(expected).astype(int))
    assert difference.max(initial=0) <= 1
    assert (difference == 0).mean() >= share


@definitions
@pytest.mark.parametrize("seed", range(2))
def test_fit_and_normalization_equal_the_reference(definition, seed):
    image, target = he_image(seed, 20, 28), he_image(seed + 50, 24, 24)
    source_fit, target_fit = (reference.fit(one, definition) for one in (image, target))
    fitted = Vahadane.fit(target, definition=definition)
    np.testing.assert_allclose(fitted.stain_matrix, target_fit[0], atol=1e-3)  # two iterations that stop near the same
    np.testing.assert_allclose(fitted.max_concentrations, target_fit[1], rtol=2e-3)
    assert_same_levels(fitted(image), reference.normalize(image, source_fit, target_fit, definition), share=0.9)


@needs_golden
def test_golden_staintools():
    """StainTools rounds down, uses 8-bit lightness, and differs by up to 7 levels between its own runs."""
    source, target, golden = (
        read_image(GOLDEN / f"{name}.png") for name in ("source", "target", "staintools__vahadane")
    )
    planes = Vahadane.fit(target).map_for(source).evaluate(np.moveaxis(source / 255, -1, 0))
    difference = np.abs(np.floor(np.moveaxis(planes, 0, -1) * 255 + 1e-9) - golden)
    assert difference.mean() < 0.5  # measured: .34
    assert difference.max() <= 3  # measured: 2
    assert (difference <= 1).mean() > 0.998


@definitions
@pytest.mark.parametrize("seed", range(2))
def test_stains_of_synthetic_tissue_are_recovered(definition, seed):
    """To degrees, not tenths: pure hematoxylin is rare, and the penalty draws the stains together."""
    stains = np.abs(STAINS + np.random.default_rng(seed).normal(0, 0.05, (3, 2)))
    center = replace(CENTERS["a"], stain_matrix=stains / np.linalg.norm(stains, axis=0))
    (tiles,) = pair(3, 96, [center], seed=seed, background=0.2)
    fitted = Vahadane.fit(tiles, definition=definition)
    assert np.diag(stain_angles(fitted.stain_matrix, center.stain_matrix)).max() < 10


@settings(laws, max_examples=8)
@given(he_images(smallest=12), st.randoms(use_true_random=False))
def test_where_pixels_are_does_not_matter(image, random):
    order = list(range(image.shape[0] * image.shape[1]))
    random.shuffle(order)
    shuffled = image.reshape(1, -1, 3)[:, order]
    fitted = Vahadane.fit(image)
    assert np.array_equal(Vahadane.fit(shuffled).stain_matrix, fitted.stain_matrix)
    assert np.array_equal(fitted(shuffled), fitted(image).reshape(1, -1, 3)[:, order])


def test_fit_on_many_tiles_is_the_fit_on_their_pixels_together():
    tiles = [he_image(seed) for seed in range(5)]
    together = Vahadane.fit(np.concatenate(tiles))
    for images in (tiles, np.stack(tiles), iter(tiles), tiles[::-1]):
        assert np.array_equal(Vahadane.fit(images).stain_matrix, together.stain_matrix)


def test_one_map_serves_every_tile_of_a_slide():
    slide, target = he_image(3, 40, 40), Vahadane.fit(he_image(4, 40, 40))
    whole = target.color_map(ColorHistogram.of(slide))
    assert np.array_equal(whole(slide[:20]), target.map_for(slide)(slide)[:20])


def test_yellowish_eosin_is_no_hematoxylin():
    """As in TNBC slides of the Institut Curie: eosin absorbs less green than hematoxylin there."""
    stains = np.array([[0.61, 0.69, 0.39], [0.28, 0.65, 0.70]]).T
    image = (250 * np.exp(-concentrations(0, 40, 40) @ stains.T)).round().astype(np.uint8)
    for definition in DEFINITIONS:
        fitted = Vahadane.fit(image, definition=definition)
        assert np.diag(stain_angles(fitted.stain_matrix, stains)).max() < 10


def test_white_stays_white():
    slide = he_image(3, 40, 40)
    slide[:20] = 255
    assert (Vahadane.fit(he_image(4, 40, 40))(slide)[:20] == 255).all()


def test_nothing_is_random(monkeypatch):
    image = he_image(6, 40, 40)
    expected = Vahadane.fit(image).stain_matrix
    for name in ("default_rng", "RandomState", "random", "rand", "seed"):
        monkeypatch.setattr(np.random, name, None)
    assert np.array_equal(Vahadane.fit(image).stain_matrix, expected)


def one_stain(stain, noise):
    rng = np.random.default_rng(0)
    levels = 255 * np.exp(-rng.uniform(0.5, 2, (40, 40, 1)) * STAINS[:, stain])
    return np.rint(levels + rng.normal(0, noise, levels.shape)).clip(0, 255).astype(np.uint8)


NO_TWO_STAINS = {
    "blank": blank_image(),
    "black": blank_image(0),
    "no pixels": np.zeros((0, 7, 3), np.uint8),
    "one color": np.full((24, 24, 3), (150, 90, 160), np.uint8),
    "two pixels": he_image(0, 1, 2),
    "gray": np.repeat(he_image()[..., :1], 3, axis=-1),
    "hematoxylin": one_stain(0, 0),
    "eosin": one_stain(1, 0),
    "hematoxylin and camera noise": one_stain(0, 1),
    "eosin and camera noise": one_stain(1, 1),
}


@definitions
@pytest.mark.parametrize("image", NO_TWO_STAINS.values(), ids=NO_TWO_STAINS)
def test_tissue_without_two_stains_cannot_be_fitted_and_is_returned_unchanged(definition, image):
    with pytest.raises(NotEnoughTissueError):
        Vahadane.fit(image, definition=definition)
    normalizer = Vahadane.fit(he_image(1, 40, 40), definition=definition)
    assert np.array_equal(normalizer(image), image)
    with pytest.warns(StainXformWarning, match="returned unchanged"):
        normalizer(image, on_blank="warn")
    with pytest.raises(NotEnoughTissueError):
        normalizer.map_for(image)


@definitions
@laws
@given(odd_images() | he_images(), st.sampled_from(["uint8", "float16", "float32", "float64"]))
def test_odd_images_give_finite_colors_in_range_and_no_warning(definition, image, dtype):
    """pytest turns numpy's warnings into errors."""
    image = image if dtype == "uint8" else (image / 255).astype(dtype)
    normalizer = Vahadane(stain_matrix=STAINS, max_concentrations=np.array([2.0, 1.0]), definition=definition)
    result = normalizer(image)
    assert np.isfinite(result).all()
    assert dtype == "uint8" or 0 <= result.min() <= result.max() <= 1


BAD_SETTINGS = [
    {"definition": "spams"},
    {"regularization": 0},
    {"regularization": -0.1},
    {"regularization": 1},
    {"regularization": float("nan")},
    {"concentration_regularization": -0.01},
    {"concentration_regularization": float("inf")},
]


@pytest.mark.parametrize("wrong", BAD_SETTINGS, ids=str)
def test_senseless_settings_are_refused(wrong):
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        Vahadane.fit(he_image(), **wrong)


def test_settings_take_effect():
    """A larger penalty of the factorization draws the stains together; that of the amounts makes them smaller."""
    image = he_image(2, 40, 40)
    apart = [
        stain_angles(stains[:, :1], stains[:, 1:])[0, 0]
        for stains in (Vahadane.fit(image, regularization=value).stain_matrix for value in (0.01, 0.1, 0.3))
    ]
    assert apart[0] > apart[1] > apart[2]
    maxima = [Vahadane.fit(image, concentration_regularization=value).max_concentrations for value in (0, 0.1)]
    assert (maxima[0] > maxima[1]).all()
