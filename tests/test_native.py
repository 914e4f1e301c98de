"""The compiled kernels: each instruction set against the plain numpy definition.

Tolerances: a kernel computes in float32 with polynomials good to 1e-6, its plain counterpart here in float64; 1e-5 of
the range bounds both, and an 8-bit result may then fall to the other side of a rounding edge: one level.
"""

import multiprocessing
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from emulated_kernels import EmulatedLibrary
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.interpolate import interpn
from strategies import STAINS, he_image, he_images, odd_images
from strategies import laws as few

import stainxform as sx
from stainxform._native import kernels, native
from stainxform._native.kernels.halve import halve_plainly
from stainxform._native.signatures import KERNELS
from stainxform.augment.hed import DEFINITIONS as HED
from stainxform.augment.hsv import HSVMap
from stainxform.color import (
    STAINTOOLS_DENSITY,
    BackgroundDensity,
    CIELab,
    LAlphaBeta,
    OpticalDensity,
    ReversibleDensity,
)
from stainxform.errors import ParameterError
from stainxform.image.histogram import ColorHistogram
from stainxform.maps import (
    ChannelAffineMap,
    CurveMap,
    NonnegativeStainMap,
    PointwiseNetMap,
    StainMatrixMap,
    TransportMap,
)
from stainxform.maps.lut3d import Lut3DMap
from stainxform.maps.transport import Levels
from stainxform.normalizers.macenko import REFERENCE_STAIN_MATRIX
from stainxform.normalizers.transport import SPACES
from stainxform.stains import factorization
from stainxform.stains.densities import Densities
from stainxform.stains.separation import COLLINEAR, LeastSquares, NonnegativeLasso

pytestmark = pytest.mark.skipif(not native.active(), reason="the kernels were not compiled, or are off")

MATRIX = STAINS @ np.diag([1.2, 0.7]) @ np.linalg.pinv(REFERENCE_STAIN_MATRIX)
LASSO = NonnegativeLasso(STAINS, 0.01)
AFFINE = np.array([[1.15, 0.05, -0.1], [0.02, 0.85, 0.12], [-0.07, 0.1, 0.95]])
REVERSIBLE = ReversibleDensity(io=256, offset=1)
TABLE = np.random.default_rng(0).random((5, 5, 5, 3), np.float32) * 1.4 - 0.2

FUSED = {
    "veta": StainMatrixMap(MATRIX),
    "staintools": StainMatrixMap(MATRIX, STAINTOOLS_DENSITY),
    "darkest": StainMatrixMap(MATRIX, OpticalDensity(io=230, offset=0, darkest=2)),
    "lasso": NonnegativeStainMap(LASSO, REFERENCE_STAIN_MATRIX, STAINTOOLS_DENSITY, STAINTOOLS_DENSITY),
    "background": NonnegativeStainMap(
        LASSO,
        REFERENCE_STAIN_MATRIX,
        BackgroundDensity((240.0, 235.0, 251.0)),
        BackgroundDensity((230.0, 240.0, 250.0)),
    ),
    "lab": ChannelAffineMap(CIELab(), np.array([0.9, 1.1, 1.2]), np.array([5.0, -3.0, 2.0])),
    "hed": ChannelAffineMap(HED["legacy"], np.array([1.05, 0.95, 1.02]), np.array([0.03, -0.02, 0.01])),
    "hed current": ChannelAffineMap(HED["current"], np.array([1.05, 0.9, 1.02]), np.array([0.003, -0.002, 0.001])),
    "transport": TransportMap(REVERSIBLE, AFFINE, np.array([0.1, -0.05, 0.02])),
    "transport far": TransportMap(REVERSIBLE, 9 * AFFINE - 4, np.array([-0.5, 3.0, 0.0])),
    "transport staintools": TransportMap(STAINTOOLS_DENSITY, AFFINE, np.array([0.1, 0.05, 0.02])),
    "transport levels": TransportMap(Levels(), AFFINE, np.array([12.0, -20.0, 5.0])),
    "curves": CurveMap(np.sort(np.random.default_rng(1).random((3, 256)))),
    "few nodes": CurveMap(np.random.default_rng(2).random((3, 2))),
    "hsv": HSVMap(0.07, -0.2),
    "hsv fuller": HSVMap(-0.4, 0.3),
    "tetrahedral": Lut3DMap(TABLE),
    "trilinear": Lut3DMap(TABLE, "trilinear", ((0.1, 0.0, -0.1), (0.9, 1.0, 1.1))),
}
"""Maps with a kernel of their own."""

