"""Every registered method, in every host, with every dtype, value range and memory layout."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from contracts import CASES, HOSTS, PIXELS, UNIT, Everything, Options, arrange
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stainxform.errors import InvalidImageError, NotEnoughTissueError, StainXformWarning
from stainxform.image.layout import as_numpy
from stainxform.testing import in_range, memory_layouts

each_host = pytest.mark.parametrize("host", HOSTS, ids=str)


@pytest.fixture(scope="session")
def expected(normalizer, tiles):
    """The direct results for single contiguous numpy images, by dtype and range: what every host must give."""
    return {
        (dtype, value_range): np.stack(
            [normalizer(in_range(tile, dtype, value_range), value_range=value_range) for tile in tiles[1][:2]]
        )
        for dtype, value_range in PIXELS
    }


@pytest.mark.parametrize(("host", "layout", "dtype", "value_range"), CASES, ids=str)
def test_hosts_agree_and_keep_what_they_are_given(normalizer, tiles, expected, host, layout, dtype, value_range):
    array = arrange(in_range(tiles[1][:2], dtype, value_range), layout)
    wanted = arrange(expected[dtype, value_range], layout)
    transform = host.transform(normalizer, Options(value_range, -3 if layout.endswith("CHW") else -1))
    memory = memory_layouts(array, numpy=host.numpy)
    for name in ["strided"] if layout.startswith("N") else memory:
        image = host.wrap(memory[name])
        result = transform(image)
        assert type(result) is type(image), name
        assert (result.dtype, result.shape) == (image.dtype, image.shape), name
        assert getattr(result, "device", None) == getattr(image, "device", None), name
        assert getattr(result, "meta", {}).get("filename_or_obj") == getattr(image, "meta", {}).get("filename_or_obj")
        np.testing.assert_array_equal(as_numpy(image), array, err_msg=f"{name}: the input was changed")
        assert not np.shares_memory(as_numpy(result), as_numpy(image)), name
        np.testing.assert_array_equal(as_numpy(result), wanted, err_msg=name)


def test_results_are_within_the_range(expected):
    for (dtype, (low, high)), images in expected.items():
        assert low <= images.min()
        assert images.max() <= (255 if dtype == "uint8" else high)


def test_float_results_differ_from_8_bit_ones_by_rounding(expected):
    eight_bit = expected["uint8", UNIT].astype(np.float64)
    for (dtype, (low, high)), images in expected.items():
        if dtype in ("float32", "float64"):
            np.testing.assert_allclose((images - low) / (high - low) * 255, eight_bit, atol=2)


BLANK = {
    "white": np.full((16, 16, 3), 255, np.uint8),
    "glass": np.full((16, 16, 3), (240, 238, 241), np.uint8),
    "black": np.zeros((16, 16, 3), np.uint8),
    "one pixel": np.full((1, 1, 3), (150, 80, 160), np.uint8),
    "few pixels": np.full((5, 6, 3), (150, 80, 160), np.uint8),
    "no rows": np.zeros((0, 4, 3), np.uint8),
    "no pixels": np.zeros((0, 0, 3), np.uint8),
}


@each_host
@pytest.mark.parametrize("name", BLANK)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_blank_images_come_back_unchanged(normalizer, host, name, dtype):
    image = in_range(BLANK[name], dtype, UNIT)
    np.testing.assert_array_equal(host(normalizer, image), image)
    with pytest.warns(StainXformWarning, match="unchanged"):
        np.testing.assert_array_equal(host(normalizer, image, on_blank="warn"), image)
    with pytest.raises(NotEnoughTissueError):
        host(normalizer, image, on_blank="raise")


@each_host
def test_a_wrong_on_blank_is_refused(macenko, tiles, host):
    with pytest.raises(ValueError, match="on_blank"):
        host(macenko, tiles[1][0], on_blank="ignore")


UNIT_NOISE = np.random.default_rng(0).random((8, 8, 3))
BRIGHTEST = UNIT_NOISE.max() == UNIT_NOISE
INVALID = {
    "NaN": np.where(BRIGHTEST, np.nan, UNIT_NOISE),
    "infinite": np.where(BRIGHTEST, -np.inf, UNIT_NOISE),
    "above the range": UNIT_NOISE * 255,
    "below the range": UNIT_NOISE - 1,
    "RGBA": np.zeros((8, 8, 4), np.uint8),
    "gray": np.zeros((8, 8), np.uint8),
    "one channel": np.zeros((8, 8, 1), np.uint8),
    "two channels": np.zeros((8, 8, 2), np.uint8),
    "no channel": np.zeros((8, 8, 0), np.uint8),
    "uint16": np.zeros((8, 8, 3), np.uint16),
    "int8": np.zeros((8, 8, 3), np.int8),
    "int64": np.zeros((8, 8, 3), np.int64),
    "bool": np.zeros((8, 8, 3), bool),
    "complex": np.zeros((8, 8, 3), np.complex64),
}


@each_host
@pytest.mark.parametrize("name", INVALID)
def test_what_is_no_rgb_image_is_refused(macenko, host, name):
    with pytest.raises(InvalidImageError):
        host(macenko, INVALID[name])


@pytest.mark.parametrize("name", INVALID)
def test_every_method_refuses_what_is_no_rgb_image(normalizer, name):
    with pytest.raises(InvalidImageError):
        normalizer(INVALID[name])


@pytest.mark.parametrize("shape", [(0, 8, 8, 3), (2, 0, 8, 3), (0, 0, 0, 3)], ids=str)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_empty_batches_are_allowed(normalizer, shape, dtype):
    batch = np.zeros(shape, dtype)
    assert normalizer(batch).shape == shape
    tensor = torch.from_numpy(np.moveaxis(batch, -1, 1))
    assert normalizer(tensor).shape == tensor.shape


def test_a_blank_image_does_not_touch_the_others_of_its_batch(normalizer, tiles):
    batch = tiles[1].copy()
    batch[1] = 255
    result = normalizer(batch)
    np.testing.assert_array_equal(result[1], batch[1])
    for i in (0, 2):
        np.testing.assert_array_equal(result[i], normalizer(batch[i]))


def test_batches_may_have_several_axes(normalizer, tiles):
    batch = tiles[1][:2].reshape(2, 1, *tiles[1].shape[1:])
    np.testing.assert_array_equal(normalizer(batch)[:, 0], normalizer(batch[:, 0]))
    tensor = torch.from_numpy(np.moveaxis(batch, -1, -3).copy())
    np.testing.assert_array_equal(np.moveaxis(normalizer(tensor).numpy(), -3, -1), normalizer(batch))


@st.composite
def images_of_few_colors(draw):
    index = draw(hnp.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3)))
    return draw(hnp.arrays(np.uint8, (4, 3)))[index]


@settings(max_examples=30, deadline=None)
@given(image=images_of_few_colors(), as_float=st.booleans())
def test_every_rgb_image_is_normalized_or_kept(normalizer, image, as_float):
    image = in_range(image, "float32", UNIT) if as_float else image
    result = normalizer(image)
    assert (result.shape, result.dtype) == (image.shape, image.dtype)
    try:
        np.testing.assert_array_equal(result, normalizer(image, on_blank="raise"))
    except NotEnoughTissueError:
        np.testing.assert_array_equal(result, image)


@each_host
def test_a_call_leaves_no_trace(normalizer, tiles, host):
    transform = host.transform(normalizer, Options())
    first, second = (host.wrap(arrange(tile[None], host.layouts[0])) for tile in tiles[1][:2])
    before = pickle.dumps(transform)
    results = [as_numpy(transform(image)) for image in (first, second, first)]
    np.testing.assert_array_equal(results[0], results[2])
    assert (results[0] != results[1]).any()
    if host.name != "albumentations":  # keeps the parameters of its last call
        assert pickle.dumps(transform) == before


@each_host
def test_threads_may_share_a_transform(normalizer, tiles, host):
    transform = host.transform(normalizer, Options())
    images = [host.wrap(arrange(tile[None], host.layouts[0])) for tile in tiles[1]]
    wanted = [as_numpy(transform(image)) for image in images]
    with ThreadPoolExecutor(4) as pool:
        for i, result in enumerate(pool.map(transform, images * 4)):
            np.testing.assert_array_equal(as_numpy(result), wanted[i % len(images)])


@each_host
@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_transforms_can_be_copied_and_pickled(normalizer, tiles, host, clone):
    transform = host.transform(normalizer, Options())
    image = host.wrap(arrange(tiles[1], host.layouts[0]))
    np.testing.assert_array_equal(as_numpy(clone(transform)(image)), as_numpy(transform(image)))


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_dataloader_workers_give_the_same(normalizers, tiles, start):
    everything = Everything(list(normalizers.values()), tiles[1][:2])
    loader = torch.utils.data.DataLoader(everything, batch_size=None, num_workers=2, multiprocessing_context=start)
    for i, results in enumerate(loader):
        np.testing.assert_array_equal(results, everything[i])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_images_stay_on_their_device(normalizer, tiles, expected):
    for host in (host for host in HOSTS if not host.numpy):
        for (dtype, (low, high)), images in expected.items():
            image = host.wrap(arrange(in_range(tiles[1], dtype, (low, high)), "CHW")).cuda()
            result = host.transform(normalizer, Options((low, high), -3))(image)
            assert type(result) is type(image)
            assert (result.dtype, result.shape, result.device) == (image.dtype, image.shape, image.device)
            level = 1 if dtype == "uint8" else (high - low) / 255
            wanted = arrange(images, "CHW").astype(np.float64)
            np.testing.assert_allclose(as_numpy(result).astype(np.float64), wanted, atol=level)
