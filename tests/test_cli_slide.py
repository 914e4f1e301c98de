"""Slides through the command line: what is written, refused, resumed, and how it ends."""

import csv
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import stainxform as sx
from stainxform._optional import is_tensor
from stainxform.cli.app import app
from stainxform.errors import OutputBusyError, ParameterError, StainXformWarning
from stainxform.maps import ImageMap
from stainxform.samples import pair

tifffile = pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")

from slide_files import tissue, write  # noqa: E402

from stainxform.pipeline import ModelFile, Pyramid, Recipe, TissueTiles, plan_slides, run  # noqa: E402
from stainxform.pipeline.estimate import slide_map  # noqa: E402
from stainxform.pipeline.tiles import mapped_tiles  # noqa: E402
from stainxform.slides import PyramidOptions  # noqa: E402
from stainxform.slides.files import digest, digest_of, first_of_series, parts  # noqa: E402
from stainxform.slides.sampling import find_tissue_tiles  # noqa: E402

ROOT = Path(sx.__file__).parents[1]
WSI = Path(__file__).parents[2] / "shared" / "data" / "wsi"


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "a.safetensors"
    sx.fit_center(pair(3, 64, ("a",), 1)[0], "macenko").save(path)
    return path


@pytest.fixture
def folder(tmp_path):
    """in/one.tif and in/deep/two.tif: two good slides."""
    (tmp_path / "in" / "deep").mkdir(parents=True)
    write(tmp_path / "in" / "one.tif", tissue())
    write(tmp_path / "in" / "deep" / "two.tif", tissue(200, 300))
    return tmp_path / "in"


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def call(*arguments, code=0):
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def slide(model, *arguments, code=0):
    return call("slide", "--model", model, "--workers", "2", *arguments, code=code)


def error_lines(result):
    return [line for line in result.stderr.splitlines() if line.startswith("error: ")]


def program(*arguments, before="", **options):
    """The real program, in a process of its own; ``before`` is code that it runs first."""
    code = f"{before}\nfrom stainxform.cli import main\nmain()"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ---------------------------------------------------------------- what is written


def test_a_folder_of_slides_becomes_a_folder_of_pyramids(model, folder, tmp_path):
    result = slide(model, folder, "-o", tmp_path / "out")
    assert names(tmp_path / "out") == ["deep/two.ome.tif", "deep/two.ome.tif.json", "one.ome.tif", "one.ome.tif.json"]
    assert "2 written, 0 complete before, 0 failed: 0.2 MP" in result.stdout
    with sx.open_slide(folder / "one.tif") as before, sx.open_slide(tmp_path / "out" / "one.ome.tif") as after:
        assert after.levels[0].shape == before.levels[0].shape
        assert after.mpp == pytest.approx(before.mpp)
        changed = after.read(0, 0, 0, 200, 200).astype(int) - before.read(0, 0, 0, 200, 200)
        assert np.abs(changed).mean() > 3


def test_the_pixels_are_those_of_the_slides_one_map(model, folder, tmp_path):
    slide(model, folder / "one.tif", "-o", tmp_path / "out", "--lossless")
    with sx.open_slide(folder / "one.tif") as before, sx.open_slide(tmp_path / "out" / "one.ome.tif") as after:
        wanted = slide_map(sx.load(model), before)(before.read(0, 0, 0, 421, 333))
        np.testing.assert_array_equal(after.read(0, 0, 0, 421, 333), wanted)


@pytest.mark.parametrize(
    ("layout", "suffix"), [("dual", ".ome.tif"), ("ome", ".ome.tif"), ("generic", ".tif"), ("svs", ".svs")]
)
def test_outputs_are_named_by_layout(model, folder, tmp_path, layout, suffix):
    slide(model, folder / "one.tif", "-o", tmp_path / "out", "--layout", layout)
    assert names(tmp_path / "out") == [f"one{suffix}", f"one{suffix}.json"]


