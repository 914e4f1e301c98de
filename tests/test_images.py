import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import LAYOUTS, he_image, laws, store, stored_images

from stainxform import Macenko
from stainxform._native import native
from stainxform.errors import InvalidImageError, ParameterError
from stainxform.image.layout import BLOCK_PIXELS, check_image, map_pixels
from stainxform.maps import ColorMap, IdentityMap, StainMatrixMap

RGB = he_image()
NOT_IMAGES = {
    "list": ([[[1, 2, 3]]], "numpy array or a torch tensor, got list"),
    "none": (None, "got NoneType"),
    "one row": (np.zeros((4, 3), np.uint8), "repeat a gray image 3 times"),
    "gray": (np.zeros((4, 5), np.uint8), "repeat a gray image 3 times"),
    "one channel": (np.zeros((4, 5, 1), np.uint8), "repeat the gray channel"),
    "RGBA": (np.zeros((4, 5, 4), np.uint8), "drop the alpha channel"),
    "channels first": (np.zeros((3, 4, 5), np.uint8), "pass channel_axis"),
    "five channels": (np.zeros((4, 6, 5), np.uint8), "red, green and blue"),
    "uint16": (RGB.astype(np.uint16), "got uint16; convert to uint8"),
    "int64": (RGB.astype(np.int64), "got int64; convert to uint8"),
    "bool": (RGB > 100, "got bool; convert to uint8"),
    "complex": (RGB.astype(np.complex64), "got complex64; convert to uint8"),
    "object": (RGB.astype(object), "got object; convert to uint8"),
    "NaN": (np.full((4, 5, 3), np.nan), "NaN or infinite"),
    "infinite": (np.full((4, 5, 3), -np.inf, np.float32), "NaN or infinite"),
    "0..255 as floats": (RGB.astype(np.float32), r"outside value_range=\(0, 1\); pass the true value_range"),
    "negative": (RGB / 255.0 - 1, r"pixel values span -\d.*outside value_range"),
}


@pytest.mark.parametrize(("image", "message"), NOT_IMAGES.values(), ids=NOT_IMAGES)
def test_what_is_no_rgb_image_is_refused_with_advice(image, message):
    with pytest.raises(InvalidImageError, match=message):
        check_image(image)


@pytest.mark.parametrize("value_range", [(0, 255), (0, 65535), (-1, 254)])
def test_fractions_under_a_wide_value_range_are_refused(value_range):
    with pytest.raises(InvalidImageError, match=r"pass value_range=\(0, 1\)"):
        check_image(RGB / 255, value_range)


@pytest.mark.parametrize("value_range", [(1, 0), (0, 0), (0, np.inf), (np.nan, 1)])
def test_an_empty_or_infinite_value_range_is_refused(value_range):
    with pytest.raises(ParameterError, match="low < high"):
        check_image(RGB / 255, value_range)


@pytest.mark.parametrize("channel_axis", [0, 1, 2, -2, 3])
def test_other_channel_axes_are_refused(channel_axis):
    with pytest.raises(ParameterError, match="channel_axis must be -1"):
        check_image(RGB, channel_axis=channel_axis)