OTHERS = {
    "l-alpha-beta": ChannelAffineMap(LAlphaBeta(), np.array([0.9, 1.1, 1.2]), np.array([0.1, -0.01, 0.02])),
    "least squares": NonnegativeStainMap(
        LeastSquares(STAINS, positive=True), REFERENCE_STAIN_MATRIX, OpticalDensity(), OpticalDensity()
    ),
}
"""Maps without: each color is evaluated once."""

laws = settings(few, suppress_health_check=[HealthCheck.function_scoped_fixture])
"""The instruction set stays the same from example to example."""

images = he_images() | odd_images()
fused = st.sampled_from(sorted(FUSED))


EMULATED = os.environ.get("STAINXFORM_TEST_EMULATED", "").split()
"""The command that runs the kernels of another machine, from .ci/native; then these are tested in the place of ours."""

of_this_machine = pytest.mark.skipif(bool(EMULATED), reason="other kernels are tested")


@pytest.fixture(scope="module", autouse=True)
def _library():
    if not EMULATED:
        yield
        return
    library = EmulatedLibrary(EMULATED)
    with native.using(library):
        yield
    library.close()
    assert library.calls.keys() == KERNELS.keys()  # all of this file ran, and left none out


@pytest.fixture(params=["baseline"] if EMULATED else native.available())
def variant(request):
    if EMULATED:
        yield request.param
        return
    with native.using(request.param):
        assert native.active() == request.param
        yield request.param


def definition(color_map, image):
    """The float64 result in [0, 1] of 8-bit pixels ``(H, W, 3)``."""
    return np.moveaxis(np.clip(color_map.evaluate(np.moveaxis(image, -1, 0) / 255.0), 0, 1), 0, -1)


@laws
@given(image=images, name=fused)
def test_fused_maps_are_within_a_level_of_the_float64_definition(variant, image, name):
    color_map = FUSED[name]
    assert color_map.kernel is not None
    exact = definition(color_map, image) * 255
    result = color_map(image)
    # Half a level by rounding, the rest by float32: next to black a density has no upper end.
    assert np.abs(result - exact).max() <= 0.5 + 5e-3


@laws
@given(image=images, name=fused, high=st.sampled_from([1.0, 255.0]))
def test_fused_maps_of_floats_agree_with_the_float64_definition(variant, image, name, high):
    floats = image.astype(np.float32) / np.float32(255 / high)
    result = FUSED[name](floats, value_range=(0, high)) / high
    # Hue turns about gray: where a color is within float32 of it, so is what it turns to.
    np.testing.assert_allclose(result, definition(FUSED[name], image), atol=2e-5)


def lit(image):
    """The same from the level 180 on: glass, tissue, and mostly what is between."""
    return (180 + image / 255 * 75).astype(np.uint8)


@laws
@given(
    image=images,
    seed=st.integers(0, 999),
    spread=st.sampled_from([0.0, 0.1, 3.0]),
    space=st.sampled_from(["od", "rgb"]),
)
def test_transport_agrees_with_its_definition_near_glass(variant, image, seed, spread, space):
    rng = np.random.default_rng(seed)
    unit = 1 if space == "od" else 100
    color_map = TransportMap(
        SPACES[space], np.eye(3) + rng.normal(0, spread, (3, 3)), rng.normal(0, spread / 3, 3) * unit
    )
    for pixels in (image, lit(image)):
        exact = definition(color_map, pixels)
        assert np.abs(color_map(pixels) - exact * 255).max() <= 0.5 + 1e-3
        np.testing.assert_allclose(color_map(pixels.astype(np.float32) / np.float32(255)), exact, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in FUSED if name.startswith("transport") and "staintools" not in name])
def test_transport_keeps_glass_to_the_last_bit(variant, name):
    """All colors whose channels are all light enough."""
    levels = np.arange(243, 256, dtype=np.uint8)
    glass = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(13, -1, 3)
    assert np.array_equal(FUSED[name](glass), glass)
    assert not np.array_equal(FUSED[name](glass - 60), glass - 60)


