"""``stainxform calibrate``, and what apply, info and evaluate make of its file."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image
from test_cli import apply, error_lines, names, one_error, run, save

import stainxform as sx
from stainxform.io.images import read_image
from stainxform.samples import pair

OURS, THEIRS = pair(6, 64, seed=5)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Models of Lab A."""
    folder = tmp_path_factory.mktemp("models")
    for method in ("transport", "macenko"):
        sx.fit_center(OURS, method, center="Lab A", qc="off").save(folder / f"{method}.safetensors")
    return folder


@pytest.fixture(scope="module")
def model(models):
    return models / "transport.safetensors"


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """Two tiles of each of three slides."""
    tiles = {f"s{number // 2}/s{number // 2}_{number}.png": tile for number, tile in enumerate(THEIRS)}
    return save(tmp_path_factory.mktemp("theirs"), tiles)


def calibrate(model, *arguments, code=0):
    return run("calibrate", model, *arguments, "--qc", "off", code=code)


@pytest.fixture(scope="module")
def bridge(model, theirs, tmp_path_factory):
    """A file with maps of three groups, each its own."""
    path = tmp_path_factory.mktemp("bridge") / "b_to_a.safetensors"
    calibrate(
        model, theirs, "-o", path, "--groups", "folder", "--keep-groups", "--center-weight", "0", "--center", "Lab B"
    )
    return path


# ---------------------------------------------------------------- calibrate


def test_the_file_is_what_the_library_makes(model, theirs, bridge):
    loaded = sx.load(bridge)
    with pytest.warns(sx.errors.StainXformWarning, match="few"):
        wanted = sx.load(model).calibrate(
            str(theirs), groups="folder", keep_groups=True, center_weight=0, center="Lab B", qc="off"
        )
    assert loaded.groups == wanted.groups == ("s0", "s1", "s2")
    assert (loaded.info.name, loaded.info.tiles) == ("Lab B", 6)
    for group in (None, "s0", "s2"):
        np.testing.assert_array_equal(loaded(THEIRS, group=group), wanted(THEIRS, group=group))
    assert not np.array_equal(loaded(THEIRS, group="s0"), loaded(THEIRS))


def test_the_summary_says_what_was_found(models, theirs, tmp_path):
    save(theirs, {"s0/blank.png": np.full((64, 64, 3), 250, np.uint8)})
    out = tmp_path / "new" / "x.safetensors"
    result = calibrate(models / "macenko.safetensors", theirs, "-o", out, "--groups", "{group}_*.png", code=1)
    assert "blank.png does not match the pattern" in one_error(result)
    assert not out.exists()
    result = calibrate(models / "macenko.safetensors", theirs, "-o", out, "--groups", "folder", "--keep-colors")
    (theirs / "s0" / "blank.png").unlink()
    summary, center_alone, colors = result.stdout.splitlines()
    assert summary.startswith(
        "calibrated the other center for macenko of Lab A on 6 of 7 tiles (1 skipped), 3 groups, "
    )
    loaded = sx.load(out)
    assert f"center weight {loaded.center_weight:.2f}, changes tissue by " in summary
    assert "CIEDE2000, give or take " in summary
    assert summary.endswith(f"written to {out}")
    assert "with --keep-groups" in center_alone
    assert f"holds {loaded.colors:,} colors" in colors
    assert "without --keep-colors it holds none" in colors
    assert loaded.groups == ()


def test_without_groups_there_is_one_line(model, theirs, tmp_path):
    (summary,) = calibrate(
        model, theirs / "s0", "-o", tmp_path / "x.safetensors", "--strength", "0.5"
    ).stdout.splitlines()
    assert ", no groups, " in summary
    assert sx.load(tmp_path / "x.safetensors").settings.strength == 0.5


def test_one_tile_says_nothing_of_how_sure_it_is(model, theirs, tmp_path):
    (summary,) = calibrate(model, theirs / "s0" / "s0_0.png", "-o", tmp_path / "x.safetensors").stdout.splitlines()
    assert "give or take" not in summary


