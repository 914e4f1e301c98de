"""Slides of a calibrated center: each gets the map of its group, and its record says which without a name."""

import importlib.util
import json
import warnings

import numpy as np
import pytest
from PIL import Image

import stainxform as sx
from stainxform.errors import StainXformWarning
from stainxform.pipeline.model import ModelFile, resolve_device
from stainxform.samples import pair

pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")

from slide_files import tissue, write
from test_cli_slide import call, error_lines, slide

from stainxform.pipeline.estimate import slide_map


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "a.safetensors"
    sx.fit_center(pair(3, 64, ("a",), 1)[0], "macenko", qc="off").save(path)
    return path


@pytest.fixture
def folder(tmp_path):
    """in/one.tif and in/deep/two.tif."""
    (tmp_path / "in" / "deep").mkdir(parents=True)
    write(tmp_path / "in" / "one.tif", tissue())
    write(tmp_path / "in" / "deep" / "two.tif", tissue(200, 300))
    return tmp_path / "in"


@pytest.fixture
def calibration(folder, tmp_path):
    """A calibration that has a map of its own for the slide one.tif, and another group's."""
    ours, theirs = pair(6, 64, seed=5)
    target = sx.fit_center(ours, "transport", qc="off")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StainXformWarning)  # few tiles
        bridge = target.calibrate(
            theirs, groups=["one", "one", "other", "other", "third", None], center_weight=0, keep_groups=True, qc="off"
        )
    bridge.save(tmp_path / "b_to_a.safetensors")
    return tmp_path / "b_to_a.safetensors"


def pixels_of(path):
    with sx.open_slide(path) as found:
        height, width = found.levels[0].shape
        return found.read(0, 0, 0, width, height)


def test_a_slide_gets_the_map_of_its_group(calibration, folder, tmp_path):
    bridge = sx.load(calibration)
    for arguments, one, two in (
        ((), "one", None),
        (("--statistics", "tile"), "one", None),
        (("--group", "other"), "other", "other"),
    ):
        out = tmp_path / "-".join(("out", *arguments))
        result = slide(calibration, folder, "-o", out, "--lossless", *arguments)
        assert "warning" not in result.stderr
        for name, group in (("one", one), ("deep/two", two)):
            before = pixels_of(folder / f"{name}.tif")
            np.testing.assert_array_equal(pixels_of(out / f"{name}.ome.tif"), bridge(before, group=group))
    result = slide(calibration, folder / "one.tif", "-o", tmp_path / "none", "--lossless", "--group", "nine")
    assert "warning: the calibration holds no map of the group 'nine': the center's is used" in result.stderr
    np.testing.assert_array_equal(pixels_of(tmp_path / "none" / "one.ome.tif"), bridge(pixels_of(folder / "one.tif")))


def test_tiles_of_a_calibrated_slide(calibration, folder, tmp_path):
    call("tiles", folder / "one.tif", "-m", calibration, "-o", tmp_path / "out", "--size", "64", "--group", "other")
    bridge, before = sx.load(calibration), pixels_of(folder / "one.tif")
    table = (tmp_path / "out" / "one" / "tiles.csv").read_text().splitlines()
    assert len(table) > 1
    written = sorted((tmp_path / "out" / "one").glob("*.png"))
    found = [np.asarray(Image.open(path)) for path in written]
    places = [(y, x) for y in range(0, 333 - 63, 64) for x in range(0, 421 - 63, 64)]
    wanted = {bridge(before[y : y + 64, x : x + 64].copy(), group="other").tobytes() for y, x in places}
    assert {tile.tobytes() for tile in found} <= wanted


def test_a_group_needs_a_calibration(model, folder, tmp_path):
    result = slide(model, folder, "-o", tmp_path / "out", "--group", "one", code=1)
    assert "needs a calibration" in "".join(error_lines(result))
    assert not (tmp_path / "out").exists()


def test_the_group_decides_the_output_and_its_name_stays_out_of_the_record(calibration, folder, tmp_path):
    out = tmp_path / "out"
    slide(calibration, folder / "one.tif", "-o", out)
    record = json.loads((out / "one.ome.tif.json").read_text())
    assert record["model"]["method"] == "calibration"
    assert record["settings"]["group"] == sx.load(calibration).groups.index("one")
    assert "1 complete before" in slide(calibration, folder / "one.tif", "-o", out, "--resume").stdout
    assert "1 complete before" in slide(calibration, folder / "one.tif", "-o", out, "--resume", "--group", "one").stdout
    result = slide(calibration, folder / "one.tif", "-o", out, "--resume", "--group", "third", code=1)
    assert "was not made from this slide, model and settings" in "".join(error_lines(result))
    slide(calibration, folder / "one.tif", "-o", out, "--force", "--group", "third")
    text = (out / "one.ome.tif.json").read_text()
    assert "third" not in text
    slide(calibration, folder, "-o", out, "--force", "--names")
    assert json.loads((out / "one.ome.tif.json").read_text())["names"]["group"] == "one"
    two = json.loads((out / "deep" / "two.ome.tif.json").read_text())
    assert (two["names"]["group"], two["settings"]["group"]) == (None, None)


def test_no_tile_is_read_for_a_map_that_is_known(calibration):
    bridge = sx.load(calibration)
    assert slide_map(bridge, None) is bridge.fixed_map


def test_a_calibration_needs_no_torch(calibration, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    found = ModelFile.at(calibration)
    assert found.method == "calibration"
    assert resolve_device("auto", found.method) == "cpu"


def test_slides_are_calibrated_each_a_group(model, folder, tmp_path):
    result = call(
        "calibrate", model, folder, "-o", tmp_path / "x.safetensors", "--slides", "--per-slide", "4", "--size", "32",
        "--keep-groups", "--qc", "off",
    )  # fmt: skip
    assert ", 2 groups, " in result.stdout
    assert sx.load(tmp_path / "x.safetensors").groups == ("one", "two")
