"""Whole slides when things go wrong: kills, full disks, files that change, two programs, the wrong kind of file."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_image_files import rows
from typer.testing import CliRunner

import stainxform as sx
from stainxform.cli.app import app
from stainxform.errors import OutputBusyError, StainXformError, StainXformWarning
from stainxform.samples import pair

tifffile = pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")

from slide_files import tissue, write  # noqa: E402

from stainxform.io.lock import lock_output, lock_path  # noqa: E402
from stainxform.pipeline import Recipe, TissueTiles, plan_slides, run  # noqa: E402
from stainxform.slides import SlideTiles  # noqa: E402

ROOT = Path(sx.__file__).parents[1]


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "a.safetensors"
    sx.fit_center(pair(3, 64, ("a",), 1)[0], "macenko").save(path)
    return path


@pytest.fixture(scope="session")
def other(tmp_path_factory):
    path = tmp_path_factory.mktemp("other") / "b.safetensors"
    sx.fit_center(pair(3, 64, ("a",), 1)[0], "reinhard").save(path)
    return path


@pytest.fixture
def source(tmp_path):
    return write(tmp_path / "one.tif", tissue())


def call(*arguments, code=0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output + result.stderr + str(result.exception)
    return result


def errors(text):
    return [line for line in text.splitlines() if line.startswith("error: ")]


def everything(folder):
    """Name and bytes of all files, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def commands(model):
    return {
        "slide": ["slide", "--model", model, "-j", 1],
        "tiles": ["tiles", "--model", model, "--size", 48, "-j", 1],
        "zarr": ["tiles", "--model", model, "--size", 48, "-j", 1, "--format", "zarr"],
    }


def program(*arguments, before="", **options):
    """The real program, in a process of its own; ``before`` is code that it runs first."""
    code = f"{before}\nfrom stainxform.cli import main\nmain()"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, **options)


# ---- two programs on one output ------------------------------------------------------------------------------------


@pytest.mark.parametrize("force", [[], ["--force"], ["--resume"]], ids=["", "force", "resume"])
@pytest.mark.parametrize("kind", ["slide", "tiles", "zarr"])
def test_the_second_fails_at_once_and_removes_nothing(kind, force, source, model, other, tmp_path):
    """Whatever slide of its list the first program is at."""
    if kind == "zarr":
        pytest.importorskip("zarr")
    late = write(tmp_path / "two.tif", tissue(200, 300))
    out = tmp_path / "out"
    call(*commands(model)[kind], source, "-o", out)
    before = everything(out)
    target = out / {"slide": "two.ome.tif", "tiles": "two", "zarr": "two.zarr"}[kind]
    with lock_output(target):
        held = lock_path(target).name
        result = call(*commands(other)[kind], source, late, "-o", out, *force, code=1)
        assert errors(result.stderr) == [
            f"error: another process is writing {target}; wait for it, or choose another output"
        ]
        assert everything(out) == before | {held: b""}
    call(*commands(other)[kind], late, "-o", out)
    assert held not in everything(out)


def test_a_run_ends_where_another_began_meanwhile(source, tmp_path):
    """Both passed the look at the beginning; one of them gets the slide, the other does not go on to the next."""
    late = write(tmp_path / "two.tif", tissue(200, 300))
    recipe = Recipe(TissueTiles(size=48), threads=1)
    jobs = plan_slides([source, late], tmp_path / "out", recipe.output)
    outcomes = run(jobs, recipe)
    assert next(outcomes).status == "written"
    with lock_output(jobs[1].target), pytest.raises(OutputBusyError, match="another process is writing"):
        next(outcomes)
    assert not jobs[1].target.exists()


# ---- killed ---------------------------------------------------------------------------------------------------------

ENDS = {
    "before the note": ("tiles", "atomic_write", 1, "before"),
    "after the note": ("tiles", "atomic_write", 1, "after"),
    "at a tile": ("tiles", "write_image", 2, "before"),
    "within a tile": ("tiles", "write_image", 3, "after"),
    "before the table": ("tiles", "atomic_write", 2, "before"),
    "after the table": ("tiles", "atomic_write", 2, "after"),
    "before the record": ("record", "atomic_write", 2, "before"),
    "after the record": ("record", "atomic_write", 2, "after"),
}
"""Module of the pipeline, its function, which call of it, and on which side of it the process ends."""