def test_transport_by_factors_and_without(variant):
    """What a product of floats cannot hold is computed as floats are."""
    names = ("transport", "transport far", "transport staintools")
    assert [FUSED[name].kernel._factors() is not None for name in names] == [True, False, True]


def test_a_map_that_was_used_is_pickled_as_one_that_was_not(variant):
    for name in ("transport", "transport levels"):
        fresh = pickle.dumps(replace(FUSED[name]))
        color_map = pickle.loads(fresh)
        result = color_map(he_image(0))
        assert pickle.dumps(color_map) == fresh
        assert np.array_equal(pickle.loads(pickle.dumps(color_map))(he_image(0)), result)
    assert pickle.loads(pickle.dumps(FUSED["transport"].kernel)).matrix.shape == (3, 3)


@laws
@given(image=images, name=st.sampled_from(sorted(OTHERS)))
def test_maps_without_a_kernel_are_bit_equal_to_the_plain_path(variant, image, name):
    result = OTHERS[name](image)
    with native.using("off"):
        assert np.array_equal(result, OTHERS[name](image))


def views(image):
    """The same pixels in other memory: each a function of the array, and the axis of its channels."""
    planes = np.ascontiguousarray(np.moveaxis(image, -1, 0))
    wide = np.zeros((*image.shape[:2], 5), image.dtype)
    wide[..., 1:4] = image
    every_other = np.zeros((image.shape[0] * 2, image.shape[1] * 3, 3), image.dtype)
    every_other[::2, ::3] = image
    return {
        "interleaved": (image, -1),
        "planar": (planes, -3),
        "padded pixels": (wide[..., 1:4], -1),
        "every other": (every_other[::2, ::3], -1),
        "rows upside down": (np.ascontiguousarray(image[::-1])[::-1], -1),
        "columns mirrored": (np.ascontiguousarray(image[:, ::-1])[:, ::-1], -1),
        "channels reversed": (np.ascontiguousarray(image[..., ::-1])[..., ::-1], -1),
        "planes transposed": (np.ascontiguousarray(planes.swapaxes(1, 2)).swapaxes(1, 2), -3),
    }


@laws
@given(image=images, name=fused | st.sampled_from(sorted(OTHERS)), floats=st.booleans())
def test_memory_layout_does_not_show_and_the_input_is_not_written(image, name, floats):
    color_map = (FUSED | OTHERS)[name]
    image = image.astype(np.float32) / 255 if floats else image
    expected = color_map(image)
    for title, (array, axis) in views(image).items():
        before = array.copy()
        result = np.moveaxis(color_map(array, channel_axis=axis), axis, -1)
        assert np.array_equal(result, expected), title
        assert np.array_equal(array, before), title


@laws
@given(image=he_images(2, 90), name=fused, floats=st.booleans(), cut=st.floats(0.01, 0.99), axis=st.integers(0, 1))
def test_a_tile_is_a_part_of_the_whole_bit_for_bit(image, name, floats, cut, axis):
    image = image.astype(np.float32) / 255 if floats else image
    at = max(1, int(cut * image.shape[axis]))
    parts = [FUSED[name](np.ascontiguousarray(part)) for part in np.split(image, [at], axis)]
    assert np.array_equal(np.concatenate(parts, axis), FUSED[name](image))


@pytest.mark.parametrize("threads", [2, 3, 7])
@pytest.mark.parametrize("name", sorted(FUSED | OTHERS))
@pytest.mark.parametrize("shape", [(1, 5000), (61, 37), (3000, 1)])
def test_the_number_of_threads_does_not_show(threads, name, shape):
    color_map, planes = (FUSED | OTHERS)[name], np.moveaxis(he_image(3, *shape), -1, 0)

    def applied(threads):
        out = np.empty_like(planes)
        if name in FUSED:
            color_map.kernel(planes, out, 0.0, 255.0, threads=threads)
        else:
            kernels.recolor(planes, out, lambda levels: 255 - levels, threads=threads)
        return out, *kernels.color_counts(planes, threads)

    for found, alone in zip(applied(threads), applied(1)):
        assert np.array_equal(found, alone)


def test_threads_are_as_many_as_allowed_and_worth_it():
    native.set_threads(3)
    try:
        assert [native.threads_for(pixels) for pixels in (1, 1 << 19, 1 << 20, 1 << 30)] == [1, 1, 2, 3]
        with native.one_thread():
            assert native.threads_for(1 << 30) == 1
    finally:
        native.set_threads(0)