def test_a_calibration_grows(model, theirs, tmp_path):
    first, both = tmp_path / "first.safetensors", tmp_path / "both.safetensors"
    for source in ("s0", "s1"):
        calibrate(model, theirs / source, "-o", tmp_path / f"{source}.safetensors", "--center-weight", "0.5")
    shutil.copy(tmp_path / "s0.safetensors", first)
    result = calibrate(model, theirs / "s1", "-o", both, "--add-to", first)
    assert "on 2 of 2 tiles (0 skipped), 4 in all" in result.stdout
    calibrate(model, theirs / "s0", theirs / "s1", "-o", tmp_path / "once.safetensors", "--center-weight", "0.5")
    np.testing.assert_array_equal(sx.load(both)(THEIRS), sx.load(tmp_path / "once.safetensors")(THEIRS))
    assert first.read_bytes() == (tmp_path / "s0.safetensors").read_bytes()
    calibrate(model, theirs / "s2", "-o", both, "--add-to", both, "--force")
    assert sx.load(both).info.tiles == 6


def test_growing_is_refused_before_tiles_are_read(models, model, theirs, bridge, tmp_path):
    out, none = tmp_path / "x.safetensors", tmp_path / "none"
    other = models / "macenko.safetensors"
    calibrate(other, theirs, "-o", tmp_path / "lost.safetensors")
    for arguments, message in (
        ((other, none, "--add-to", bridge), f"{bridge} is a calibration of another model than {other}"),
        ((model, none, "--add-to", model), "holds a 'transport' model, expected 'calibration'"),
        ((model, none, "--add-to", bridge, "--strength", "1"), "--strength was decided when"),
        ((model, none, "--add-to", bridge, "--keep-groups"), "--keep-groups was decided when"),
        ((bridge, theirs), "this is a calibration"),
        ((model, none, "--center-weight", "most"), "center_weight"),
        ((model, none, "--strength", "2"), "strength"),
        ((model, none, "--groups", "patient"), "groups must be"),
        ((model, none, "--size", "64"), "--size is for slides"),
        ((model, none), "no file, folder or glob"),
    ):
        assert message in one_error(calibrate(*arguments, "-o", out, code=1))
    lost = calibrate(other, theirs, "--add-to", tmp_path / "lost.safetensors", "-o", out, code=1)
    assert "calibrate with --keep-colors" in one_error(lost)
    assert not out.exists()


def test_an_output_is_not_overwritten_unless_told(model, theirs, tmp_path):
    out = tmp_path / "x.safetensors"
    out.write_text("precious")
    assert "exists; pass --force" in one_error(calibrate(model, tmp_path / "none", "-o", out, code=1))
    assert out.read_text() == "precious"
    calibrate(model, theirs, "-o", out, "--force")
    assert sx.load(out).method == "calibration"


# ---------------------------------------------------------------- info


def test_info_of_a_calibration_is_readable(bridge):
    text = run("info", bridge).stdout
    facts = dict(line.split("  ", 1) for line in text.splitlines())
    facts = {name.strip(): value.strip() for name, value in facts.items()}
    assert facts["method"] == "calibration of a transport model"
    assert facts["target"] == "Lab A, 6 tiles"
    assert (facts["center"], facts["tiles"]) == ("Lab B", "6")
    assert facts["groups"] == "3: s0, s1, s2"
    assert (facts["center weight"], facts["strength"], facts["colors"]) == ("0.00", "1.0", "none")
    assert "{" not in text


def test_info_counts_all_that_a_file_holds_of_the_other_center(model, theirs, tmp_path):
    path = tmp_path / "x.safetensors"
    calibrate(model, theirs, "-o", path)
    text = run("info", path).stdout
    assert "groups         none kept" in text
    assert "(from the data)" in text
    # One map: a matrix, an offset and the four numbers of optical density. One center: its moments of pixels and tiles,
    # and those that the map is made from.
    pixels = 10
    assert f"numbers        {9 + 3 + 3 + 2 * pixels + 1 + 3 + 9} of the other center" in text


def test_info_of_a_model_says_the_color_of_tissue_in_one_line(model):
    (line,) = [line for line in run("info", model).stdout.splitlines() if line.startswith("  tissue")]
    tissue = sx.load(model).info.tissue
    assert f"{tissue.pixels.count:,} pixels in 6 tiles" in line
    assert " ".join(f"{mean:.2f}" for mean in tissue.pixels.mean) in line


