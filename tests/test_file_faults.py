"""What ``apply``, ``fit`` and the other commands that write files do when something goes wrong: docs/bad_input.md."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import test_image_files
from PIL import Image
from test_cli import error_lines, group_ends, names, one_error, process, run, save
from test_image_files import rows

import stainxform as sx
from stainxform.cli import batch
from stainxform.cli.file_work import FileWork
from stainxform.errors import OutputError
from stainxform.io import outputs
from stainxform.io.atomic import atomic_write, check_writable
from stainxform.io.images import read_image
from stainxform.io.lock import FileLock, lock_output
from stainxform.samples import pair

TILES = pair(4, 48, ("b",), 5)[0]


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Model files of center a, by two methods."""
    folder = tmp_path_factory.mktemp("models")
    ours = pair(3, 64, ("a",), 1)[0]
    for method in ("macenko", "reinhard"):
        sx.fit_center(ours, method, qc="off").save(folder / f"{method}.safetensors")
    return {path.stem: path for path in folder.iterdir()}


@pytest.fixture
def folder(tmp_path):
    """in/0.png, in/1.jpg, in/2.tif, in/deep/3.png, and the output folder that is to be."""
    return save(tmp_path / "in", dict(zip(("0.png", "1.jpg", "2.tif", "deep/3.png"), TILES)))


@pytest.fixture
def apply(models, folder):
    def call(*arguments, model="macenko", code=0, inputs=(folder,), out=None):
        out = out or folder.with_name("out")
        return run("apply", "-m", models[model], "-j", 1, *inputs, "-o", out, *arguments, code=code)

    return call


def contents(folder):
    """Bytes and time of every file."""
    return {name: ((folder / name).read_bytes(), (folder / name).stat().st_mtime_ns) for name in names(folder)}


