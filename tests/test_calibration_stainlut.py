"""What a network comes down to: the fit to all of its pixels, alignment first, mixed, in bounded memory; one calibration."""

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
from strategies import blank_image

pytest.importorskip("torch")

import stainxform as sx
from stainxform.color import ReversibleDensity
from stainxform.errors import NotEnoughTissueError, ParameterError
from stainxform.image.tissue import tissue_planes
from stainxform.maps import PolynomialFit
from stainxform.maps.polynomial import RIDGE
from stainxform.normalizers.base import CenterInfo
from stainxform.normalizers.calibration import distill
from stainxform.normalizers.calibration.distill import COLORIZED, distilled
from stainxform.normalizers.stainlut.normalizer import StainLUT
from stainxform.samples import pair

pytestmark = pytest.mark.filterwarnings("ignore:.* are few to calibrate a center")

OURS, THEIRS = pair(4, 72, seed=5)
SMALL = {"steps": 12, "crop": 32, "size": 9, "device": "cpu", "progress": False}
GAN = {"source": list(THEIRS), "steps": 2, "crop": 32, "width": 4, "blocks": 1, "pool": 2, "device": "cpu"}
DENSITY = ReversibleDensity(io=256, offset=1)


@pytest.fixture(scope="module")
def stainlut():
    return sx.fit_center(OURS, "stainlut", qc="off", **SMALL)


@pytest.fixture(scope="module")
def align():
    return sx.fit_center(OURS, "transport", qc="off").map_for_tiles(THEIRS)


def pixels(image):
    return np.moveaxis(image, -1, 0).reshape(3, -1) / 255


def test_it_is_the_fit_to_the_mean_of_aligned_and_colorized_tissue(stainlut, align):
    aligned = [align(tile) for tile in THEIRS]
    colorize = stainlut.map_for_tiles(aligned)
    before = np.concatenate([pixels(tile) for tile in aligned], axis=1)
    after = np.concatenate([pixels(colorize(tile)) for tile in aligned], axis=1)
    tissue = tissue_planes(before)
    before, after = before[:, tissue], after[:, tissue]
    mean = DENSITY.to_rgb((1 - COLORIZED) * DENSITY.from_rgb(before) + COLORIZED * DENSITY.from_rgb(after))
    plain = PolynomialFit.of(before, mean)
    found = distilled(stainlut, THEIRS, align)
    assert found.count == plain.count == tissue.sum()
    np.testing.assert_allclose(found.map(RIDGE).coefficients, plain.map(RIDGE).coefficients, atol=1e-5)
    assert found.map().limit == pytest.approx(plain.map().limit, rel=1e-5)


def test_it_comes_closer_to_the_network_than_the_aligned_tiles_are(stainlut, align):
    aligned = [align(tile) for tile in THEIRS]
    colorize, fitted = stainlut.map_for_tiles(aligned), distilled(stainlut, THEIRS, align, weight=1).map()
    wanted = np.stack([colorize(tile) for tile in aligned]).astype(float)
    left = np.abs(np.stack([fitted(tile) for tile in aligned]) - wanted).mean()
    assert left < 0.6 * np.abs(np.stack(aligned) - wanted).mean()


def test_the_weight_is_the_part_of_the_way(stainlut, align):
    none, half, all_ = (distilled(stainlut, THEIRS, align, weight=weight).map() for weight in (0, 0.5, 1))
    assert not none.coefficients.any()
    np.testing.assert_allclose(half.coefficients, all_.coefficients / 2, atol=1e-12)
    assert half.limit == pytest.approx(all_.limit / 2)


def test_without_alignment_it_is_the_network_alone(stainlut):
    alone, whole = distilled(stainlut, THEIRS), distilled(stainlut, THEIRS, None, weight=1)
    np.testing.assert_array_equal(alone.cross, whole.cross)


def test_order_of_tiles_and_blank_tiles_do_not_matter(stainlut, align):
    one = distilled(stainlut, list(THEIRS), align).map().coefficients
    other = distilled(stainlut, [blank_image(), *THEIRS[::-1]], align).map().coefficients
    np.testing.assert_allclose(other, one, atol=2e-4)  # the network sums up its statistics in single precision


def test_merging_now_and_then_changes_nothing(stainlut, align, monkeypatch):
    whole = distilled(stainlut, THEIRS, align)
    monkeypatch.setattr(distill, "_AT_ONCE", 2)
    parts = distilled(stainlut, THEIRS, align)
    np.testing.assert_allclose(parts.gram, whole.gram, rtol=1e-12)
    np.testing.assert_allclose(parts.cross, whole.cross, rtol=1e-9, atol=1e-9)


def test_one_tile_is_in_memory_at_a_time(stainlut, align):
    alive, most = [], 0

    class Tiles:
        def __iter__(self):
            nonlocal most
            for tile in THEIRS:
                made = tile.copy()
                alive.append(weakref.ref(made))
                gc.collect()
                most = max(most, sum(ref() is not None for ref in alive))
                yield made

    distilled(stainlut, Tiles(), align)
    assert 0 < most <= 2


def test_only_blank_tiles_are_refused(stainlut):
    with pytest.raises(NotEnoughTissueError, match="blank"):
        distilled(stainlut, [blank_image(), blank_image()])


def test_a_network_that_was_trained_on_both_centers_is_not_aligned():
    gan = sx.fit_center(OURS, "staingan", qc="off", **GAN)
    assert distilled(gan, THEIRS).count > 0
    bridge = gan.calibrate(THEIRS, qc="off")
    assert not bridge.aligned
    assert bridge(THEIRS[0]).shape == THEIRS[0].shape


def test_a_normalizer_without_one_map_for_tiles_is_asked_tile_by_tile(stainlut):
    class TileByTile(StainLUT):
        map_for_tiles = sx.Normalizer.map_for_tiles

    alone = TileByTile(net=stainlut.net)
    found = distilled(alone, THEIRS)
    plain = PolynomialFit.of(*(np.concatenate([pixels(i) for i in s], 1) for s in (THEIRS, map(alone, THEIRS))))
    tissue = sum(int(tissue_planes(pixels(tile)).sum()) for tile in THEIRS)
    assert found.count == tissue <= plain.count


def test_a_calibrated_stainlut_is_a_normalizer_with_a_map_for_each_group(stainlut, tmp_path):
    groups = ["one", "one", "two", "two"]
    darker = np.stack([*THEIRS[:2], *(THEIRS[2:] * 0.8).astype(np.uint8)])
    bridge = stainlut.calibrate(darker, groups=groups, center_weight=0, qc="off", keep_groups=True)
    center, two = bridge(darker[3]).astype(int), bridge(darker[3], group="two").astype(int)
    assert np.abs(center - two).mean() > 1
    bridge.save(tmp_path / "b_to_a.safetensors")
    loaded = sx.load(tmp_path / "b_to_a.safetensors")
    np.testing.assert_array_equal(loaded(darker[3], group="two"), two)
    np.testing.assert_array_equal(loaded(darker[3]), center)


def test_glass_stays_glass(stainlut):
    bridge = stainlut.calibrate(THEIRS, qc="off")
    glass = np.full((20, 20, 3), 250, np.uint8)
    assert np.abs(bridge(glass).astype(int) - glass).max() <= 1


def test_a_model_that_does_not_know_its_tissue_is_refused(stainlut):
    unknown = replace(stainlut, info=CenterInfo())
    with pytest.raises(ParameterError, match="does not say what color"):
        unknown.calibrate(THEIRS, qc="off")
