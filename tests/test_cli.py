"""The command line: what it writes, what it refuses, what it says, and how it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import stainxform
from stainxform._hosts.augment import transform_name
from stainxform.augment import AUGMENTATIONS, ColorStatistics, RandStainNA
from stainxform.cli import batch
from stainxform.cli.app import app
from stainxform.io.images import read_image
from stainxform.samples import pair, write_center

ROOT = Path(stainxform.__file__).parents[1]


@pytest.fixture(scope="session")
def tiles():
    """Six tiles of center b."""
    return pair(6, 48, ("b",), 5)[0]


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A Macenko model of center a."""
    path = tmp_path_factory.mktemp("model") / "a.safetensors"
    (ours,) = pair(3, 64, ("a",), 1)
    stainxform.fit_center(ours, "macenko", center="Lab A", license="CC0-1.0").save(path)
    return path


@pytest.fixture
def folder(tmp_path, tiles):
    """in/t0.png, in/deep/er/t1.png, in/t2.png."""
    return save(tmp_path / "in", {"t0.png": tiles[0], "deep/er/t1.png": tiles[1], "t2.png": tiles[2]})


def save(folder, images):
    for name, image in images.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        options = {"quality": 95, "subsampling": 0} if path.suffix in (".jpg", ".jpeg") else {}
        Image.fromarray(image).save(path, **options)
    return folder


def names(folder):
    """All files below a folder, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def run(*arguments, code=0):
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def apply(model, *arguments, code=0):
    return run("apply", "--model", model, "--workers", "1", *arguments, code=code)


def error_lines(result):
    return [line for line in result.stderr.splitlines() if line.startswith("error: ")]


def one_error(result):
    (line,) = error_lines(result)
    return line


def process(*arguments, **options):
    """The real program, in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(
        [sys.executable, "-m", "stainxform", *map(str, arguments)],
        env=environment,
        # A test run that was started in the background ignores SIGINT, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **pipes,
        **options,
    )


# ---------------------------------------------------------------- the program


def test_help_names_the_commands():
    text = run("--help").stdout
    assert all(command in text for command in ("demo", "fit", "apply", "slide", "tiles", "info", "methods"))


@pytest.mark.parametrize("command", ["demo", "fit", "apply", "slide", "tiles", "info", "methods"])
def test_every_command_has_help(command):
    text = run(command, "-h").stdout
    assert "Usage: stainxform" in text or "Usage: root" in text or f"{command} [OPTIONS]" in text
    assert "--help" in text


def test_help_loads_no_numpy():
    code = "import sys; from stainxform.cli.app import app; sys.exit('numpy' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)}).returncode == 0


def test_version():
    assert run("--version").stdout.strip() == f"stainxform {stainxform.__version__}"


@pytest.mark.parametrize(
    "arguments", [["no-such-command"], ["apply"], ["fit", "x", "--bogus"], ["info"], ["demo", "--size", "3"]]
)
def test_wrong_usage_is_exit_code_2(arguments):
    run(*arguments, code=2)


def test_the_module_is_the_program(tmp_path):
    with process("info", tmp_path / "none.safetensors") as program:
        out, err = program.communicate()
    assert program.returncode == 1
    assert out == ""
    assert err.startswith("error: cannot read the model file")
    assert len(err.splitlines()) == 1


# ---------------------------------------------------------------- fit


def test_fit_then_info(tmp_path, tiles):
    folder = save(tmp_path / "in", {"a.png": tiles[0], "sub/b.png": tiles[1]})
    save(folder, {"blank.png": np.full((48, 48, 3), 250, np.uint8)})
    out = tmp_path / "new" / "m.safetensors"
    result = run(
        "fit", folder, "-o", out, "--method", "macenko", "--center", "Lab 7", "--license", "MIT", "--set", "alpha=2"
    )
    assert "fitted macenko on 2 of 3 tiles (1 skipped)" in result.stdout
    assert "warning: skipped 1 of 3 tiles" in result.stderr
    normalizer = stainxform.load(out)
    assert (normalizer.info.name, normalizer.info.tiles, normalizer.alpha) == ("Lab 7", 2, 2)
    text = run("info", out).stdout
    for fact in ("macenko", "ISBI 2009", "Lab 7", "MIT", stainxform.__version__, "alpha"):
        assert fact in text
    assert re.search(r"sha256 +[0-9a-f]{64}\n", text)
    assert re.search(r"tiles +2\n", text)