def test_the_record_holds_hashes_settings_and_versions_and_no_names(model, folder, tmp_path):
    slide(model, folder / "one.tif", "-o", tmp_path / "out", "--quality", "70", "--background", "keep")
    text = (tmp_path / "out" / "one.ome.tif.json").read_text()
    record = json.loads(text)
    assert record["source"] == {
        "sha256": sha256(folder / "one.tif"),
        "width": 421,
        "height": 333,
        "mpp": [0.5, 0.5],
        "mpp_from": "file",
        "missing_tiles": 0,
    }
    assert record["model"] == {"sha256": sha256(model), "method": "macenko"}
    assert record["output"]["sha256"] == sha256(tmp_path / "out" / "one.ome.tif")
    assert record["settings"]["quality"] == 70
    assert record["settings"]["background"] == "keep"
    assert record["versions"]["stainxform"] == sx.__version__
    assert "one" not in text
    assert str(tmp_path) not in text


def test_names_reach_the_record_only_when_asked_for(model, folder, tmp_path):
    slide(model, folder / "one.tif", "-o", tmp_path / "out", "--names")
    record = json.loads((tmp_path / "out" / "one.ome.tif.json").read_text())
    assert record["names"] == {"source": "one.tif", "output": "one.ome.tif"}


def test_threads_and_devices_do_not_change_a_byte(model, folder, tmp_path):
    written = []
    for number, options in enumerate((["-j", "1"], ["-j", "3"], ["--device", "cpu"], ["--device", "cpu:0"])):
        out = tmp_path / str(number)
        call("slide", "--model", model, folder / "one.tif", "-o", out, *options)
        written.append((out / "one.ome.tif").read_bytes())
    assert written[0] == written[1] == written[2] == written[3]