@contextmanager
def no_room(size=600):
    """Files cannot grow beyond so many bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# ---------------------------------------------------------------- apply: half done


def test_resume_does_the_rest_and_nothing_twice(tmp_path, folder, apply):
    apply()
    whole = contents(tmp_path / "out")
    for name in ("1.jpg", "deep/3.png"):
        (tmp_path / "out" / name).unlink()
    result = apply("--resume")
    assert "2 normalized, 0 unchanged because blank, 0 failed, 2 complete before" in result.stdout
    again = contents(tmp_path / "out")
    assert {name: data for name, (data, _) in again.items()} == {name: data for name, (data, _) in whole.items()}
    assert again["0.png"] == whole["0.png"]
    assert "0 normalized" in apply("--resume").stdout
    assert contents(tmp_path / "out") == again


CHANGES = {
    "another model": lambda folder: {"model": "reinhard"},
    "another setting": lambda folder: {"arguments": ("--on-blank", "raise")},
    "another file": lambda folder: (folder / "0.png").write_bytes((folder / "deep/3.png").read_bytes()) and {},
    "an output of others": lambda folder: Image.fromarray(TILES[0]).save(folder.with_name("out") / "0.png") or {},
    "no image": lambda folder: (folder.with_name("out") / "0.png").write_text("") or {},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_resume_refuses_outputs_of_something_else(tmp_path, folder, apply, change):
    apply()
    changed = change(folder)
    before = contents(tmp_path / "out")
    result = apply("--resume", *changed.pop("arguments", ()), **changed, code=1)
    assert contents(tmp_path / "out") == before
    refused = 4 if changed or "failed, 0 complete" in result.stdout else 1
    assert len(error_lines(result)) == refused
    assert all("not made from this file, model and settings" in line for line in error_lines(result))
    assert all("pass --force to replace it" in line for line in error_lines(result))


def test_resume_notices_another_group(tmp_path, bridge, bridge_path, folder):
    arguments = ("apply", "-m", bridge_path, folder / "0.png", "-o", tmp_path / "out", "-j", 1)
    run(*arguments, "--group", "a")
    assert "1 complete before" in run(*arguments, "--group", "a", "--resume").stdout
    assert "not made from" in one_error(run(*arguments, "--group", "b", "--resume", code=1))
    assert b"group" not in (tmp_path / "out/0.png").read_bytes()


def test_resume_and_force_exclude_each_other(apply):
    assert "give one of them" in one_error(apply("--resume", "--force", code=1))


def test_an_existing_output_is_an_error_that_names_both_ways_on(apply):
    apply()
    for line in error_lines(apply(code=1)):
        assert "exists; pass --force to overwrite it, --resume to keep what is complete" in line


def test_killed_and_resumed_is_as_if_nothing_had_happened(tmp_path, models):
    folder = save(tmp_path / "in", {f"{number}.png": pair(1, 300, ("b",), number)[0][0] for number in range(12)})
    arguments = ("apply", "-m", models["macenko"], folder, "-j", 1, "-o")
    with process(*arguments, tmp_path / "out", start_new_session=True) as program:
        while not list((tmp_path / "out").glob("[!.]*")):
            assert program.poll() is None
            time.sleep(0.005)
        program.kill()
        program.communicate()
    assert group_ends(program.pid)
    (tmp_path / "out/.0123456789abcdef.part").write_bytes(b"half a file")  # what a kill may leave
    (tmp_path / "out/.stainxform.lock").touch()
    assert 0 < len(list((tmp_path / "out").glob("[!.]*"))) < 12
    assert "0 failed" in run(*arguments, tmp_path / "out", "--resume").stdout
    run(*arguments, tmp_path / "whole")
    for path in (tmp_path / "whole").iterdir():
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()
    assert len(list((tmp_path / "out").glob("[!.]*"))) == 12


@pytest.mark.parametrize("after", [0, 2])
def test_ctrl_c_leaves_whole_files_and_nothing_else(tmp_path, apply, monkeypatch, after):
    done = FileWork._done
    left = iter(range(after))

    def interrupted(self, job, group):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return done(self, job, group)

    monkeypatch.setattr(FileWork, "_done", interrupted)
    assert "interrupted" in one_error(apply(code=130))
    monkeypatch.undo()
    assert names(tmp_path / "out") == ["0.png", "1.jpg"][:after]
    assert f"{after} complete before" in apply("--resume").stdout


def test_a_dead_worker_is_told_and_the_rest_can_be_done(tmp_path, models, folder, apply, monkeypatch):
    class Pool(batch.ProcessPoolExecutor):
        def submit(self, *arguments):
            return super().submit(os._exit, 1)

    monkeypatch.setattr(batch, "ProcessPoolExecutor", Pool)
    result = run("apply", "-m", models["macenko"], "-j", 2, folder, "-o", tmp_path / "out", code=1)
    assert "died after 0 of 4 files" in one_error(result)
    assert "--resume and fewer --workers" in one_error(result)
    assert names(tmp_path / "out") == []
    assert "4 normalized" in apply("--resume").stdout


# ---------------------------------------------------------------- apply: no room, no folder, two programs


def test_a_full_disk_is_an_error_for_each_file(tmp_path, apply):
    with no_room():
        result = apply(code=1)
    assert "0 normalized, 0 unchanged because blank, 4 failed" in result.stdout
    assert all("cannot be written (File too large); make room" in line for line in error_lines(result))
    assert names(tmp_path / "out") == []
    assert "4 normalized" in apply("--resume").stdout


def test_a_folder_that_cannot_be_made_is_one_error(tmp_path, apply):
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file/out"):
        assert "cannot be written" in one_error(apply(out=out, code=1))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_one_error(tmp_path, apply):
    (tmp_path / "out").mkdir(mode=0o555)
    assert "cannot be written (Permission denied)" in one_error(apply(code=1))


def test_the_second_program_on_a_folder_fails_at_once(tmp_path, apply):
    apply()
    before = contents(tmp_path / "out")
    lock = FileLock(tmp_path / "out/.stainxform.lock", tmp_path / "out")
    try:
        for options in ((), ("--force",), ("--resume",)):
            assert "another process is writing" in one_error(apply(*options, model="reinhard", code=1))
        now = contents(tmp_path / "out")
        del now[".stainxform.lock"]
        assert now == before
    finally:
        lock.release(remove=True)


def test_two_programs_do_not_mix(tmp_path, models):
    folder = save(tmp_path / "in", {f"{number}.png": TILES[number % 4] for number in range(40)})
    programs = {
        name: process("apply", "-m", path, folder, "-j", 1, "-o", tmp_path / "out") for name, path in models.items()
    }
    codes = {name: (program.communicate(), program.returncode)[1] for name, program in programs.items()}
    assert sorted(codes.values()) in ([0, 1], [1, 1]), codes
    (first,) = (name for name, code in codes.items() if code == 0)
    expected = [sx.load(models[first])(tile) for tile in TILES]
    for number in range(40):
        assert np.array_equal(read_image(tmp_path / f"out/{number}.png"), expected[number % 4])


# ---------------------------------------------------------------- apply: names, and what is no image

ODD_NAMES = {
    "255 bytes": "肝" * 83 + "xx.png",
    "line break": "a\nb.png",
    "no text": os.fsdecode(b"\xff\xfe\x80.png"),
    "blanks and dots": " .. .png",
    "option": "-o.png",
    "accents": "e\u0301.png",
}


@pytest.mark.parametrize("name", ODD_NAMES.values(), ids=ODD_NAMES)
def test_odd_names_are_names(tmp_path, models, folder, apply, name):
    save(tmp_path / "odd", {"x.png": TILES[0]})
    (tmp_path / "odd/x.png").rename(tmp_path / "odd" / name)
    (tmp_path / "odd/bad.png").write_text("no image")
    result = apply(inputs=(tmp_path / "odd",), code=1)
    assert "1 normalized, 0 unchanged because blank, 1 failed" in result.stdout
    assert os.listdir(tmp_path / "out") == [name]
    assert "1 complete before" in apply("--resume", inputs=(tmp_path / "odd",), code=1).stdout
    (tmp_path / "odd" / name).write_text("no image")
    assert len(error_lines(apply("--force", inputs=(tmp_path / "odd",), code=1))) == 2


def test_names_that_the_terminal_has_no_letters_for_are_said_somehow(tmp_path, models, folder, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    with process("apply", "-m", models["macenko"], folder, "-j", 1, "-o", tmp_path / "肝") as program:
        out, _ = program.communicate()
    assert program.returncode == 0
    assert out.strip().endswith("\\u809d")


@pytest.mark.parametrize("pair_of_names", [("t.png", "T.PNG"), ("e\u0301.png", "\u00e9.png"), ("a/t.png", "A/t.png")])
def test_names_that_differ_by_case_or_accents_alone(tmp_path, apply, monkeypatch, pair_of_names):
    """Two files where the file system tells them apart, an error where it does not."""
    folder = save(tmp_path / "odd", dict(zip(pair_of_names, TILES)))
    if len(names(folder)) < 2:
        pytest.skip("this file system does not tell them apart")
    apply(inputs=(folder,))
    assert names(tmp_path / "out") == sorted(pair_of_names)
    monkeypatch.setattr(outputs, "_ignores_case", lambda folder: True)
    message = one_error(apply(inputs=(folder,), out=tmp_path / "other", code=1))
    assert "would both be written to" in message
    assert not (tmp_path / "other").exists()


def test_whether_case_is_ignored_is_told_by_the_folders_that_are_there(tmp_path, monkeypatch):
    folder = tmp_path / "Out"
    (tmp_path / "Base").mkdir()
    assert outputs._ignores_case(tmp_path / "Base/new/deep") == (tmp_path / "bASE").exists()
    assert not outputs._ignores_case(Path("/"))
    folder.mkdir()
    (tmp_path / "oUT").symlink_to(folder)  # as a file system that ignores case would answer
    assert outputs._ignores_case(folder / "new")


def test_links_within_the_folder_make_no_two_outputs_one(tmp_path, apply):
    folder = save(tmp_path / "odd", {"a/t.png": TILES[0], "b/t.png": TILES[1]})
    (tmp_path / "out/a").mkdir(parents=True)
    (tmp_path / "out/b").symlink_to("a")
    assert "would both be written to" in one_error(apply(inputs=(folder,), code=1))


def test_an_input_that_does_not_open_costs_no_output(tmp_path, folder, apply):
    apply()
    before = contents(tmp_path / "out")
    for path in folder.glob("*.*"):
        path.write_bytes(path.read_bytes()[:40])
    assert "3 failed" in apply("--force", code=1).stdout
    after = contents(tmp_path / "out")
    assert {name for name in after if after[name] == before[name]} == {"0.png", "1.jpg", "2.tif"}


@pytest.mark.parametrize("given", ["slides/x.svs", "slides", "slides/*.ndpi", "in"])
def test_slides_are_answered_with_their_command(tmp_path, folder, apply, given):
    for name in ("x.svs", "y.ndpi"):
        (tmp_path / "slides").mkdir(exist_ok=True)
        (tmp_path / "slides" / name).write_bytes(b"a slide")
    if given == "in":  # images and slides: the images are done
        shutil.copy(tmp_path / "slides/x.svs", folder)
        assert "4 normalized" in apply().stdout
        return
    message = one_error(apply(inputs=(tmp_path / given,), code=1))
    assert "normalize whole slides with: stainxform slide" in message
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------- files of the other commands

COMMANDS = {
    "fit": lambda folder, models, out: ("fit", folder, "--method", "macenko", "-o", f"{out}.safetensors"),
    "calibrate": lambda folder, models, out: (
        ("calibrate", models["macenko"], folder, "-o", f"{out}.safetensors", "--qc", "off")
    ),
    "evaluate": lambda folder, models, out: (
        *("evaluate", "--centers", f"A={folder}", f"B={folder}", "-m", models["macenko"], "--target", "A"),
        *("-o", f"{out}.html"),
    ),
    "qc": lambda folder, models, out: ("qc", folder, "-o", f"{out}.png"),
}


@pytest.fixture(params=COMMANDS)
def command(request, models, folder):
    Image.new("RGB", (48, 48)).save(folder / "black.png")  # qc writes a sheet where it finds something
    return lambda out: COMMANDS[request.param](folder, models, out)


def output_of(arguments):
    return Path(arguments[arguments.index("-o") + 1])


def test_a_full_disk_leaves_no_half_file(tmp_path, command):
    arguments = command(tmp_path / "x")
    with no_room(100):
        line = error_lines(run(*arguments, code=1))[-1]
    assert "cannot be written (File too large); make room" in line
    assert os.listdir(tmp_path) == ["in"]
    output_of(arguments).write_text("old")
    with no_room(100):
        run(*arguments, "--force", code=1)
    assert output_of(arguments).read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["in", output_of(arguments).name]


def test_what_cannot_be_written_is_said_before_the_work(tmp_path, command):
    (tmp_path / "file").touch()
    shutil.rmtree(tmp_path / "in")  # nobody comes so far as to miss it
    message = one_error(run(*command(tmp_path / "file/x"), code=1))
    assert "cannot be written" in message or "does not exist" in message
    assert "File name too long" in run(*command(tmp_path / ("x" * 255)), code=2).stderr
    output_of(command(tmp_path / "folder")).mkdir()
    assert "is a folder" in one_error(run(*command(tmp_path / "folder"), code=1))


def test_the_second_program_on_a_file_fails_at_once(tmp_path, command):
    arguments = command(tmp_path / "x")
    output_of(arguments).write_text("old")
    with lock_output(output_of(arguments)):
        for options in ((), ("--force",)):
            assert "another process is writing" in one_error(run(*arguments, *options, code=1))
    assert output_of(arguments).read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["in", output_of(arguments).name]


def test_names_may_be_as_long_as_names_can_be(tmp_path, folder):
    out = tmp_path / ("x" * 243 + ".safetensors")
    run("fit", folder, "--method", "macenko", "-o", out)
    assert sx.load(out).method == "macenko"


def test_ctrl_c_leaves_no_file(tmp_path, command, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    assert "interrupted" in one_error(run(*command(tmp_path / "x"), code=130))
    assert os.listdir(tmp_path) == ["in"]


def test_a_fit_that_is_killed_leaves_the_old_file(tmp_path, folder):
    out = tmp_path / "x.safetensors"
    out.write_text("old")
    with process("fit", folder, "--method", "macenko", "-o", out, "--force") as program:
        while not (tmp_path / ".x.safetensors.lock").exists():
            assert program.poll() is None
            time.sleep(0.005)
        program.send_signal(signal.SIGKILL)
        program.communicate()
    assert out.read_text() == "old"
    run("fit", folder, "--method", "macenko", "-o", out, "--force")  # the lock of the dead is none
    assert sx.load(out).method == "macenko"


def test_report_and_numbers_need_two_files(tmp_path, models, folder):
    arguments = COMMANDS["evaluate"](folder, models, tmp_path / "x")
    assert "give two files" in one_error(run(*arguments, "--json", tmp_path / "x.html", code=1))


# ---------------------------------------------------------------- one file


@pytest.mark.parametrize("write", [lambda path: atomic_write(path, b"new"), check_writable])
def test_what_is_no_file_is_not_replaced(tmp_path, write):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name in ("folder", "pipe", "link"):
        with pytest.raises(OutputError, match=rf"{name} cannot be written \(it is no file\)"):
            write(tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["folder", "link", "pipe"]
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("write", [lambda path: atomic_write(path, b"new"), check_writable])
@pytest.mark.parametrize(
    ("name", "message"),
    [("x" * 256, "choose a shorter name"), ("a\0b", "null"), ("file/x", "Not a directory|File exists")],
)
def test_what_is_no_name_is_one_error(tmp_path, write, name, message):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=message):
        write(tmp_path / name)
    assert os.listdir(tmp_path) == ["file"]


def test_the_longest_name_can_be_written(tmp_path):
    atomic_write(tmp_path / ("x" * 255), b"new")
    assert (tmp_path / ("x" * 255)).read_bytes() == b"new"


# ---------------------------------------------------------------- the page

HELD_BY = {
    "two inputs would have one output, also where the file system ignores case or how accents are stored": (
        test_names_that_differ_by_case_or_accents_alone
    ),
    "an input is a whole slide, or a folder of slides": test_slides_are_answered_with_their_command,
    "names of 255 bytes, with line breaks, or that are no text": test_odd_names_are_names,
}
"""Rows of the page about ``apply``, and what holds them."""

FAULTS_HELD_BY = {
    "an output exists": test_an_existing_output_is_an_error_that_names_both_ways_on,
    "`--resume`, but an output was made from another source, model, settings or version": (
        test_resume_refuses_outputs_of_something_else
    ),
    "the program is killed, or the power fails": test_killed_and_resumed_is_as_if_nothing_had_happened,
    "Ctrl-C": test_ctrl_c_leaves_whole_files_and_nothing_else,
    "a worker process dies": test_a_dead_worker_is_told_and_the_rest_can_be_done,
    "the disk is full": test_a_full_disk_is_an_error_for_each_file,
    "the folder cannot be written to": test_a_folder_that_cannot_be_made_is_one_error,
    "another program writes the same output": test_two_programs_do_not_mix,
    "an input changes while it is read": test_image_files.test_a_file_that_changes_while_it_is_read_is_refused,
    "`--force`, but the input cannot be read": test_an_input_that_does_not_open_costs_no_output,
}
"""Rows of the page about faults, and what holds them for ``apply``; tests/test_slide_faults.py does for slides."""


def test_every_row_of_the_page_has_a_test():
    assert rows("stainxform apply") == list(HELD_BY)
    assert rows("Faults") == list(FAULTS_HELD_BY)