def test_fit_takes_files_and_globs(tmp_path, folder):
    run("fit", folder / "t0.png", f"{folder}/deep/**/*.png", "-o", tmp_path / "m.safetensors", "--method", "reinhard")
    assert stainxform.load(tmp_path / "m.safetensors").info.tiles == 2


def test_settings_are_json_or_text(tmp_path, folder):
    out = tmp_path / "m.safetensors"
    arguments = ("fit", folder, "-o", out, "--method", "reinhard")
    run(*arguments, "--set", "space=ruderman", "--set", "tissue_only=true")
    assert stainxform.load(out).space == "ruderman"
    assert stainxform.load(out).tissue_only is True


def test_fit_refuses_to_overwrite_before_any_work(tmp_path):
    out = tmp_path / "m.safetensors"
    out.write_text("precious")
    # The images do not even exist: the output is checked first.
    assert "exists; pass --force" in one_error(run("fit", tmp_path / "none", "-o", out, code=1))
    assert out.read_text() == "precious"


def test_fit_overwrites_when_told(tmp_path, folder):
    out = tmp_path / "m.safetensors"
    out.write_text("old")
    run("fit", folder, "-o", out, "--method", "macenko", "--force")
    assert stainxform.load(out).method == "macenko"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "bogus=1"], "macenko has no setting 'bogus'"),
        (["--steps", "5"], "macenko has no setting 'steps'"),
        (["--set", "alpha"], "--set takes KEY=VALUE"),
        (["--set", "alpha=99"], "alpha"),
        (["--set", "alpha=[1]"], "wrong type"),
        (["--set", "method=reinhard"], "no setting of a method"),
        (["--seed", "1", "--set", "seed=2"], "given twice"),
        (["--min-tissue", "2"], "min_tissue"),
    ],
)
def test_fit_explains_wrong_settings(tmp_path, folder, arguments, message):
    out = tmp_path / "m.safetensors"
    result = run("fit", folder, "-o", out, "--method", "macenko", *arguments, code=1)
    assert message in one_error(result)
    assert not out.exists()


def test_fit_explains_wrong_inputs(tmp_path, folder):
    out = tmp_path / "m.safetensors"
    assert "unknown method" in one_error(run("fit", folder, "-o", out, "--method", "bogus", code=1))
    assert "no file, folder or glob" in one_error(
        run("fit", tmp_path / "none", "-o", out, "--method", "macenko", code=1)
    )
    assert "must end in .safetensors" in one_error(run("fit", folder, "-o", tmp_path / "m.pt", code=1))
    blank = save(tmp_path / "blank", {"x.png": np.full((40, 40, 3), 255, np.uint8)})
    assert "enough tissue" in one_error(run("fit", blank, "-o", out, "--method", "macenko", code=1))
    assert not out.exists()


def test_fit_stainlut_with_its_options(tmp_path, folder):
    pytest.importorskip("torch")
    out, work = tmp_path / "m.safetensors", tmp_path / "work"
    arguments = ("--steps", "2", "--seed", "3", "--device", "cpu", "--set", "size=5", "--set", "crop=32")
    arguments += ("--method", "stainlut")
    result = run("fit", folder, "-o", out, "--workdir", work, "--no-resume", *arguments)
    assert "fitted stainlut on 3 of 3 tiles" in result.stdout
    assert (work / "log.csv").exists()
    assert stainxform.load(out).net.luts.shape[-1] == 5


# ---------------------------------------------------------------- apply: what is written where