def test_statistics_of_tiles_are_another_map(model, folder, tmp_path):
    write(folder / "wide.tif", np.concatenate([tissue(520, 600), 255 - tissue(520, 600) // 2], axis=1))
    for statistics in ("slide", "tile"):
        slide(model, folder / "wide.tif", "-o", tmp_path / statistics, "--lossless", "--statistics", statistics)
    pixels = []
    for statistics in ("slide", "tile"):
        with sx.open_slide(tmp_path / statistics / "wide.ome.tif") as found:
            pixels.append(found.read(0, 0, 0, 512, 512))
    with sx.open_slide(folder / "wide.tif") as found:
        np.testing.assert_array_equal(pixels[1], sx.load(model)(found.read(0, 0, 0, 512, 512)))
    assert (pixels[0] != pixels[1]).any()


def test_the_library_function_does_the_same(model, folder, tmp_path):
    slide(model, folder, "-o", tmp_path / "cli")
    seen = []
    outcomes = sx.normalize_slides(
        folder,
        tmp_path / "library",
        model,
        progress=lambda job, done, total: seen.append((job.source.name, done, total)),
    )
    assert [outcome.status for outcome in outcomes] == ["written", "written"]
    assert seen[-1] == ("one.tif", 421 * 333, 421 * 333)
    assert names(tmp_path / "cli") == names(tmp_path / "library")
    for name in names(tmp_path / "cli"):
        assert (tmp_path / "cli" / name).read_bytes() == (tmp_path / "library" / name).read_bytes()


# ---------------------------------------------------------------- plans


def test_the_library_names_its_arguments_and_the_command_line_its_options(model, folder, tmp_path):
    slide(model, folder, "-o", tmp_path / "out")
    for outcome in sx.normalize_slides(folder, tmp_path / "out", model):
        assert "exists; pass resume=True to keep what is complete, force=True to replace it" in outcome.message
    for outcome in sx.normalize_slides(folder, tmp_path / "out", model, background="keep", resume=True):
        assert "by this version; pass force=True to replace it" in outcome.message
    for line in error_lines(slide(model, folder, "-o", tmp_path / "out", code=1)):
        assert "exists; pass --resume to keep what is complete, --force to replace it" in line
    result = slide(model, folder, "-o", tmp_path / "new", "--device", "quantum:7", code=1)
    assert "pass --device cpu" in result.stderr


def test_shards_are_all_slides_once(model, folder, tmp_path):
    for number in range(3):
        write(folder / f"s{number}.tif", tissue(80, 90), levels=1)
    parts = [plan_slides([str(folder)], tmp_path / "out", Pyramid(), f"{i}/3") for i in (1, 2, 3)]
    whole = plan_slides([str(folder)], tmp_path / "out", Pyramid())
    assert sorted((job for part in parts for job in part), key=lambda job: str(job.target)) == whole
    assert [len(part) for part in parts] == [2, 2, 1]
    slide(model, folder, "-o", tmp_path / "out", "--shard", "2/3")
    assert len(names(tmp_path / "out")) == 4


@pytest.mark.parametrize("shard", ["0/3", "4/3", "1", "a/b", "1/0", "-1/2"])
def test_wrong_shards_are_refused(model, folder, tmp_path, shard):
    result = slide(model, folder, "-o", tmp_path / "out", f"--shard={shard}", code=1)
    assert "shard must be i/n" in result.stderr
    assert not (tmp_path / "out").exists()


def test_only_slides_are_found_and_an_ome_suffix_is_no_part_of_a_name(tmp_path):
    for name in ("a.svs", "b.ndpi", "c.ome.tif", "d.txt", "e.png", ".hidden.svs", "f.MRXS"):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / name).touch()
    with pytest.warns(StainXformWarning, match="3 files were left out: 1 hidden, 1 .txt, 1 .png$"):
        jobs = plan_slides([tmp_path / "in"], tmp_path / "out", Pyramid())
    assert [job.target.name for job in jobs] == ["a.ome.tif", "b.ome.tif", "c.ome.tif", "f.ome.tif"]


def test_a_dicom_series_is_one_slide(tmp_path):
    found = sorted((WSI / "wsic" / "CMU-1-Small-Region").glob("*.dcm"))
    if not found:
        pytest.skip("the DICOM slide is not there: it is not part of the package")
    assert len(plan_slides([found[0].parent], tmp_path / "out", Pyramid())) == 1


def test_a_link_out_of_the_output_folder_is_not_followed(model, folder, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "away").mkdir()
    (tmp_path / "out" / "deep").symlink_to(tmp_path / "away")
    result = slide(model, folder, "-o", tmp_path / "out", code=1)
    assert "leads out of the output folder" in result.stderr
    assert names(tmp_path / "away") == []


def test_two_slides_with_one_output_are_refused(model, folder, tmp_path):
    write(folder / "one.tiff", tissue(80, 90))
    result = slide(model, folder, "-o", tmp_path / "out", code=1)
    assert "would both be written" in result.stderr


# ---------------------------------------------------------------- what goes wrong


def test_a_bad_slide_is_reported_and_the_others_are_done(model, folder, tmp_path):
    good = (folder / "one.tif").read_bytes()
    (folder / "cut.tif").write_bytes(good[: len(good) // 2])
    (folder / "text.svs").write_text("no slide")
    result = slide(model, folder, "-o", tmp_path / "out", code=1)
    assert "2 written, 0 complete before, 2 failed" in result.stdout
    lines = error_lines(result)
    assert len(lines) == 2
    assert "cut.tif" in lines[0]
    assert "text.svs is no" in lines[1]
    assert names(tmp_path / "out") == ["deep/two.ome.tif", "deep/two.ome.tif.json", "one.ome.tif", "one.ome.tif.json"]


def test_a_slide_without_tissue_fails_with_one_sentence(model, folder, tmp_path):
    white = write(folder / "white.tif", np.full((300, 300, 3), 244, np.uint8))
    result = slide(model, white, "-o", tmp_path / "out", code=1)
    (line,) = error_lines(result)
    assert str(white) in line
    assert "tissue" in line
    assert names(tmp_path / "out") == []


def test_one_level_and_no_mpp_are_enough(model, tmp_path):
    path = write(tmp_path / "flat.tif", tissue(), levels=1, resolutionunit="NONE")
    slide(model, path, "-o", tmp_path / "out")
    with sx.open_slide(tmp_path / "out" / "flat.ome.tif") as found:
        assert found.mpp is None
        assert len(found.levels) > 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--resume", "--force"], "give one of them"),
        (["--resource", "GPU=1"], "give a scheduler"),
        (["--resource", "GPU"], "takes NAME=NUMBER"),
        (["--device", "quantum:7"], "torch has no device"),
    ],
)
def test_options_that_make_no_sense(model, folder, tmp_path, options, message):
    result = slide(model, folder, "-o", tmp_path / "out", *options, code=1)
    assert message in result.stderr
    assert not (tmp_path / "out").exists() or names(tmp_path / "out") == []


def test_a_missing_model_is_said_before_anything_is_made(folder, tmp_path):
    result = slide(tmp_path / "none.safetensors", folder, "-o", tmp_path / "out", code=1)
    assert "cannot read the model file" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_model_that_changed_meanwhile_is_noticed(model, folder, tmp_path):
    copy = tmp_path / "model.safetensors"
    copy.write_bytes(model.read_bytes())
    recipe = Recipe(Pyramid(), ModelFile.at(copy))
    sx.fit_center(pair(2, 64, ("b",), 1)[0], "macenko").save(copy)
    (outcome,) = run(plan_slides([folder / "one.tif"], tmp_path / "out", recipe.output), recipe)
    assert outcome.status == "failed"
    assert "is not the one that the work was begun with" in outcome.message


# ---------------------------------------------------------------- again, and after an interruption


def test_existing_outputs_are_kept_checked_or_replaced(model, folder, tmp_path):
    out = tmp_path / "out"
    slide(model, folder, "-o", out)
    first = (out / "one.ome.tif").read_bytes()
    result = slide(model, folder, "-o", out, code=1)
    assert [("exists; pass --resume" in line) for line in error_lines(result)] == [True, True]
    assert "0 written, 2 complete before, 0 failed" in slide(model, folder, "-o", out, "--resume").stdout
    result = slide(model, folder, "-o", out, "--resume", "--quality", "50", code=1)
    assert all("was not made from this slide, model and settings" in line for line in error_lines(result))
    assert (out / "one.ome.tif").read_bytes() == first
    slide(model, folder, "-o", out, "--force", "--quality", "50")
    assert (out / "one.ome.tif").read_bytes() != first
    (out / "one.ome.tif.json").write_text("{}")
    assert "is no record of stainxform" in slide(model, folder, "-o", out, "--resume", code=1).stderr


def test_a_record_that_was_not_finished_is_finished(model, folder, tmp_path):
    out = tmp_path / "out"
    slide(model, folder / "one.tif", "-o", out)
    path = out / "one.ome.tif.json"
    whole = path.read_text()
    path.write_text(json.dumps(json.loads(whole) | {"output": None}))
    slide(model, folder / "one.tif", "-o", out, "--resume")
    assert path.read_text() == whole


def big(path):
    """A slide that takes a second or two."""
    piece = tissue(512, 512)
    return write(path, np.tile(piece, (5, 5, 1)), levels=1, tile=(256, 256))


NOTE_ALWAYS = "import stainxform.slides.writer.write as n; n.NOTE_SECONDS = 0"


@pytest.mark.slow
def test_a_killed_program_is_continued_and_the_file_is_the_same(model, tmp_path):
    source = big(tmp_path / "big.tif")
    slide(model, source, "-o", tmp_path / "clean")
    out, command = tmp_path / "out", ["slide", source, "-m", model, "-o", tmp_path / "out", "-j", "1"]
    part = out / "big.ome.tif.part"
    for enough in (1, 300_000):
        with program(*command, before=NOTE_ALWAYS) as killed:
            while killed.poll() is None and not (part.exists() and part.stat().st_size > enough):
                time.sleep(0.005)
            killed.send_signal(signal.SIGKILL)
        assert killed.returncode == -signal.SIGKILL
        assert part.exists()
        assert not (out / "big.ome.tif").exists()
    result = slide(model, source, "-o", out, "--resume")
    assert "1 written" in result.stdout
    assert names(out) == ["big.ome.tif", "big.ome.tif.json"]
    for name in names(out):
        assert (out / name).read_bytes() == (tmp_path / "clean" / name).read_bytes()


@pytest.mark.slow
def test_a_partial_file_of_other_settings_is_refused_or_begun_anew(model, tmp_path):
    source = big(tmp_path / "big.tif")
    out = tmp_path / "out"
    with program("slide", source, "-m", model, "-o", out, "-j", "1", before=NOTE_ALWAYS) as killed:
        while killed.poll() is None and not (out / "big.ome.tif.part").exists():
            time.sleep(0.005)
        killed.send_signal(signal.SIGKILL)
    result = slide(model, source, "-o", out, "--resume", "--quality", "60", code=1)
    assert len(error_lines(result)) == 1
    slide(model, source, "-o", out, "--quality", "60")
    assert names(out) == ["big.ome.tif", "big.ome.tif.json"]


def test_a_second_program_refuses_the_same_output(model, folder, tmp_path):
    recipe = Recipe(Pyramid(PyramidOptions(tile=16)), ModelFile.at(model), threads=1)
    jobs = plan_slides([folder / "one.tif"], tmp_path / "out", recipe.output)
    seconds = []

    def meanwhile(job, done, total):
        if not seconds:
            with pytest.raises(OutputBusyError) as refused:
                list(run(jobs, recipe, resume=True))
            seconds.append(refused.value)

    (first,) = run(jobs, recipe, progress=meanwhile)
    assert "another process is writing" in str(seconds[0])
    assert first.status == "written"
    assert "0 failed" in slide(model, folder / "one.tif", "-o", tmp_path / "control").stdout


def test_a_full_disk_is_one_clear_error_and_can_be_resumed(model, tmp_path):
    source = write(tmp_path / "slide.tif", np.tile(tissue(512, 512), (2, 2, 1)), levels=1)
    out, command = tmp_path / "out", ["slide", source, "-m", model, "-o", tmp_path / "out", "-j", "1"]
    limit = 60_000

    def small_files():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    with program(*command, preexec_fn=small_files, stdout=subprocess.DEVNULL) as stopped:
        _, err = stopped.communicate()
    assert stopped.returncode == 1
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert "slide.ome.tif" in line
    assert "there is no room for" in line
    assert "Traceback" not in err
    assert (out / "slide.ome.tif.part").exists()
    assert not (out / "slide.ome.tif").exists()
    slide(model, source, "-o", out, "--resume")
    slide(model, source, "-o", tmp_path / "clean")
    assert (out / "slide.ome.tif").read_bytes() == (tmp_path / "clean" / "slide.ome.tif").read_bytes()


# ---------------------------------------------------------------- tiles


def cut(*arguments, code=0):
    return call("tiles", "--workers", "2", *arguments, code=code)


def table(folder):
    with (folder / "tiles.csv").open() as file:
        return list(csv.DictReader(file))


def test_tiles_are_the_normalized_pixels_where_the_table_says(model, folder, tmp_path):
    cut(folder / "one.tif", "-o", tmp_path / "out", "--model", model, "--size", "64")
    rows = table(tmp_path / "out" / "one")
    assert rows
    with sx.open_slide(folder / "one.tif") as found:
        image_map = slide_map(sx.load(model), found)
        for row in rows:
            x, y, width, height = (int(row[name]) for name in ("x", "y", "width", "height"))
            assert (width, height) == (64, 64)
            assert float(row["tissue"]) >= 0.5
            wanted = image_map(found.read(0, x, y, width, height))
            np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / "one" / row["file"])), wanted)
    kept = {row["file"] for row in rows}
    assert set(names(tmp_path / "out")) == {f"one/{name}" for name in kept} | {"one/tiles.csv", "one.json"}