def test_a_little_overshoot_is_clipped_and_more_is_refused():
    image = np.array([[[-0.4, 0.5, 1.4]]])
    assert IdentityMap()(image).tolist() == [[[0, 0.5, 1]]]
    with pytest.raises(InvalidImageError):
        check_image(image * 1.5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_uint8_means_0_to_255_whatever_the_value_range(layout):
    image, keywords = store(RGB, layout=layout)
    spec = check_image(image, (0, 1), **keywords)
    assert (spec.integer, spec.low, spec.high, spec.scale) == (True, 0, 255, 255)


@laws
@given(stored_images())
def test_identity_map_keeps_values_type_dtype_and_shape_and_leaves_the_input_alone(stored):
    before = stored.pixels.copy()
    result = IdentityMap()(stored.image, **stored.keywords)
    assert type(result) is type(stored.image)
    assert (result.dtype, result.shape) == (stored.image.dtype, stored.image.shape)
    assert np.array_equal(np.asarray(result), np.asarray(stored.image))
    assert np.array_equal(stored.pixels, before)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_identity_map_keeps_all_256_levels(layout):
    levels = np.stack([np.arange(256, dtype=np.uint8).reshape(16, 16)] * 3, axis=-1)
    levels[..., 1] = levels[..., 1].T
    image, keywords = store(levels, layout=layout)
    assert np.array_equal(np.asarray(IdentityMap()(image, **keywords)), np.asarray(image))


@pytest.mark.parametrize("value_range", [(0, 255), (-1, 1), (0, 65535), (-0.5, 0.5), (10, 20)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_identity_map_keeps_floats_of_any_range(value_range, dtype):
    low, high = value_range
    image = (low + RGB / 255 * (high - low)).astype(dtype)
    result = IdentityMap()(image, value_range=value_range)
    # To [0, 1] and back costs one rounding each way, in units of the width of the range.
    np.testing.assert_allclose(result, image, rtol=0, atol=4 * np.finfo(dtype).eps * max(map(abs, value_range)))


@pytest.mark.parametrize("layout", ["torch CHW", "torch NCHW"])
def test_bfloat16_tensors_come_back_as_bfloat16(layout):
    torch = pytest.importorskip("torch")
    image = store(RGB, "float32", layout).image.bfloat16()
    result = IdentityMap()(image)
    assert result.dtype == torch.bfloat16
    assert torch.equal(result, image)


STRIDES = {
    "flipped": lambda a: a[::-1],
    "mirrored": lambda a: a[:, ::-1],
    "BGR": lambda a: a[..., ::-1],
    "every other": lambda a: a[::2, 1::3],
    "transposed": lambda a: a.transpose(1, 0, 2),
    "Fortran": np.asfortranarray,
    "broadcast": lambda a: np.broadcast_to(a[:1], a.shape),
    "read-only": lambda a: np.frombuffer(a.tobytes(), np.uint8).reshape(a.shape),
}


@pytest.mark.parametrize("view", STRIDES.values(), ids=STRIDES)
def test_strides_do_not_matter(view):
    image, fixed = view(RGB), StainMatrixMap(np.eye(3) * 0.7)
    result = fixed(image)
    assert np.array_equal(result, fixed(np.array(image, order="C")))
    assert result.flags.c_contiguous
    assert result.flags.writeable


def test_channels_last_and_sliced_tensors_do_not_matter():
    torch = pytest.importorskip("torch")
    batch, fixed = torch.from_numpy(np.stack([RGB] * 2)).movedim(-1, 1), StainMatrixMap(np.eye(3) * 0.7)
    expected = fixed(batch.contiguous())
    for view in (batch, batch.contiguous(memory_format=torch.channels_last), batch.expand(2, 3, 24, 24)):
        assert torch.equal(fixed(view), expected)
    assert torch.equal(fixed(batch[..., ::2, 3:]), expected[..., ::2, 3:])


@pytest.mark.parametrize("layout", ["HWC", "NHWC", "torch CHW", "torch NCHW"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("sides", [(0, 5), (5, 0), (0, 0)])
def test_images_without_pixels_come_back_empty(layout, dtype, sides):
    image, _ = store(np.zeros((*sides, 3), np.uint8), dtype, layout)
    for function in (IdentityMap(), Macenko()):
        result = function(image)
        assert (result.shape, result.dtype) == (image.shape, image.dtype)


@pytest.mark.parametrize("shape", [(1, 2 * BLOCK_PIXELS + 3), (BLOCK_PIXELS // 7, 15), (2 * BLOCK_PIXELS, 1)])
def test_blocks_do_not_show(shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    fixed = StainMatrixMap(np.eye(3) + 0.1)
    whole = np.rint(fixed.evaluate(np.moveaxis(image, -1, 0).astype(np.float32) / 255).clip(0, 1) * 255)
    expected = np.moveaxis(whole, 0, -1).astype(np.uint8)
    with native.using("off"):
        assert np.array_equal(fixed(image), expected)
    assert np.array_equal(fixed(image), np.concatenate([fixed(row[None]) for row in image]))


@laws
@given(stored_images(), st.floats(0.3, 3))
def test_numpy_and_torch_agree_bit_for_bit(stored, factor):
    torch = pytest.importorskip("torch")
    fixed = StainMatrixMap(np.eye(3) * factor)
    image = np.moveaxis(np.asarray(stored.image), stored.axis, -1)
    tensor = torch.from_numpy(np.moveaxis(image, -1, -3).copy())
    assert np.array_equal(np.moveaxis(fixed(tensor).numpy(), -3, -1), fixed(image.copy()))


def test_results_are_rounded_to_the_nearest_level_and_clipped():
    class Constant(ColorMap):
        def evaluate(self, planes):
            return np.stack([0 * planes[0] - 0.5, 0 * planes[1] + 100.4 / 255, 0 * planes[2] + 1.5])

    assert Constant()(RGB)[0, 0].tolist() == [0, 100, 255]
    assert Constant()(RGB / 255)[0, 0].tolist() == [0, 100.4 / 255, 1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_flow_through_float_tensors(dtype):
    torch = pytest.importorskip("torch")
    plain = store(RGB, dtype, "torch CHW").image.clamp(0.1, 0.9)
    image, fixed = plain.clone().requires_grad_(), StainMatrixMap(np.eye(3) * 0.9)
    result = fixed(image)
    result.sum().backward()
    assert torch.isfinite(image.grad).all()
    assert (image.grad > 0).all()
    torch.testing.assert_close(result.detach(), fixed(plain), atol=1e-6, rtol=1e-5)


def test_identity_has_gradient_one():
    torch = pytest.importorskip("torch")
    image = torch.full((3, 4, 4), 0.25, requires_grad=True)
    IdentityMap()(image).sum().backward()
    assert (image.grad == 1).all()


@pytest.mark.parametrize(("dtype", "requires_grad"), [("uint8", False), ("float32", False), ("float32", True)])
def test_metatensor_keeps_its_meta(dtype, requires_grad):
    torch = pytest.importorskip("torch")
    MetaTensor = pytest.importorskip("monai.data").MetaTensor
    affine = torch.diag(torch.tensor([2.0, 2, 1, 1]))
    image = MetaTensor(store(RGB, dtype, "torch CHW").image, affine=affine, meta={"name": "tile 7"})
    result = IdentityMap()(image.requires_grad_() if requires_grad else image)
    assert isinstance(result, MetaTensor)
    assert result.meta["name"] == "tile 7"
    assert torch.equal(result.affine, image.affine)
    assert result.requires_grad == requires_grad
    assert torch.equal(result.as_tensor(), image.as_tensor())


def test_a_map_that_writes_into_its_planes_does_not_reach_the_input():
    image = RGB / 255
    map_pixels(image, check_image(image), lambda planes: np.multiply(planes, 0, out=planes))
    assert np.array_equal(image, RGB / 255)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_a_map_that_gives_nan_is_an_error(dtype):
    image = np.full((4, 4, 3), 1, dtype)
    with pytest.raises(ParameterError, match="gives NaN"):
        map_pixels(image, check_image(image), lambda planes: planes * np.nan)