def test_folders_keep_their_structure(tmp_path, folder, model, tiles):
    result = apply(model, folder, "-o", tmp_path / "out")
    assert names(tmp_path / "out") == ["deep/er/t1.png", "t0.png", "t2.png"]
    assert "3 normalized, 0 unchanged because blank, 0 failed" in result.stdout
    expected = stainxform.load(model)(tiles[1])
    assert np.array_equal(read_image(tmp_path / "out/deep/er/t1.png"), expected)
    assert not np.array_equal(expected, tiles[1])


def test_files_and_globs_go_right_into_the_folder(tmp_path, folder, model):
    apply(model, folder / "deep/er/t1.png", f"{folder}/*.png", "-o", tmp_path / "out")
    assert names(tmp_path / "out") == ["t0.png", "t1.png", "t2.png"]


def test_a_file_named_twice_is_done_once(tmp_path, folder, model):
    result = apply(model, folder, folder / "t0.png", "-o", tmp_path / "out")
    assert "3 normalized" in result.stdout


@pytest.mark.parametrize(
    ("name", "format", "written", "kind"),
    [
        ("x.png", "keep", "x.png", "PNG"),
        ("x.jpg", "keep", "x.jpg", "JPEG"),
        ("x.JPEG", "keep", "x.JPEG", "JPEG"),
        ("x.tif", "keep", "x.tif", "TIFF"),
        ("x.tiff", "keep", "x.tiff", "TIFF"),
        ("x.bmp", "keep", "x.png", "PNG"),
        ("x.gif", "keep", "x.gif.png", "PNG"),
        ("x.jpg", "png", "x.png", "PNG"),
        ("x.png", "jpg", "x.jpg", "JPEG"),
        ("x.1.png", "tif", "x.1.tif", "TIFF"),
    ],
)
def test_formats(tmp_path, model, tiles, name, format, written, kind):
    source = save(tmp_path / "in", {name: tiles[0]}) / name
    apply(model, source, "-o", tmp_path / "out", "--format", format)
    assert names(tmp_path / "out") == [written]
    with Image.open(tmp_path / "out" / written) as image:
        assert (image.format, image.mode, image.size) == (kind, "RGB", (48, 48))
        if kind == "JPEG":
            assert image.layer[0][1:3] == (1, 1)  # 4:4:4
    expected = stainxform.load(model)(read_image(source)).astype(int)
    difference = np.abs(read_image(tmp_path / "out" / written) - expected)
    assert difference.max() == 0 if kind != "JPEG" else difference.mean() < 3


# ---------------------------------------------------------------- apply: what is refused


def test_existing_outputs_are_errors_and_the_others_go_on(tmp_path, folder, model):
    out = save(tmp_path / "out", {"t0.png": np.zeros((2, 2, 3), np.uint8)})
    result = apply(model, folder, "-o", out, code=1)
    assert "t0.png exists; pass --force" in one_error(result)
    assert "2 normalized, 0 unchanged because blank, 1 failed" in result.stdout
    assert read_image(out / "t0.png").shape == (2, 2, 3)
    apply(model, folder, "-o", out, "--force")
    assert read_image(out / "t0.png").shape == (48, 48, 3)


def test_nothing_to_do_is_an_error(tmp_path, folder, model):
    apply(model, folder, "-o", tmp_path / "out")
    before = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in names(tmp_path / "out")}
    result = apply(model, folder, "-o", tmp_path / "out", code=1)
    assert len(error_lines(result)) == 3
    assert before == {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in names(tmp_path / "out")}


@pytest.mark.parametrize("others", [["a/t.png", "b/t.png"], ["a/t.bmp", "b/t.png"]])
def test_two_inputs_for_one_output_are_refused(tmp_path, model, tiles, others):
    folder = save(tmp_path, dict.fromkeys(others, tiles[0]))
    result = apply(model, *(folder / name for name in others), "-o", tmp_path / "out", code=1)
    assert "would both be written to" in one_error(result)
    assert not (tmp_path / "out").exists()


def test_an_input_is_never_replaced(tmp_path, folder, model):
    assert "is itself an input" in one_error(apply(model, folder, "-o", folder, "--force", code=1))