def test_tiles_without_a_model_are_the_slide(folder, tmp_path):
    cut(folder / "one.tif", "-o", tmp_path / "out", "--size", "50", "--level", "1", "--min-tissue", "0.9")
    rows = table(tmp_path / "out" / "one")
    assert json.loads((tmp_path / "out" / "one.json").read_text())["model"] is None
    with sx.open_slide(folder / "one.tif") as found:
        for row in rows:
            x, y = (round(int(row[name]) / 2 / 50) * 50 for name in "xy")
            wanted = found.read(1, x, y, 50, 50)
            np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / "one" / row["file"])), wanted)


def test_tiles_at_a_resolution_between_levels_are_reduced(folder, tmp_path):
    cut(folder / "one.tif", "-o", tmp_path / "out", "--size", "40", "--mpp", "0.75")
    rows = table(tmp_path / "out" / "one")
    with sx.open_slide(folder / "one.tif") as found:
        for row in rows:
            assert (row["width"], row["level"]) == ("60", "0")
            tile = np.asarray(Image.open(tmp_path / "out" / "one" / row["file"]))
            assert tile.shape == (40, 40, 3)
            whole = found.read(0, int(row["x"]), int(row["y"]), 60, 60)
            np.testing.assert_allclose(tile.mean((0, 1)), whole.mean((0, 1)), atol=1)
    cut(folder / "one.tif", "-o", tmp_path / "level", "--size", "40", "--mpp", "1.0")
    assert {(row["level"], row["width"]) for row in table(tmp_path / "level" / "one")} <= {("1", "80")}