@pytest.mark.parametrize("shape", [(0, 4, 3), (4, 0, 3), (0, 3, 3, 3), (2, 0, 5, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("name", sorted(FUSED | OTHERS))
def test_images_without_pixels_stay_empty(shape, dtype, name):
    result = (FUSED | OTHERS)[name](np.zeros(shape, dtype))
    assert (result.shape, result.dtype) == (shape, dtype)


@laws
@given(images)
def test_colors_are_counted_as_numpy_does(image):
    with native.using("off"):
        plain = ColorHistogram.of(image)
    counted = ColorHistogram.of(image)
    assert np.array_equal(counted.levels, plain.levels)
    assert np.array_equal(counted.counts, plain.counts)


def test_noise_of_all_colors_is_counted_twice_alike():
    """More colors than a thread keeps counters for: they are given back, and got anew."""
    image = np.random.default_rng(0).integers(0, 256, (1024, 1024, 3), np.uint8)
    first, tissue, second = ColorHistogram.of(image), ColorHistogram.of(he_image(0)), ColorHistogram.of(image)
    assert (first.total, tissue.total) == (1 << 20, 24 * 24)
    assert np.array_equal(first.levels, second.levels)
    assert np.array_equal(first.counts, second.counts)


values = hnp.arrays(np.float64, st.integers(1, 300), elements=st.floats(-1e3, 1e3))


@laws
@given(values=values, seed=st.integers(0, 99), percents=st.lists(st.floats(0, 100), min_size=1, max_size=4))
def test_percentiles_are_those_of_the_repeated_values(values, seed, percents):
    counts = np.random.default_rng(seed).integers(0, 5, values.size)
    assume(counts.any())
    expected = np.percentile(np.repeat(values, counts), percents)
    found = kernels.percentiles(values, counts, tuple(percents))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("values", [[3.0, 3.0, 3.0], [1e300, -1e300, 0.0], [5e-324, 0.0, 1e-310], [7.0]])
def test_percentiles_of_extreme_values(values):
    values = np.array(values)
    found = kernels.percentiles(values, np.ones(values.size, np.int64), (0.0, 50.0, 100.0))
    np.testing.assert_array_equal(found, [values.min(), np.median(values), values.max()])


plain_spaces = st.sampled_from([OpticalDensity(), STAINTOOLS_DENSITY, BackgroundDensity((240.0, 235.0, 251.0))])
leasts = st.sampled_from([-np.inf, 0.15, 0.4])


@laws
@given(image=images, space=plain_spaces, least=leasts, centered=st.booleans())
def test_moments_of_densities_agree_with_numpy(variant, image, space, least, centered):
    histogram = ColorHistogram.of(image)
    total, second = Densities(histogram, space, histogram.counts, least).second_moments(centered)
    with native.using("off"):
        plain_total, plain = Densities(histogram, space, histogram.counts, least).second_moments(centered)
    assert total == plain_total
    np.testing.assert_allclose(second, plain, rtol=1e-9, atol=1e-12)


@laws
@given(image=images, least=leasts, seed=st.integers(0, 99), percent=st.floats(0, 100))
def test_angles_of_densities_agree_with_numpy(variant, image, least, seed, percent):
    histogram = ColorHistogram.of(image)
    densities = Densities(histogram, OpticalDensity(), histogram.counts, least)
    assume(densities.second_moments(False)[0])
    plane = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 2)))[0]
    (found,) = densities.angle_percentiles(plane, (percent,))
    with native.using("off"):
        (plain,) = Densities(histogram, OpticalDensity(), histogram.counts, least).angle_percentiles(plane, (percent,))
    # The mean of two neighbors across the branch cut is not defined: there any turn serves.
    assert np.cos(found - plain) == pytest.approx(1, abs=1e-9)


@laws
@given(x=st.floats(-9, 9), y=st.floats(-9, 9))
def test_directions_are_ordered_as_arctan2_does(x, y):
    """One color in a plane of its own: its angle comes back."""
    assume(abs(x) + abs(y) > 1e-3 and (y != 0 or x > 0))  # sums lose the sign of zero
    levels, tables = np.zeros((3, 1), np.uint8), np.zeros((3, 256))
    tables[:, 0] = x, y, 0
    colors = kernels.Colors(levels, np.ones(1, np.int64), tables, -np.inf)
    (found,) = kernels.level_angle_percentiles(colors, np.eye(3, 2), (50.0,))
    assert found == pytest.approx(np.arctan2(y, x), abs=1e-12)