def test_outputs_of_an_earlier_run_are_no_inputs(tmp_path, folder, model):
    apply(model, folder, "-o", folder / "out")
    apply(model, folder, "-o", folder / "out", "--force")
    assert names(folder / "out") == ["deep/er/t1.png", "t0.png", "t2.png"]
    lone = save(tmp_path / "lone", {"out/x.png": np.zeros((2, 2, 3), np.uint8)})
    assert "every input lies in the output" in one_error(apply(model, lone, "-o", lone / "out", code=1))


def test_links_do_not_lead_out_of_the_output_folder(tmp_path, folder, model):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/deep").symlink_to(tmp_path / "elsewhere")
    assert "leads out of" in one_error(apply(model, folder, "-o", tmp_path / "out", "--force", code=1))
    assert names(tmp_path / "elsewhere") == []


def test_a_bad_model_or_input_stops_before_work(tmp_path, folder, model):
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(model.read_bytes()[:-5])
    assert "not a complete .safetensors" in one_error(apply(broken, folder, "-o", tmp_path / "out", code=1))
    assert "no file, folder or glob" in one_error(apply(model, tmp_path / "none", "-o", tmp_path / "out", code=1))
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------- apply: bad files and blank tiles


def test_a_bad_file_is_reported_and_the_others_go_on(tmp_path, folder, model, tiles):
    whole = (folder / "t0.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_text("no image")
    Image.fromarray(tiles[0][..., 0].astype(np.uint16) * 256).save(folder / "deep16.tif")
    first, *others = map(Image.fromarray, tiles)
    first.save(folder / "pages.tif", save_all=True, append_images=others)
    result = apply(model, folder, "-o", tmp_path / "out", code=1)
    assert "3 normalized, 0 unchanged because blank, 4 failed" in result.stdout
    assert len(error_lines(result)) == 4
    assert any("pages.tif holds 6 images; save the one" in line for line in error_lines(result))
    for name in ("cut.png", "text.jpg", "deep16.tif", "pages.tif"):
        assert sum(name in line for line in error_lines(result)) == 1
    assert names(tmp_path / "out") == ["deep/er/t1.png", "t0.png", "t2.png"]


def test_an_output_that_cannot_be_written_is_reported(tmp_path, folder, model):
    save(tmp_path, {"out/deep/er/t1.png/x.png": np.zeros((1, 1, 3), np.uint8)})  # a folder in the place of the file
    result = apply(model, folder, "-o", tmp_path / "out", "--force", code=1)
    assert "t1.png" in one_error(result)
    assert "2 normalized" in result.stdout
    assert not [name for name in names(tmp_path / "out") if name.endswith(".part")]


def test_blank_tiles(tmp_path, folder, model):
    blank = np.full((48, 48, 3), 243, np.uint8)
    save(folder, {"blank.png": blank})
    kept = apply(model, folder, "-o", tmp_path / "keep")
    assert "3 normalized, 1 unchanged because blank, 0 failed" in kept.stdout
    assert np.array_equal(read_image(tmp_path / "keep/blank.png"), blank)
    assert "warning" not in kept.stderr
    warned = apply(model, folder, "-o", tmp_path / "warn", "--on-blank", "warn")
    assert re.search(r"warning: unchanged: .*blank\.png: .*tissue", warned.stderr)
    raised = apply(model, folder, "-o", tmp_path / "raise", "--on-blank", "raise", code=1)
    assert "blank.png" in one_error(raised)
    assert "blank.png" not in names(tmp_path / "raise")


def test_markup_and_control_characters_are_printed_as_text(tmp_path, model):
    bad = tmp_path / "[red]\x1b[31m.png"
    bad.write_text("no image")
    result = apply(model, bad, "-o", tmp_path / "out", code=1)
    assert "[red]" in one_error(result)
    assert "\x1b[31m.png" not in result.output


# ---------------------------------------------------------------- apply: processes


def test_workers_give_the_same_files(tmp_path, folder, model):
    (folder / "bad.png").write_text("no image")
    apply(model, folder, "-o", tmp_path / "one", code=1)
    with process("apply", "--model", model, folder, "-o", tmp_path / "two", "--workers", 2) as program:
        out, err = program.communicate()
    assert program.returncode == 1
    assert "3 normalized, 0 unchanged because blank, 1 failed" in out
    assert "bad.png" in err
    assert "Traceback" not in err
    assert names(tmp_path / "one") == names(tmp_path / "two")
    for name in names(tmp_path / "one"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize(
    ("sent", "workers"), [(signal.SIGINT, 1), (signal.SIGINT, 2), (signal.SIGTERM, 1), (signal.SIGKILL, 2)]
)
def test_stopped_in_the_middle(tmp_path, model, sent, workers):
    """Every file under a final name is complete; no worker outlives its parent."""
    (big,) = pair(1, 700, ("b",), 5)
    folder, out = tmp_path / "in", tmp_path / "out"
    save(folder, {"0.png": big[0]})
    for k in range(1, 60):
        (folder / f"{k}.png").hardlink_to(folder / "0.png")
    arguments = ("apply", "--model", model, folder, "-o", out, "--workers", workers)
    with process(*arguments, start_new_session=True) as program:
        while not (out.exists() and any(not name.startswith(".") for name in names(out))):
            assert program.poll() is None
            time.sleep(0.01)
        if sent == signal.SIGINT:
            os.killpg(program.pid, sent)  # as a terminal does
        else:
            program.send_signal(sent)
        _, err = program.communicate(timeout=20)
        assert program.returncode == (130 if sent != signal.SIGKILL else -sent)
        assert "Traceback" not in err
    assert group_ends(program.pid)
    done = [name for name in names(out) if not name.startswith(".")]
    assert 0 < len(done) < 60
    for name in done:
        assert read_image(out / name).shape == big[0].shape


def group_ends(leader, seconds=10):
    """Whether all processes of a group end in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.killpg(leader, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def test_a_dead_worker_is_one_error(tmp_path, folder, model, monkeypatch):
    class Pool(batch.ProcessPoolExecutor):
        def submit(self, *arguments):
            return super().submit(os._exit, 1)

    monkeypatch.setattr(batch, "ProcessPoolExecutor", Pool)
    result = run("apply", "--model", model, folder, "-o", tmp_path / "out", "--workers", 2, code=1)
    assert "a worker process died after 0 of 3 files" in one_error(result)


# ---------------------------------------------------------------- info, methods


def test_info_of_the_system():
    text = run("info", "--system").stdout
    for fact in (stainxform.__version__, np.__version__, "torch", "monai", "albumentations", "CUDA", "CPUs"):
        assert fact in text


def test_info_wants_one_thing(model):
    run("info", model, "--system", code=2)


def test_methods_lists_everything_with_its_source_on_one_line():
    lines = run("methods").stdout.splitlines()
    known = {method.name: method for method in stainxform.methods().values()}
    known |= {transform_name(name): kind for name, kind in AUGMENTATIONS.items()}
    assert len(lines) == 2 + len(known)
    for name, entry in known.items():
        (line,) = (line for line in lines if line.split()[0] == name)
        assert f"{entry.title} [{entry.source}]" in line
        assert getattr(entry, "extra", "") in line


def test_info_knows_the_files_of_augmentations(tmp_path, tiles):
    path = tmp_path / "statistics.safetensors"
    ColorStatistics.fit(tiles, center="Lab 7").save(path)
    text = run("info", path).stdout
    for fact in (f"randstainna: {RandStainNA.title}", RandStainNA.source, "Lab 7", "12 fitted numbers", "cielab"):
        assert fact in text
    assert "unknown" not in text


def test_write_center_then_fit(tmp_path):
    write_center(tmp_path / "a", "a", 2, 48, 0)
    run("fit", tmp_path / "a", "-o", tmp_path / "a.safetensors", "--method", "reinhard")