def ending(module, name, number, side):
    """Code after which the process is killed as if by kill -9."""
    return f"""
import itertools, os, pathlib, signal
import stainxform.pipeline.{module} as module
calls, original = itertools.count(1), module.{name}
def die():
    os.kill(os.getpid(), signal.SIGKILL)
def ending(path, *arguments):
    last = next(calls) == {number}
    if last and {side!r} == "before":
        pathlib.Path(path).with_name(".0123456789abcdef.part").write_bytes(b"half")
        die()
    original(path, *arguments)
    if last:
        die()
module.{name} = ending
"""


@pytest.mark.parametrize("end", ENDS)
def test_killed_tiles_are_continued_to_the_same_files(end, source, tmp_path):
    command, out, clean = ["tiles", source, "--size", 48, "-j", 1], tmp_path / "out", tmp_path / "clean"
    call(*command, "-o", clean)
    with program(*command, "-o", out, before=ending(*ENDS[end])) as killed:
        killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    complete = (out / "one" / "tiles.csv").exists()
    assert complete == (end in ("after the table", "before the record", "after the record"))
    if complete:
        assert "exists" in call(*command, "-o", out, code=1).stderr
    call(*command, "-o", out, *(["--resume"] if complete or "tile" in end else []))
    found = everything(out)
    assert not [name for name in found if name.endswith(".lock")]
    found.pop(".0123456789abcdef.part", None)  # of the record, beside it: another slide's may be in use
    assert found == everything(clean)


def test_a_removal_that_is_killed_leaves_a_folder_that_is_ours(source, tmp_path):
    command, out = ["tiles", source, "--size", 48, "-j", 1, "-o", tmp_path / "out"], tmp_path / "out" / "one"
    call(*command)
    clean = everything(tmp_path / "out")
    before = """
import os, pathlib
original = pathlib.Path.unlink
def unlink(self, *arguments, **options):
    original(self, *arguments, **options)
    if self.name == "tiles.csv":
        os.kill(os.getpid(), 9)
pathlib.Path.unlink = unlink
"""
    with program(*command, "--force", before=before) as killed:
        killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert not (out / "tiles.csv").exists()
    assert any(out.iterdir())
    call(*command, "--resume")
    assert everything(tmp_path / "out") == clean


def test_killed_arrays_are_begun_anew(source, tmp_path):
    pytest.importorskip("zarr")
    out = tmp_path / "out"
    call("tiles", source, "--size", 48, "--format", "zarr", "-o", tmp_path / "clean")
    before = """
import os, stainxform.pipeline.tiles as module
module.resized = lambda *_: os.kill(os.getpid(), 9)
"""
    with program("tiles", source, "--size", 48, "--format", "zarr", "-o", out, before=before) as killed:
        killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert not (out / "one.zarr").exists()
    call("tiles", source, "--size", 48, "--format", "zarr", "-o", out)
    assert everything(out) == everything(tmp_path / "clean")


def test_a_model_that_does_not_open_costs_no_output(source, model, tmp_path):
    """--force removes what is there only once the new output can be made."""
    out = tmp_path / "out"
    call(*commands(model)["slide"], source, "-o", out)
    before = everything(out)
    source.write_bytes(source.read_bytes()[:2000])
    call(*commands(model)["slide"], source, "-o", out, "--force", code=1)
    assert everything(out) == before


# ---- Ctrl-C ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["slide", "tiles", "zarr"])
def test_ctrl_c_is_one_sentence_and_is_continued(kind, source, model, tmp_path):
    if kind == "zarr":
        pytest.importorskip("zarr")
    command, out, clean = [*commands(model)[kind], source], tmp_path / "out", tmp_path / "clean"
    call(*command, "-o", clean)
    slow = """
import time, stainxform.slides.base as module
original = module.Slide.read
def read(self, *box):
    time.sleep(0.3)
    return original(self, *box)
module.Slide.read = read
"""
    with program(*command, "-o", out, before=slow) as stopped:
        while not (out.exists() and any(path.suffix == ".json" for path in out.iterdir())):
            assert stopped.poll() is None
            time.sleep(0.01)
        stopped.send_signal(signal.SIGINT)
        _, said = stopped.communicate(timeout=30)
    assert stopped.returncode == 130
    assert errors(said) == ["error: interrupted; what is done is kept, and the same command with --resume goes on"]
    assert "Traceback" not in said
    call(*command, "-o", out, "--resume")
    assert everything(out) == everything(clean)