@laws
@given(image=images, percent=st.floats(0, 100), separation=st.sampled_from([LASSO, LeastSquares(STAINS)]))
def test_percentiles_of_amounts_agree_with_numpy(variant, image, percent, separation):
    histogram = ColorHistogram.of(image)
    densities = Densities(histogram, STAINTOOLS_DENSITY, histogram.counts)
    found = densities.amount_percentiles(separation, percent)
    with native.using("off"):
        plain = Densities(histogram, STAINTOOLS_DENSITY, histogram.counts).amount_percentiles(separation, percent)
    np.testing.assert_allclose(found, plain, atol=1e-9)


@laws
@given(image=images, centered=st.booleans())
def test_moments_agree_with_numpy(variant, image, centered):
    histogram = ColorHistogram.of(image)
    od = histogram.values(OpticalDensity())
    mean, second = kernels.moments(od, histogram.counts, None if centered else np.zeros(3))
    pixels = np.repeat(od, histogram.counts, axis=1)
    deviation = pixels - pixels.mean(axis=1, keepdims=True) * centered
    np.testing.assert_allclose(mean, pixels.mean(axis=1), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(second, deviation @ deviation.T / pixels.shape[1], rtol=1e-9, atol=1e-12)


@laws
@given(image=images, penalty=st.sampled_from([0.0, 0.01, 0.1]))
def test_lasso_amounts_agree_with_numpy(variant, image, penalty):
    histogram = ColorHistogram.of(image)
    od = histogram.values(STAINTOOLS_DENSITY)
    lasso = NonnegativeLasso(STAINS, penalty)
    with native.using("off"):
        amounts = lasso(od)
    np.testing.assert_allclose(lasso(od), amounts, atol=1e-12)


@laws
@given(image=he_images(), penalty=st.sampled_from([0.02, 0.1]), steps=st.integers(1, 12))
def test_steps_of_the_factorization_agree_with_numpy(variant, image, penalty, steps):
    histogram = ColorHistogram.of(image)
    od, weights = histogram.values(STAINTOOLS_DENSITY), histogram.counts / histogram.total
    atoms, mean = kernels.factorize(STAINS, od, weights, penalty, 0.0, COLLINEAR, steps)
    with native.using("off"):
        plain_atoms, plain_mean = factorization._minimize(STAINS, od, weights, penalty, tolerance=0.0, max_steps=steps)
    np.testing.assert_allclose(atoms, plain_atoms, atol=1e-9)
    np.testing.assert_allclose(mean, plain_mean, atol=1e-9)


@laws
@given(image=images, seed=st.integers(0, 9), widths=st.lists(st.integers(1, 64), max_size=2))
def test_a_network_is_the_plain_one_bit_for_bit(variant, image, seed, widths):
    rng, widths = np.random.default_rng(seed), [3, *widths, 3]
    layers = [(rng.normal(0, 0.5, (b, a)), rng.normal(0, 0.1, b)) for a, b in pairwise(widths)]
    planes = np.moveaxis(image / 255.0, -1, 0)
    found = PointwiseNetMap(tuple(layers)).evaluate(planes)
    with native.using("off"):
        assert np.array_equal(found, PointwiseNetMap(tuple(layers)).evaluate(planes))


def test_every_gray_and_many_colors_in_lab(variant):
    levels = np.concatenate(
        [np.tile(np.arange(256), (3, 1)), np.random.default_rng(0).integers(0, 256, (3, 5000))], axis=1
    ).astype(np.uint8)
    np.testing.assert_allclose(kernels.lab_of_levels(levels), CIELab().from_rgb(levels / 255.0), atol=1e-9)


@laws
@given(image=images, weights=st.sampled_from([(1 / 3, 1 / 3, 1 / 3), (0.299, 0.587, 0.114), (0.0, 0.0, 1.0)]))
def test_gray_levels_are_rounded_weighted_means(variant, image, weights):
    exact = image @ np.array(weights)
    found = kernels.gray_levels(np.moveaxis(image, -1, 0), 0.0, 255.0, weights)
    assert np.abs(found - exact).max() <= 0.5 + 1e-4


@laws
@given(seed=st.integers(0, 999), shape=st.tuples(st.integers(1, 30), st.integers(1, 30)), nodes=st.integers(2, 5))
def test_gray_tables_are_linear_in_the_context(variant, seed, shape, nodes):
    rng = np.random.default_rng(seed)
    table = rng.random((256, nodes, 4), np.float32)
    gray, context = rng.integers(0, 256, shape, np.uint8), rng.uniform(-0.2, 1.2, shape).astype(np.float32)
    context.flat[0] = rng.choice([0, 1, 0.5])
    out = np.empty((3, *shape), np.float32)
    kernels.gray_lut(table, gray, context, out, 0.0, 1.0)
    knots = np.arange(nodes) / (nodes - 1)
    for c in range(3):
        expected = [np.interp(at, knots, table[level, :, c]) for level, at in zip(gray.flat, context.flat)]
        np.testing.assert_allclose(out[c].flat, expected, atol=1e-6)


@laws
@given(image=images)
def test_halves_are_those_of_numpy_bit_for_bit(variant, image):
    assert np.array_equal(kernels.halve(image), halve_plainly(image))


@laws
@given(image=images, high=st.sampled_from([1.0, 255.0]), off=st.booleans())
def test_floats_become_levels_if_all_are_on_the_grid(variant, image, high, off):
    planes = np.moveaxis(image, -1, 0).astype(np.float32) / np.float32(255 / high)
    if off:
        planes[1, -1, -1] = high * 0.501 / 255
    levels = kernels.to_levels(planes, 0.0, high, 1e-3)
    assert levels is None if off else np.array_equal(levels, np.moveaxis(image, -1, 0))


@laws
@given(image=images, smallest=st.integers(0, 255), largest=st.integers(0, 255))
def test_counts_of_levels_are_those_of_numpy(variant, image, smallest, largest):
    levels, counts = kernels.color_counts(np.moveaxis(image, -1, 0))
    found = kernels.channel_counts(levels, counts)
    assert all(np.array_equal(found[c], np.bincount(image[..., c].ravel(), minlength=256)) for c in range(3))
    wanted = (image.min(axis=-1) <= smallest) & (image.max(axis=-1) >= largest)
    assert kernels.count_between(levels, counts, smallest, largest) == wanted.sum()
    assert kernels.mean_level(np.moveaxis(image, -1, 0)) == pytest.approx(image.mean(), rel=1e-12)


@laws
@given(seed=st.integers(0, 999), shape=st.tuples(st.integers(1, 9), st.integers(1, 40)), nodes=st.integers(2, 5))
def test_tables_with_a_context_are_linear_in_all_four(variant, seed, shape, nodes):
    rng = np.random.default_rng(seed)
    depth = int(rng.integers(2, 5))
    table = rng.random((depth, nodes, nodes, nodes, 4), np.float32)
    context, planes = rng.random(shape, np.float32), rng.random((3, *shape), np.float32)
    out = np.empty_like(planes)
    kernels.lut4d(table, context, planes, out)
    axes = [np.linspace(0, 1, n) for n in table.shape[:4]]
    wanted = interpn(axes, table[..., :3].astype(float), np.stack([context, *planes], axis=-1))
    np.testing.assert_allclose(np.moveaxis(out, 0, -1), wanted, atol=2e-6)


def convolved(x, weight):
    """``(H, W, in)`` by taps ``(9, in, out)``, zeros outside."""
    rows, columns = x.shape[:2]
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    return sum(padded[t // 3 : t // 3 + rows, t % 3 : t % 3 + columns] @ weight[t] for t in range(9))


def encoded(net, gray):
    """What the Encoder computes, in float64, as it is written down."""

    def normalized(x, layer):
        x = np.where(x > 0, x, 0.2 * x)
        mean = x.mean(axis=(0, 1)) if net.mean is None else net.mean[layer]
        variance = x.var(axis=(0, 1)) if net.variance is None else net.variance[layer]
        return (x - mean) / np.sqrt(variance + net.epsilon) * net.gain[layer] + net.shift[layer]

    first = x = normalized(convolved(gray[..., None] / 255, net.first[:, None].astype(float)) + net.biases[0], 0)
    for layer in range(1, 4):
        x = normalized(convolved(x, net.middle[layer - 1].astype(float)) + net.biases[layer], layer)
    return 1 / (1 + np.exp(-convolved(x + first, net.last[..., None].astype(float))[..., 0] - net.last_bias))


@laws
@given(seed=st.integers(0, 99), shape=st.tuples(st.integers(1, 40), st.integers(1, 40)), fixed=st.booleans())
def test_the_encoder_is_what_is_written_down(variant, seed, shape, fixed):
    rng = np.random.default_rng(seed)
    gray = rng.integers(0, 256, shape, np.uint8)

    def normal(*shape, scale=0.1):
        return rng.normal(0, scale, shape).astype(np.float32)

    net = kernels.EncoderKernel(
        first=normal(9, 16), middle=normal(3, 9, 16, 16), last=normal(9, 16), biases=normal(4, 16), last_bias=0.1,
        gain=1 + normal(4, 16), shift=normal(4, 16), epsilon=1e-3,
        mean=normal(4, 16) if fixed else None, variance=(1 + normal(4, 16)) if fixed else None,
    )  # fmt: skip
    np.testing.assert_allclose(net(gray, False), encoded(net, gray), atol=1e-4)


def test_normalizers_agree_with_and_without_kernels(variant):
    ours, theirs = he_image(1, 64, 64), he_image(7, 50, 41)
    for name in CLASSICAL:
        fast = sx.fit_center([ours], name)(theirs)
        with native.using("off"):
            plain = sx.fit_center([ours], name)(theirs)
        assert np.abs(fast.astype(int) - plain).max() <= 1, name


CLASSICAL = [name for name, method in sx.methods().items() if not method.extra]


@pytest.mark.parametrize("name", CLASSICAL)
def test_a_map_outlives_the_memory_in_which_it_was_estimated(name):
    ours, theirs, others = he_image(1, 64, 64), he_image(7, 50, 41), he_image(9, 80, 70)
    normalizer = sx.fit_center([ours], name)
    color_map = normalizer.map_for(theirs)
    before = color_map(theirs)
    for image in (others, ours):
        normalizer.map_for(image)
    assert np.array_equal(color_map(theirs), before)


def test_scratch_memory_is_handed_out_once_and_ends_with_the_block():
    with native.scratch():
        first, second = native.empty((3, 1000)), native.empty((7,), np.uint8)
        with native.scratch():
            third = native.empty((5, 5), np.int64)
        fourth = native.empty((native.SCRATCH,), np.uint8)  # does not fit: an array of its own
        arrays = [first, second, third, fourth]
        for value, array in enumerate(arrays):
            array[...] = value
        assert all((array == value).all() for value, array in enumerate(arrays))
        assert fourth.base is None
        assert first.base is not None
    assert native.empty((3, 4)).base is None


def _in_a_worker(image):
    return native.threads_for(1 << 24), FUSED["veta"](image)


@of_this_machine
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_workers_forked_after_use_have_one_thread_and_the_same_pixels():
    image = he_image(0, 60, 60)
    expected = FUSED["veta"](image)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for threads, result in pool.map(_in_a_worker, [image] * 4):
            assert threads == 1
            assert np.array_equal(result, expected)


def run(setting, code):
    environment = os.environ | {"STAINXFORM_NATIVE": setting}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)


@of_this_machine
def test_the_environment_chooses_the_kernels():
    code = "from stainxform._native import native; print(native.active() or 'none')"
    assert run("off", code).stdout.strip() == "none"
    for name in native.available():
        assert run(name, code).stdout.strip() == name
    assert "STAINXFORM_NATIVE must be one of off, " in run("mmx", code).stderr


@pytest.mark.parametrize("threads", [-1, 1.5, "2"])
def test_threads_are_whole_numbers(threads):
    with pytest.raises(ParameterError, match="threads must be a whole number"):
        native.set_threads(threads)


@pytest.mark.parametrize("threads", [1, 3])
def test_results_come_in_order_whatever_the_threads_and_items_are_taken_as_needed(threads):
    taken = []

    def items():
        for number in range(20):
            taken.append(number)
            yield number

    native.set_threads(threads)
    try:
        results = native.each_in_order(lambda number: (number, native.threads_for(1 << 30)), items())
        assert next(results) == (0, 1)
        assert len(taken) <= 2 * threads + 1
        assert [number for number, _ in results] == list(range(1, 20))
        with pytest.raises(ZeroDivisionError):
            list(native.each_in_order(lambda number: 1 / number, items()))
    finally:
        native.set_threads(0)