def test_a_resolution_that_the_slide_does_not_have_or_say(folder, tmp_path):
    refused = cut(folder / "one.tif", "-o", tmp_path / "out", "--mpp", "0.1", code=1).stderr
    assert (
        "has 0.5 micrometers per pixel, 400.0% coarser than the 0.1 asked for: more than --mpp-tolerance 0.1" in refused
    )
    path = write(folder / "silent.tif", tissue(), resolutionunit="NONE")
    assert (
        "say it with --mpp-of-slide, or do not ask for mpp"
        in cut(path, "-o", tmp_path / "out", "--mpp", "0.5", code=1).stderr
    )


def test_a_limit_draws_some_of_the_same_tiles(folder, tmp_path):
    for name, options in {"all": [], "some": ["--limit", "3"], "again": ["--limit", "3"]}.items():
        cut(folder / "one.tif", "-o", tmp_path / name, "--size", "48", *options)
    every, some, again = (table(tmp_path / name / "one") for name in ("all", "some", "again"))
    assert some == again
    assert len(some) == 3
    assert all(row in every for row in some)


def test_interrupted_tiles_are_continued(folder, tmp_path, monkeypatch):
    from stainxform.pipeline import tiles as module

    arguments = [folder / "one.tif", "-o", tmp_path / "out", "--size", "48", "--format", "jpg"]
    written, original = [], module.write_image

    def failing(path, image):
        if len(written) == 4:
            raise OSError(28, "No space left on device")
        written.append(path)
        original(path, image)

    monkeypatch.setattr(module, "write_image", failing)
    result = cut(*arguments, code=1)
    assert "No space left" in result.stderr
    assert not (tmp_path / "out" / "one" / "tiles.csv").exists()
    monkeypatch.setattr(module, "write_image", lambda path, image: written.append(path) or original(path, image))
    cut(*arguments)
    rows = table(tmp_path / "out" / "one")
    assert len(written) == len(set(written)) == len(rows) > 5  # each was written once
    assert "1 complete before" in cut(*arguments, "--resume").stdout
    assert "1 written" in cut(*arguments, "--force").stdout


