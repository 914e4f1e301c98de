"""A few inputs of each kind of the fuzz campaign do no harm, and the campaign notices what does."""

import importlib.util
import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "benchmarks" / "fuzz"
MODULES = {path.stem for path in (*FOLDER.glob("*.py"), *FOLDER.glob("*/"))} | {"pages"}

pytest.importorskip("torch")
pytest.importorskip("monai")
pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")


@pytest.fixture(autouse=True)
def modules(monkeypatch):
    """The campaign is a script: its folder is on the path while it runs."""
    import torch

    threads = torch.get_num_threads()
    monkeypatch.syspath_prepend(FOLDER.parent)
    monkeypatch.syspath_prepend(FOLDER)
    yield
    torch.set_num_threads(threads)
    for name in [name for name in sys.modules if name.partition(".")[0] in MODULES]:
        del sys.modules[name]


def run(*arguments):
    command = [sys.executable, str(FOLDER / "run.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


COUNTS = {"images": 60, "pipelines": 25, "slides": 24, "models": 120, "files": 60, "commands": 12}


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.slow] * (kind in ("slides", "commands"))) for kind in COUNTS]
)
def test_inputs_do_no_harm(kind, tmp_path):
    from kinds import KINDS

    made = KINDS[kind](tmp_path)
    outcomes = Counter(made.case(number) for number in range(COUNTS[kind]))
    assert len(outcomes) > 1


def test_an_input_is_the_same_each_time(tmp_path):
    from damage import mutate, mutate_xml, ome_seeds, seeds

    for change, whole in ((mutate, seeds(tmp_path, 64)[0]), (mutate_xml, ome_seeds(tmp_path, 64)[0])):
        one, again, other = (change(whole, np.random.default_rng(seed)) for seed in (4, 4, 5))
        assert one == again != other
        assert one != whole


def test_what_dies_hangs_or_raises_is_noted_and_the_rest_is_done(tmp_path, monkeypatch):
    from worker import Worker

    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    worker = Worker("broken_kind:Broken", 1, tmp_path / "work", seconds=0.5)
    found = {}
    try:
        for _ in range(400):
            report = worker.poll()
            found |= {fault["number"]: fault["fault"] for fault in report.faults}
            if report.upto > 20:
                break
    finally:
        worker.close()
    assert report.upto > 20
    assert found.keys() == {3, 5, 7, 9, 11}
    assert found[3].startswith("the process died: signal 6")
    assert found[5] == "hang"
    assert found[7].startswith("ValueError")
    assert found[9].startswith("MemoryError")


def test_a_stopped_campaign_goes_on_where_it_stopped(tmp_path):
    from journal import Journal
    from run import main

    page = tmp_path / "page.md"
    page.write_text("# Reliability\n\n<!-- campaign: begin -->\nold\n<!-- campaign: end -->\n\nafter\n")
    assert main(["-o", str(tmp_path), "--kinds", "files", "--count", "5"]) == 0
    first = Journal(tmp_path).of("files")["next"]
    assert first >= 5
    assert main(["-o", str(tmp_path), "--kinds", "files", "--count", str(first)]) == 0  # nothing is left to do
    assert Journal(tmp_path).of("files")["next"] == first
    assert main(["-o", str(tmp_path), "--kinds", "files", "--count", str(first + 1), "--table", str(page)]) == 0
    assert Journal(tmp_path).of("files")["next"] > first
    assert "| image files |" in page.read_text()
    assert page.read_text().endswith("after\n")


def test_which_errors_are_documented():
    from faults import documented

    from stainxform.errors import ModelFileError

    def raised(error, cause=None):
        try:
            raise error from cause
        except Exception as caught:
            return caught

    assert documented(raised(ModelFileError("x")))
    assert documented(raised(RuntimeError("of a host"), ModelFileError("x")))
    assert not documented(raised(ValueError("x")))
    assert not documented(raised(ModelFileError("x"), MemoryError()))


def test_faults_of_one_place_are_one(tmp_path):
    from faults import Faults

    faults = Faults(tmp_path)
    assert faults.add("images", "place", "message", {"number": 1}, b"data")
    assert not faults.add("images", "place", "message", {"number": 2})
    assert faults.add("slides", "place", "message", {"number": 1})
    assert [fault["times"] for fault in faults.all()] == [2, 1]
    assert (next(tmp_path.glob("images*.bin"))).read_bytes() == b"data"


FOUND = {"auto": [91], "openslide": [17, 33, 117]}
"""Damaged files that once did harm, by the reader."""


@pytest.mark.slow
@pytest.mark.parametrize(("reader", "file"), [(reader, file) for reader, files in FOUND.items() for file in files])
def test_what_was_found_stays_fixed(reader, file, tmp_path):
    from kinds.slides import READERS

    if reader != "auto":
        pytest.importorskip(reader)
    number = 2 * (file * len(READERS) + READERS.index(reader))
    done = run("-o", tmp_path, "--kinds", "slides", "--only", number)
    assert done.returncode == 0, done.stderr


def has_libfuzzer():
    if shutil.which("clang++") is None:
        return False
    command = ["clang++", "-fsanitize=fuzzer,address,undefined", "-x", "c++", "-", "-o", "/dev/null"]
    code = 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }'
    return subprocess.run(command, input=code, capture_output=True, text=True, check=False).returncode == 0


@pytest.mark.slow
def test_the_kernels_under_libfuzzer(tmp_path):
    if not has_libfuzzer():
        pytest.skip("clang++ with libFuzzer is not there")
    done = run("-o", tmp_path, "--kinds", "kernels", "--count", 2000)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / "journal.json").read_text())["kernels"]["next"] >= 2000


@pytest.mark.slow
def test_the_index_under_atheris(tmp_path):
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris is not there")
    done = run("-o", tmp_path, "--kinds", "index", "--count", 200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / "journal.json").read_text())["index"]["next"] >= 200


def test_growth_is_measured():
    from memory import GROWTH, grown

    def steps(size):
        kept = []
        while True:
            kept.append(b"x" * size)
            yield

    early, late = grown(steps(8 << 20), 20)
    assert late - early > GROWTH
    early, late = grown(steps(0), 20)
    assert late - early < GROWTH


def test_tiles_through_a_host_leave_no_memory():
    from memory import GROWTH, measure

    row = measure("torch, channels first", 200)
    assert row["late"] - row["early"] < GROWTH