def test_a_damaged_calibration_is_one_error(bridge, tmp_path):
    from stainxform.io.modelfile import read_model, write_model

    state = read_model(bridge)
    del state.parameters["maps"]
    write_model(tmp_path / "x.safetensors", state)
    assert "is no valid 'calibration' model" in one_error(run("info", tmp_path / "x.safetensors", code=1))


# ---------------------------------------------------------------- apply


def results(folder):
    return {name: read_image(folder / name) for name in names(folder)}


@pytest.mark.parametrize("how", ["folder", "{group}_*.png"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_apply_by_groups(bridge, theirs, tmp_path, how, workers):
    result = run("apply", theirs, "-m", bridge, "-o", tmp_path, "--groups", how, "--workers", workers)
    assert "warning" not in result.stderr
    loaded = sx.load(bridge)
    for number, (name, image) in enumerate(results(tmp_path).items()):
        np.testing.assert_array_equal(image, loaded(THEIRS[number], group=name.partition("/")[0]))


def test_apply_one_group_to_all(bridge, theirs, tmp_path):
    apply(bridge, theirs, "-o", tmp_path, "--group", "s1")
    for number, image in enumerate(results(tmp_path).values()):
        np.testing.assert_array_equal(image, sx.load(bridge)(THEIRS[number], group="s1"))


def test_groups_that_are_not_known_are_warned_of_once(bridge, theirs, tmp_path):
    result = apply(bridge, theirs, "-o", tmp_path, "--groups", "file")
    (warning,) = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
    assert "no map of 6 groups (s0_0, s0_1, s1_2, ...): the center's is used" in warning
    for number, image in enumerate(results(tmp_path).values()):
        np.testing.assert_array_equal(image, sx.load(bridge)(THEIRS[number]))
    result = apply(bridge, theirs, "-o", tmp_path / "one", "--group", "s7")
    assert "no map of 1 group (s7)" in result.stderr


def test_groups_need_a_calibration(model, bridge, tmp_path):
    for arguments in (("--group", "s0"), ("--groups", "folder")):
        result = apply(model, tmp_path / "none", "-o", tmp_path / "out", *arguments, code=1)
        assert "is a transport model and knows no groups; make a calibration with: stainxform calibrate" in one_error(
            result
        )
    for arguments, message in (
        (("--group", "s0", "--groups", "folder"), "give one of them"),
        (("--groups", "slide"), "groups must be"),
    ):
        assert message in one_error(apply(bridge, tmp_path / "none", "-o", tmp_path / "out", *arguments, code=1))
    assert not (tmp_path / "out").exists()


def test_blank_tiles_are_mapped_unless_asked_for(bridge, tmp_path):
    blank = np.full((48, 48, 3), 230, np.uint8)
    folder, loaded = save(tmp_path / "in", {"blank.png": blank}), sx.load(bridge)
    assert "1 normalized" in apply(bridge, folder, "-o", tmp_path / "keep").stdout
    np.testing.assert_array_equal(read_image(tmp_path / "keep" / "blank.png"), loaded(blank))
    result = apply(bridge, folder, "-o", tmp_path / "warn", "--on-blank", "warn")
    assert "1 unchanged because blank" in result.stdout
    assert "warning: unchanged" in result.stderr
    np.testing.assert_array_equal(read_image(tmp_path / "warn" / "blank.png"), blank)
    assert len(error_lines(apply(bridge, folder, "-o", tmp_path / "raise", "--on-blank", "raise", code=1))) == 1


# ---------------------------------------------------------------- evaluate


def test_the_target_of_a_report_is_the_calibrations_target(bridge, theirs, tmp_path):
    pytest.importorskip("jinja2")
    pytest.importorskip("sklearn")
    ours = tmp_path / "ours"
    ours.mkdir()
    for number, tile in enumerate(OURS):
        Image.fromarray(tile).save(ours / f"{number}.png")
    centers = [f"Lab A={ours}", f"Lab B={theirs}"]
    result = run(
        "evaluate", "--centers", *centers, "--model", bridge, "-o", tmp_path / "report.html", "--slides", "tile"
    )
    assert (tmp_path / "report.html").exists()
    assert "b_to_a" in result.stdout