def test_partial_tiles_of_other_settings_are_removed_or_refused(folder, tmp_path):
    out = tmp_path / "out" / "one"
    out.mkdir(parents=True)
    (out / ".partial").write_text("another")
    (out / "x000000_y000000.png").write_bytes(b"old")
    result = cut(folder / "one.tif", "-o", tmp_path / "out", "--size", "64", "--resume", code=1)
    assert "was begun from another slide, model or settings" in result.stderr
    cut(folder / "one.tif", "-o", tmp_path / "out", "--size", "64")
    assert all((out / row["file"]).stat().st_size > 100 for row in table(out))
    (tmp_path / "mine" / "one").mkdir(parents=True)
    (tmp_path / "mine" / "one" / "thesis.doc").touch()
    assert (
        "holds files of something else"
        in cut(folder / "one.tif", "-o", tmp_path / "mine", "--size", "64", code=1).stderr
    )


def test_a_slide_without_a_tile_of_tissue_fails(folder, tmp_path):
    white = write(folder / "white.tif", np.full((300, 300, 3), 244, np.uint8))
    result = cut(white, "-o", tmp_path / "out", "--size", "64", code=1)
    assert "no tile of 64 pixels" in error_lines(result)[0]


def test_tiles_in_a_zarr_array(model, folder, tmp_path):
    zarr = pytest.importorskip("zarr")
    common = [folder / "one.tif", "--size", "64", "--model", model]
    cut(*common, "-o", tmp_path / "png")
    cut(*common, "-o", tmp_path / "zarr", "--format", "zarr")
    rows = table(tmp_path / "png" / "one")
    group = zarr.open_group(tmp_path / "zarr" / "one.zarr", mode="r")
    assert group["boxes"][:].tolist() == [[int(row[name]) for name in ("x", "y", "width", "height")] for row in rows]
    for tile, row in zip(group["tiles"][:], rows, strict=True):
        np.testing.assert_array_equal(tile, np.asarray(Image.open(tmp_path / "png" / "one" / row["file"])))
    assert "1 complete before" in cut(*common, "-o", tmp_path / "zarr", "--format", "zarr", "--resume").stdout
    assert "1 written" in cut(*common, "-o", tmp_path / "zarr", "--format", "zarr", "--force").stdout
    assert sorted(path.name for path in (tmp_path / "zarr").iterdir()) == ["one.zarr", "one.zarr.json"]


