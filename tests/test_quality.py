"""Quality control: every fault is found on a center of good tiles, good tiles are not flagged, and fits act on it."""

import json

import numpy as np
import pytest
from hypothesis import given
from PIL import Image
from scipy.ndimage import gaussian_filter
from strategies import laws
from typer.testing import CliRunner

import stainxform as sx
from stainxform.cli.app import app
from stainxform.errors import InvalidImageError, NotEnoughTissueError, ParameterError, StainXformWarning
from stainxform.io.images import read_image
from stainxform.quality import FAULTS, Limits, check_quality, write_sheet
from stainxform.quality.control import MIN_TILES
from stainxform.quality.measures import TileMeasures, _smooth, share_above
from stainxform.samples import pair
from stainxform.testing import PENS, blank_image, blurred, folded, odd_images, overexposed, saturated, with_strokes

GOOD = list(pair(14, 96, ("b",), 11)[0])


def bordered(tile):
    result = tile.copy()
    result[:12] = 0
    return result


def restained(tile):
    """Half the red, twice the green density."""
    return np.rint(255 * (tile / 255) ** (0.6, 2.2, 1.0)).astype(np.uint8)


FAULTY = {
    "blank": lambda tile: blank_image(245, 96, 96),
    "black": bordered,
    "ink": lambda tile: with_strokes(tile, PENS["green pen"]),
    "saturated": saturated,
    "blurred": lambda tile: blurred(tile, 3),
    "fold": lambda tile: folded(tile, 0.3),
    "stain": restained,
}


def with_one(tile):
    return [*GOOD[:5], tile, *GOOD[6:]]


def test_good_tiles_are_fit():
    report = check_quality(GOOD)
    assert [tile.reasons for tile in report.tiles] == [{}] * len(GOOD)
    assert report.summary == "0 of 14 tiles look unfit"


@pytest.mark.parametrize("fault", FAULTY)
def test_each_fault_is_found_and_told_in_words(fault):
    report = check_quality(with_one(FAULTY[fault](GOOD[5])))
    (tile,) = report.flagged
    assert tile.index == 5
    assert fault in tile.reasons
    assert len(tile.reasons[fault]) > 15
    assert f"1 {fault}" in report.summary


def test_the_faults_of_the_tests_are_all_there_are():
    assert set(FAULTY) == set(FAULTS)


@pytest.mark.parametrize("pen", PENS)
def test_pens_are_told_as_ink_or_black(pen):
    (tile,) = check_quality(with_one(with_strokes(GOOD[5], PENS[pen]))).flagged
    assert ("black" if pen == "black pen" else "ink") in tile.reasons


def test_light_that_is_cut_off_is_saturated():
    assert "saturated" in check_quality(with_one(overexposed(GOOD[5]))).tiles[5].reasons


def test_blur_lowers_focus_step_by_step_and_contrast_does_not():
    scores = [TileMeasures.of(blurred(GOOD[0], sigma)).focus for sigma in (0, 0.7, 1, 2, 3)]
    assert scores == sorted(scores, reverse=True)
    pale = np.rint(255 - (255 - GOOD[0].astype(float)) * 0.8).astype(np.uint8)
    assert TileMeasures.of(pale).focus == pytest.approx(scores[0], abs=0.05)


def test_a_center_that_is_all_blurred_is_flagged_without_comparison():
    tiles = [blurred(tile, 3) for tile in GOOD]
    assert len(check_quality(tiles).flagged) == len(tiles)
    assert len(check_quality(tiles[:2]).flagged) == 2


def test_few_tiles_are_not_compared():
    report = check_quality(with_one(restained(GOOD[5]))[: MIN_TILES - 1])
    assert not report.flagged
    assert report.tiles[5].scores["stain"] is None
    assert report.tiles[5].scores["fold"] is None


def test_half_of_the_tiles_may_be_unfit():
    """Medians: what is usual stays what most tiles show."""
    tiles = [restained(tile) if i < 5 else tile for i, tile in enumerate(GOOD)]
    assert [tile.index for tile in check_quality(tiles).flagged] == [0, 1, 2, 3, 4]


def test_the_gaussian_is_one():
    plane = np.random.default_rng(0).random((40, 31), np.float32)
    for sigma in (0.8, 4.0):
        wanted = gaussian_filter(plane, sigma, mode="nearest", truncate=np.ceil(3 * sigma) / sigma)
        np.testing.assert_allclose(_smooth(plane, sigma), wanted, atol=1e-5)


def test_limits_can_be_set():
    tiles = with_one(FAULTY["ink"](GOOD[5]))
    report = check_quality(
        tiles, limits=Limits(ink=0.9, clipped=1, fold_density=50, stain_distance=1e9, focus=-9, focus_distance=1e9)
    )
    assert not report.flagged
    with pytest.raises(ParameterError, match="finite"):
        Limits(ink=np.nan)


def test_the_share_of_dense_tissue():
    percentiles = np.arange(101) / 100.0
    assert share_above(percentiles, 0.75) == pytest.approx(0.25)
    assert share_above(percentiles, 2) == 0
    assert share_above(percentiles, -1) == 1