# ---- no room, no right -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["slide", "tiles"])
def test_a_full_disk_is_one_sentence_and_is_continued(kind, source, model, tmp_path):
    command, out, clean = [*commands(model)[kind], source], tmp_path / "out", tmp_path / "clean"
    call(*command, "-o", clean)
    largest = max(len(data) for data in everything(clean).values())

    def small_files():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest - 100, largest - 100))

    with program(*command, "-o", out, preexec_fn=small_files) as stopped:
        _, said = stopped.communicate()
    assert stopped.returncode == 1
    (line,) = errors(said)
    assert "make room" in line
    assert "one" in line
    assert "Traceback" not in said
    call(*command, "-o", out, "--resume")
    assert everything(out) == everything(clean)


@pytest.mark.skipif(os.name != "posix", reason="folders of posix")
@pytest.mark.parametrize("kind", ["slide", "tiles", "zarr"])
def test_a_folder_that_cannot_be_written_to_is_said_before_the_work(kind, source, model, tmp_path):
    """A file where the folder should be: a root user is not kept from read-only folders."""
    (tmp_path / "file").write_text("mine")
    result = call(*commands(model)[kind], source, "-o", tmp_path / "file" / "out", code=1)
    (line,) = errors(result.stderr)
    assert "cannot be written" in line
    assert (tmp_path / "file").read_text() == "mine"


# ---- slides that change, or lack something ----------------------------------------------------------------------------