def test_the_slide_command_writes_tiles_too(model, tmp_path):
    path = write(tmp_path / "big.tif", np.tile(tissue(512, 800)[:, :512], (1, 2, 1)), levels=1)
    slide(model, path, "-o", tmp_path / "out", "--tiles", "png")
    assert len(table(tmp_path / "out" / "big")) == 2


def test_tiles_that_are_left_early_leave_no_thread(model, folder):
    with sx.open_slide(folder / "one.tif") as found:
        for image_map in (None, Brightest()):
            tiles = mapped_tiles(found, find_tissue_tiles(found, 32), image_map)
            next(tiles)
            tiles.close()
            assert not [thread for thread in threading.enumerate() if thread.name.startswith("stainxform")]


def test_batches_on_a_device_give_the_same_tiles(model, folder):
    pytest.importorskip("torch")
    with sx.open_slide(folder / "one.tif") as found:
        image_map, locations = slide_map(sx.load(model), found), find_tissue_tiles(found, 64)
        tiles = list(mapped_tiles(found, locations, image_map, device="cpu"))
        assert tiles
        for tile, (y, x) in zip(tiles, locations.corners, strict=True):
            np.testing.assert_array_equal(tile, image_map(found.read(0, int(x), int(y), 64, 64)))


class Brightest(ImageMap):
    """The brightest value within 3 pixels, every fourth row and column as it was: needs a halo and an alignment."""

    halo, align, tile = 3, 4, None

    def apply(self, given, spec, levels=None):
        image = np.asarray(given)
        height, width, _ = image.shape
        padded = np.pad(image, ((3, 3), (3, 3), (0, 0)))
        result = np.max([padded[i : i + height, j : j + width] for i in range(7) for j in range(7)], axis=0)
        result[::4], result[:, ::4] = image[::4], image[:, ::4]
        return pytest.importorskip("torch").from_numpy(result) if is_tensor(given) else result


def test_tiles_are_parts_of_the_mapped_level_whatever_the_map_looks_at(folder):
    with sx.open_slide(folder / "one.tif") as found:
        locations = find_tissue_tiles(found, 50, level=1)
        height, width = found.levels[1].shape
        whole = Brightest()(found.read(1, 0, 0, width, height))
        tiles = list(mapped_tiles(found, locations, Brightest(), threads=2))
        assert tiles
        np.testing.assert_array_equal(tiles, list(mapped_tiles(found, locations, Brightest(), device="cpu")))
        for tile, (y, x) in zip(tiles, locations.corners, strict=True):
            np.testing.assert_array_equal(tile, whole[y : y + 50, x : x + 50])


@pytest.mark.parametrize(
    "options",
    [{"size": 0}, {"mpp": -1.0}, {"mpp": 1.0, "level": 0}, {"min_tissue": 2}, {"format": "gif"}, {"limit": 0}],
)
def test_tile_settings_that_make_no_sense(options):
    with pytest.raises(ParameterError):
        TissueTiles(**options)


@pytest.mark.parametrize("suffix", [".dcm", ".DCM", ".Dcm"])
def test_the_files_of_a_dicom_series_whatever_the_case_of_their_names(suffix, tmp_path):
    for name, series in (("a", b"1.2.3"), ("b", b"1.2.3"), ("c", b"1.2.4")):
        (tmp_path / f"{name}{suffix}").write_bytes(
            bytes(128) + b"DICM\x20\x00\x0e\x00UI\x05\x00" + series + name.encode()
        )
    a, b, c = sorted(tmp_path.iterdir())
    assert parts(a) == parts(b) == [a, b]
    assert parts(c) == [c]
    assert len({digest(a), digest(c), digest_of([])}) == 3
    assert first_of_series([a, b, c]) == [a, c]
