"""One map for a slide: applied in tiles it gives what it gives to the whole."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import stainxform as sx
from stainxform._native import native
from stainxform.errors import NotEnoughTissueError, ParameterError
from stainxform.maps import TileMap
from stainxform.normalizers.reinhard import Reinhard
from stainxform.normalizers.stainlut.network import StainLUTNet
from stainxform.normalizers.stainlut.normalizer import StainLUT
from stainxform.tiling import apply_in_tiles


def image_of(height, width, seed=0):
    return np.random.default_rng(seed).integers(30, 210, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("method", sorted(sx.methods()))
def test_every_method_has_one_map_for_a_slide_that_leaves_no_seams(normalizers, tiles, method):
    _, theirs = tiles
    image_map = normalizers[method].map_for_tiles(theirs)
    whole = image_map(theirs[0])
    exact = method != "staingan" and native.active()

    @settings(max_examples=6, deadline=None)
    @given(tile=st.integers(1, 90))
    def law(tile):
        parts = apply_in_tiles(image_map, theirs[0], max(tile, 12) if not exact else tile)
        np.testing.assert_allclose(parts.astype(int), whole, atol=0 if exact else 1)

    law()


@pytest.fixture(scope="module", params=["instance", "running", "none"])
def stainlut(request):
    torch.manual_seed(0)
    net = StainLUTNet(size=9, encoder_norm=request.param, asymmetry=0.5)
    return StainLUT(net=net)


@settings(max_examples=20, deadline=None)
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    tile=st.integers(1, 40),
    inference=st.sampled_from(["exact", "fast"]),
)
def test_stainlut_in_tiles_is_stainlut_at_once(stainlut, height, width, tile, inference):
    one = stainlut.with_inference(inference).map_for_tiles([image_of(40, 30, 1), image_of(25, 50, 2)])
    image = image_of(height, width)
    parts = apply_in_tiles(one, image, tile).astype(int)
    np.testing.assert_allclose(parts, one(image), atol=0 if native.active() else 1)  # torch's sums depend on the shape


def test_the_map_of_a_single_tile_is_that_of_the_image(stainlut):
    image = image_of(48, 64)
    difference = stainlut.map_for_tiles([image])(image).astype(int) - stainlut(image)
    assert np.abs(difference).max() <= 1


def test_blank_tiles_do_not_count(stainlut):
    image, glass = image_of(48, 64), np.full((48, 64, 3), 250, np.uint8)
    alone, beside = (stainlut.map_for_tiles(iter(tiles))(image) for tiles in ([image], [glass, image]))
    np.testing.assert_array_equal(alone, beside)
    with pytest.raises(NotEnoughTissueError, match="blank"):
        stainlut.map_for_tiles([glass])


def test_a_map_of_the_whole_image_is_refused(stainlut):
    image = image_of(48, 64)
    if stainlut.net.encoder.norm == "instance":
        with pytest.raises(ParameterError, match="whole image"):
            apply_in_tiles(stainlut.map_for(image), image, 16)


def test_tile_by_tile_each_square_is_normalized_by_itself():
    center, image = Reinhard.fit([image_of(40, 40, 3)]), image_of(50, 70)
    image[32:, :32] = 250
    by_tile = TileMap(center, 32)
    result = by_tile(image)
    np.testing.assert_array_equal(result, apply_in_tiles(by_tile, image))
    np.testing.assert_array_equal(result[:32, 32:64], center(image[:32, 32:64]))
    np.testing.assert_array_equal(result[32:, :32], image[32:, :32])