def changed(how, path):
    """A reader that spoils its file once it has read a region."""

    def spoil(original):
        def read(self, *box):
            pixels = original(self, *box)
            if how == "shrinks":
                os.truncate(path, path.stat().st_size // 2)
            else:
                os.utime(path, ns=(1, 1))
            return pixels

        return read

    return spoil


@pytest.mark.parametrize("how", ["shrinks", "is written to"])
@pytest.mark.parametrize("kind", ["slide", "tiles", "zarr"])
def test_a_slide_that_changes_while_it_is_read_gives_no_output(kind, how, model, tmp_path, monkeypatch):
    if kind == "zarr":
        pytest.importorskip("zarr")
    source = write(tmp_path / "one.tif", np.tile(tissue(512, 512), (3, 3, 1)), "deflate", 1, tile=(256, 256))
    from stainxform.slides import Slide

    monkeypatch.setattr(Slide, "read", changed(how, source)(Slide.read))
    monkeypatch.setattr("stainxform.slides.readers.tifffile.CACHE_BYTES", 0)
    (line,) = errors(call(*commands(model)[kind], source, "-o", tmp_path / "out", code=1).stderr)
    assert "chang" in line
    assert "one.tif" in line
    out = tmp_path / "out"
    assert not [name for name in everything(out) if name.endswith((".ome.tif", "tiles.csv", ".lock"))]
    assert not (out / "one.zarr").exists()


@pytest.fixture
def lacking(tmp_path):
    """A slide that lacks a tile of glass and one of tissue on level 0."""
    path = write(tmp_path / "lacking.tif", tissue(), "deflate")
    with tifffile.TiffFile(path, mode="r+") as file:
        for name in ("TileByteCounts", "TileOffsets"):
            tag = file.pages[0].tags[name]
            tag.overwrite([0 if number in (6, 9) else value for number, value in enumerate(tag.value)])
    return path


@pytest.mark.parametrize("kind", ["slide", "tiles", "zarr", "fit", "calibrate"])
def test_missing_tiles_fail_or_are_glass_as_the_user_says(kind, lacking, model, tmp_path):
    if kind == "zarr":
        pytest.importorskip("zarr")
    out = tmp_path / "out"
    command = {
        "fit": ["fit", "--slides", "--size", 64, "--method", "macenko", "-o", tmp_path / "new.safetensors"],
        "calibrate": ["calibrate", model, "--slides", "--size", 64, "-o", tmp_path / "new.safetensors"],
    }.get(kind) or [*commands(model)[kind], "-o", out]
    inputs = ["calibrate", model, lacking, *command[2:]] if kind == "calibrate" else [*command, lacking]
    (line,) = errors(call(*inputs, code=1).stderr)
    assert "level 0, the tile at x=" in line
    assert "is missing" in line
    assert "pass --missing white to take" in line
    said = call(*inputs, "--missing", "white").stderr
    assert "warning: 2 tiles that 1 of 1 slides do not hold are taken as glass" in said
    if kind in ("slide", "tiles", "zarr"):
        (path,) = out.glob("*.json")
        record = json.loads(path.read_text())
        assert record["source"]["missing_tiles"] == 2
        assert record["settings"]["missing"] == "white"
        if kind != "zarr":
            assert "2 tiles" in call(*inputs, "--missing", "white", "--resume").stderr, "said of complete ones, too"


# ---- micrometers per pixel ------------------------------------------------------------------------------------------


def scanned(path, mpp, levels=3):
    return write(path, tissue(512, 512), "deflate", levels, resolution=(1e4 / mpp, 1e4 / mpp) if mpp else None)


@pytest.mark.parametrize(
    ("mpp", "asked", "options", "real", "side"),
    [
        (0.2637, 0.25, [], 0.2637, 48),  # Leica GT450: 5.5 % coarser, taken as it is
        (0.2738, 0.25, [], 0.2738, 48),  # Olympus VS200
        (0.2637, 0.5, [], 0.5, 91),  # exact where it can be, though level 1 is near
        (0.23, 0.25, [], 0.25, 52),  # finer: reduced
        (0.2520, 0.25, [], 0.252, 48),
        (0.28, 0.25, ["--mpp-tolerance", "0.15"], 0.28, 48),
        (None, 0.25, ["--mpp-of-slide", "0.2637"], 0.2637, 48),
        (1.0, 0.25, ["--mpp-of-slide", "0.25"], 0.25, 48),  # the file is wrong
    ],
)
def test_the_record_says_the_real_micrometers_per_pixel(mpp, asked, options, real, side, tmp_path):
    path = scanned(tmp_path / "s.tif", mpp)
    result = call("tiles", path, "-o", tmp_path / "out", "--size", 48, "--mpp", asked, *options)
    record = json.loads((tmp_path / "out" / "s.json").read_text())
    assert record["made_from"]["mpp"] == pytest.approx(real, rel=0.01)
    given = "--mpp-of-slide" in options
    assert record["source"]["mpp_from"] == ("user" if given else "file")
    with (tmp_path / "out" / "s" / "tiles.csv").open() as table:
        assert table.readlines()[1].split(",")[3] == str(side)
    coarser = real / asked - 1
    assert record["made_from"]["coarser"] == pytest.approx(coarser if coarser > 0.02 else 0, abs=0.001)
    assert ("1 of 1 slides are up to" in result.stderr) == (coarser > 0.02)


@pytest.mark.parametrize("options", [["--mpp-tolerance", "0.05"], []])
def test_beyond_the_tolerance_a_slide_is_refused(options, model, tmp_path):
    path = scanned(tmp_path / "s.tif", 0.2637 if options else 0.28)
    message = f"more than --mpp-tolerance {'0.05' if options else '0.1'} allows"
    asked = ["--size", 48, "--mpp", 0.25, *options]
    assert message in call("tiles", path, "-o", tmp_path / "out", *asked, code=1).stderr
    assert message in call("fit", path, "--slides", *asked, "-o", tmp_path / "m.safetensors", code=1).stderr
    result = call("calibrate", model, path, "--slides", *asked, "-o", tmp_path / "m.safetensors", code=1)
    assert message in result.stderr


def test_a_fit_says_how_much_coarser_and_takes_the_users_word(tmp_path):
    path = scanned(tmp_path / "s.tif", 0.2637)
    with pytest.warns(StainXformWarning, match=r"1 of 1 slides are up to 5\.5% coarser than the 0\.25 asked for"):
        coarse = SlideTiles(path, size=48, mpp=0.25, per_slide=2)
    np.testing.assert_array_equal(coarse[0], SlideTiles(path, size=48, per_slide=2)[0])
    told = SlideTiles(path, size=48, mpp=0.25, per_slide=2, mpp_of_slide=0.25)
    np.testing.assert_array_equal(coarse[0], told[0])
    with sx.open_slide(path) as slide, pytest.raises(StainXformError, match="give mpp and missing to open_slide"):
        SlideTiles(slide, mpp_of_slide=0.25)


@pytest.mark.parametrize("layout", ["dual", "ome", "generic", "svs"])
def test_a_written_slide_carries_what_the_user_said(layout, model, tmp_path):
    path = scanned(tmp_path / "s.tif", None, levels=1)
    out = tmp_path / "out"
    call("slide", path, "-m", model, "-o", out, "--layout", layout, "--mpp-of-slide", "0.2637")
    (written,) = (path for path in out.iterdir() if path.suffix != ".json")
    with sx.open_slide(written) as slide:
        assert slide.mpp == pytest.approx((0.2637, 0.2637))
    with tifffile.TiffFile(written) as file:
        assert "micrometers per pixel given by the user" in file.pages[0].description
    assert json.loads(next(out.glob("*.json")).read_text())["source"]["mpp"] == [0.2637, 0.2637]


# ---- the right command -----------------------------------------------------------------------------------------------


def test_hints_name_the_right_command(source, model, tmp_path):
    image = tmp_path / "images" / "x.png"
    image.parent.mkdir()
    Image.fromarray(tissue(64, 64)).save(image)
    slides = tmp_path / "slides"
    slides.mkdir()
    aperio = slides / "x.svs"
    aperio.write_bytes(source.read_bytes())
    apply = "image files are normalized with: stainxform apply"
    for given in (image, image.parent):
        for command in ("slide", "tiles"):
            result = call(command, given, "-m", model, "-o", tmp_path / "out", code=1)
            assert apply in errors(result.stderr)[0]
        result = call("fit", given, "--slides", "-o", tmp_path / "m.safetensors", code=1)
        assert "x.png is an image file, not a slide; leave out --slides" in result.stderr
    for given in (aperio, slides):
        fit = call("fit", given, "-o", tmp_path / "m.safetensors", code=1)
        calibrate = call("calibrate", model, given, "-o", tmp_path / "m.safetensors", code=1)
        for result in (fit, calibrate):
            assert "x.svs is a whole slide; pass --slides" in errors(result.stderr)[0]


# ---- the page ---------------------------------------------------------------------------------------------------------

HELD_BY = {
    "mpp (micrometers per pixel) up to 10 % coarser than asked (`mpp_tolerance`)": (
        "test_the_record_says_the_real_micrometers_per_pixel"
    ),
    "coarser than that": "test_beyond_the_tolerance_a_slide_is_refused",
    "no mpp in the file, or a wrong one": "test_a_written_slide_carries_what_the_user_said",
    "a tile that a lower level lacks": "test_missing_tiles.py::test_a_missing_tile",
    "a tile that level 0 lacks": "test_missing_tiles_fail_or_are_glass_as_the_user_says",
    "a damaged tile": "test_missing_tiles.py::test_a_damaged_tile_is_not_a_missing_one",
    "an open slide in a forked or spawned worker": "test_slides_in_workers.py::test_a_spawned_process_opens_what_it_is_sent",
    "an open slide that is closed while others read": "test_slides_in_workers.py::test_closed_while_its_tiles_are_read",
    "image files where slides are wanted, or slides where images are": "test_hints_name_the_right_command",
}
"""Each row about using slides in docs/bad_input.md, and the test that holds it."""

FAULTS_HELD_BY = {
    "an output exists": "test_cli_slide.py::test_existing_outputs_are_kept_checked_or_replaced",
    "`--resume`, but an output was made from another source, model, settings or version": (
        "test_cli_slide.py::test_existing_outputs_are_kept_checked_or_replaced"
    ),
    "the program is killed, or the power fails": "test_killed_tiles_are_continued_to_the_same_files",
    "Ctrl-C": "test_ctrl_c_is_one_sentence_and_is_continued",
    "a worker process dies": "test_cluster.py::test_a_killed_worker_loses_nothing",
    "the disk is full": "test_a_full_disk_is_one_sentence_and_is_continued",
    "the folder cannot be written to": "test_a_folder_that_cannot_be_written_to_is_said_before_the_work",
    "another program writes the same output": "test_the_second_fails_at_once_and_removes_nothing",
    "an input changes while it is read": "test_a_slide_that_changes_while_it_is_read_gives_no_output",
    "`--force`, but the input cannot be read": "test_a_model_that_does_not_open_costs_no_output",
}
"""Each row about faults there, and the test that holds it for slides; tests/test_file_faults.py does for images."""


@pytest.mark.parametrize(("heading", "held_by"), [("Using slides", HELD_BY), ("Faults", FAULTS_HELD_BY)])
def test_the_page_has_a_test_for_each_row(heading, held_by):
    assert rows(heading) == list(held_by)
    for held in held_by.values():
        file, _, name = held.rpartition("::")
        assert f"\ndef {name}(" in (Path(__file__).with_name(file) if file else Path(__file__)).read_text(), held