@laws
@given(odd_images())
def test_no_image_is_an_error(image):
    report = check_quality([image])
    json.loads(report.to_json())
    assert set(report.tiles[0].reasons) <= set(FAULTS)


def test_the_order_of_tiles_and_of_pixels_does_not_matter():
    tiles = with_one(FAULTY["fold"](GOOD[5]))
    backwards = check_quality([tile[::-1, ::-1] for tile in tiles[::-1]])
    for one, other in zip(check_quality(tiles).tiles, backwards.tiles[::-1]):
        assert one.reasons.keys() == other.reasons.keys()
        for name, score in one.scores.items():
            assert other.scores[name] == pytest.approx(score, abs=1e-4)


def test_the_report_as_json_names_no_file(tmp_path):
    for i, tile in enumerate(with_one(FAULTY["ink"](GOOD[5]))):
        Image.fromarray(tile).save(tmp_path / f"patient{i}.png")
    written = check_quality(tmp_path).to_json()
    assert "patient" not in written
    assert len(json.loads(written)["tiles"]) == 14


# ---------------------------------------------------------------- fits

TWO_FAULTY = [*GOOD, FAULTY["ink"](GOOD[0]), FAULTY["blurred"](GOOD[1])]


def test_a_fit_warns_and_uses_them():
    with pytest.warns(
        StainXformWarning, match=r"2 of 16 tiles look unfit \(1 ink, 1 blurred.*\): they are used; qc='drop'"
    ):
        center = sx.fit_center(TWO_FAULTY, "macenko")
    assert center.info.tiles == 16


def test_a_fit_drops_them():
    with pytest.warns(StainXformWarning, match="they are left out"):
        center = sx.fit_center(TWO_FAULTY, "macenko", qc="drop")
    wanted = sx.fit_center(GOOD, "macenko")
    np.testing.assert_array_equal(center.stain_matrix, wanted.stain_matrix)
    assert center.info.tiles == 14


def test_a_fit_does_not_look():
    assert sx.fit_center(TWO_FAULTY, "macenko", qc="off").info.tiles == 16


def test_blank_tiles_are_the_business_of_min_tissue():
    with pytest.warns(StainXformWarning, match="skipped 1 of 15") as caught:
        sx.fit_center([*GOOD, blank_image()], "macenko")
    assert len(caught) == 1


def test_nothing_left_and_a_wrong_word():
    with pytest.raises(NotEnoughTissueError, match="none is left"):
        sx.fit_center([FAULTY["ink"](GOOD[0])], "macenko", qc="drop")
    with pytest.raises(ParameterError, match="qc must be"):
        sx.fit_center("no such folder", "macenko", qc="yes")


# ---------------------------------------------------------------- command line


@pytest.fixture
def folder(tmp_path):
    tiles = tmp_path / "tiles"
    tiles.mkdir()
    for i, tile in enumerate(TWO_FAULTY):
        Image.fromarray(tile).save(tiles / f"{i:02}.png")
    return tiles


def run(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_qc_prints_reasons_and_writes_a_sheet(folder, tmp_path):
    sheet = tmp_path / "sheet.png"
    result = run("qc", folder, "-o", sheet)
    assert result.exit_code == 0
    assert "14.png  ink: " in result.output
    assert "15.png  blurred: " in result.output
    assert "2 of 16 tiles look unfit" in result.output
    picture = read_image(sheet)
    assert picture.shape[1] > 1000
    assert (picture != 255).any()
    assert run("qc", folder, "-o", sheet).exit_code == 1
    assert run("qc", folder, "-o", sheet, "--force").exit_code == 0


def test_qc_as_json(folder):
    found = json.loads(run("qc", folder, "--json").stdout)
    assert [tile["file"][-6:] for tile in found["tiles"] if tile["reasons"]] == ["14.png", "15.png"]
    assert found["limits"]["ink"] == Limits().ink


def test_nothing_flagged_writes_no_sheet(tmp_path):
    for i, tile in enumerate(GOOD):
        Image.fromarray(tile).save(tmp_path / f"{i}.png")
    result = run("qc", tmp_path, "-o", tmp_path / "sheet.png")
    assert "no sheet" in result.output
    assert not (tmp_path / "sheet.png").exists()


@pytest.mark.parametrize(("name", "message"), [("sheet.txt", "must end in"), ("no/sheet.png", "does not exist")])
def test_qc_refuses_a_sheet_before_it_reads(tmp_path, name, message):
    result = run("qc", "no such folder", "-o", tmp_path / name)
    assert result.exit_code == 1
    assert message in result.output


def test_fit_takes_qc(folder, tmp_path):
    result = run("fit", folder, "-o", tmp_path / "m.safetensors", "--method", "macenko", "--qc", "drop")
    assert "they are left out" in result.output
    assert "on 14 of 16 tiles (2 skipped)" in result.output


def test_a_sheet_shows_sixty_at_most(tmp_path):
    tiles = [blank_image()] * 70
    report = check_quality(tiles)
    assert write_sheet(tmp_path / "sheet.png", tiles, report) == 60
    with pytest.raises(InvalidImageError):
        check_quality([np.zeros((4, 4))])
