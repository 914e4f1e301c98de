import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from references import color as reference
from strategies import laws

from stainxform.color import GRAY_WEIGHTS, BackgroundDensity, CIELab, LAlphaBeta, OpticalDensity, gray, mix

SPACES = [OpticalDensity(), OpticalDensity(io=255, offset=0.5), BackgroundDensity(), CIELab(), LAlphaBeta()]
space_law = pytest.mark.parametrize("space", SPACES, ids=lambda space: type(space).__name__)


def planes(low=0.0, dtype=np.float64):
    width = 32 if dtype == np.float32 else 64
    elements = st.floats(float(dtype(low)), 1, width=width)
    return st.integers(1, 40).flatmap(lambda n: arrays(dtype, (3, n), elements=elements))


@laws
@given(planes(low=1 / 255), st.floats(200, 255))
def test_od_round_trip_without_offset_is_the_identity(rgb, io):
    space = OpticalDensity(io=io, offset=0)
    np.testing.assert_allclose(space.to_rgb(space.from_rgb(rgb)), rgb, atol=1e-14)


@laws
@given(planes(), st.floats(200, 255))
def test_od_round_trip_with_the_published_offset_adds_one_level(rgb, io):
    space = OpticalDensity(io=io, offset=1)
    np.testing.assert_allclose(space.to_rgb(space.from_rgb(rgb)), rgb + 1 / 255, atol=1e-14)


@laws
@given(planes())
def test_lab_round_trip_is_the_identity(rgb):
    # 1e-6: the sRGB standard's two knees (.04045 and .0031308) meet only to that.
    np.testing.assert_allclose(CIELab().to_rgb(CIELab().from_rgb(rgb)), rgb, atol=1e-6)


@laws
@given(planes(low=0.005))
def test_lalphabeta_round_trip_is_the_identity_above_the_floor(rgb):
    np.testing.assert_allclose(LAlphaBeta().to_rgb(LAlphaBeta().from_rgb(rgb)), rgb, atol=1e-12)


@laws
@given(planes())
def test_spaces_equal_their_standards(rgb):
    pixels = rgb.T
    np.testing.assert_allclose(CIELab().from_rgb(rgb).T, reference.cielab_from_rgb(pixels), atol=1e-10)
    np.testing.assert_allclose(LAlphaBeta().from_rgb(rgb).T, reference.lalphabeta_from_rgb(pixels), atol=1e-12)
    lab = reference.cielab_from_rgb(pixels)
    np.testing.assert_allclose(CIELab().to_rgb(lab.T).T, reference.rgb_from_cielab(lab), atol=1e-10)
    lab = reference.lalphabeta_from_rgb(pixels)
    np.testing.assert_allclose(LAlphaBeta().to_rgb(lab.T).T, reference.rgb_from_lalphabeta(lab), atol=1e-10)


@laws
@given(planes())
def test_lab_equals_scikit_image(rgb):
    from skimage.color import lab2rgb, rgb2lab

    lab = CIELab().from_rgb(rgb)
    # scikit-image rounds the constants of the linear part (7.787, .008856): up to 1e-4 in colors darker than L* = 8.
    np.testing.assert_allclose(lab.T, rgb2lab(rgb.T), atol=2e-4)
    np.testing.assert_allclose(CIELab().to_rgb(lab).clip(0, 1).T, lab2rgb(lab.T), atol=1e-5)


def test_white_is_white_and_black_is_black():
    ends = np.array([[0.0, 1.0]] * 3)
    lightness, *chroma = CIELab().from_rgb(ends)
    np.testing.assert_allclose(lightness, [0, 100], atol=1e-4)
    np.testing.assert_allclose(chroma, 0, atol=0.01)  # the six-digit matrix does not sum to D65 exactly
    assert np.isfinite([space.from_rgb(ends) for space in SPACES]).all()


@space_law
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-11), ("float32", 1e-4)])
def test_torch_equals_numpy(space, dtype, tolerance):
    torch = pytest.importorskip("torch")
    rgb = np.random.default_rng(0).random((3, 50, 7)).astype(dtype)
    values = space.from_rgb(torch.from_numpy(rgb))
    assert isinstance(values, torch.Tensor)
    assert values.dtype == getattr(torch, dtype)
    np.testing.assert_allclose(values.numpy(), space.from_rgb(rgb), atol=tolerance)
    np.testing.assert_allclose(space.to_rgb(values).numpy(), space.to_rgb(values.numpy()), atol=tolerance)


@space_law
@laws
@given(rgb=planes(dtype=np.float32), cut=st.integers(1, 39))
def test_batching_changes_no_bit(space, rgb, cut):
    values = space.from_rgb(rgb)
    assert np.array_equal(space.from_rgb(rgb[:, :cut].copy()), values[:, :cut])
    assert np.array_equal(space.to_rgb(values[:, :cut].copy()), space.to_rgb(values)[:, :cut])


@space_law
def test_dtype_is_kept_and_input_untouched(space):
    for dtype in (np.float32, np.float64):
        rgb = np.random.default_rng(0).random((3, 9)).astype(dtype)
        rgb.setflags(write=False)
        assert space.from_rgb(rgb).dtype == space.to_rgb(space.from_rgb(rgb)).dtype == dtype


@space_law
def test_maps_far_out_of_gamut_stay_finite(space):
    far = np.array([[-1e4], [1e4], [-1e4]], np.float32)
    assert np.isfinite(space.to_rgb(far)).all()


@laws
@given(planes())
def test_gray_is_bt601_and_keeps_gray(rgb):
    np.testing.assert_allclose(gray(rgb), np.tensordot([0.299, 0.587, 0.114], rgb, 1), atol=1e-15)
    np.testing.assert_allclose(gray(np.stack([rgb[0]] * 3)), rgb[0], atol=1e-15)
    assert sum(GRAY_WEIGHTS) == pytest.approx(1)


@laws
@given(planes(), arrays(np.float64, (3, 3), elements=st.floats(-5, 5)))
def test_mix_is_the_matrix_product(rgb, matrix):
    np.testing.assert_allclose(mix(matrix, rgb), matrix @ rgb, atol=1e-13)
