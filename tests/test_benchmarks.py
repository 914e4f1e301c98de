"""The speed benchmark measures, checks and reports. No figure is asserted: they belong to the machine."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from stainxform._native import native

FOLDER = Path(__file__).parents[1] / "benchmarks" / "speed"
MODULES = ("environment", "jobs", "layouts", "makers", "measure", "report", "run")


@pytest.fixture(autouse=True)
def modules(monkeypatch):
    """The benchmark is a script: its folder is on the path while it runs."""
    threads = torch.get_num_threads()
    monkeypatch.syspath_prepend(FOLDER)
    yield
    native.set_threads(0)
    torch.set_num_threads(threads)
    for name in [name for name in sys.modules if name.partition(".")[0] in MODULES]:
        del sys.modules[name]


def test_our_rows_reach_the_table_and_the_record(tmp_path):
    from run import main

    page = tmp_path / "speed.md"
    page.write_text("before\n\n<!-- speed: begin -->\nold\n<!-- speed: end -->\nafter\n")
    options = "--sizes 64 --threads 1 --jobs macenko --rounds 2 --only-ours --no-memory --no-imports"
    main(["-o", str(tmp_path), "--table", str(page), *options.split()])

    text = page.read_text()
    assert text.startswith("before")
    assert text.endswith("after\n")
    assert "old" not in text
    assert text.count("| **stainxform** |") == 1
    assert "| Macenko | >= 25x | not measured |" in text  # that is for 1024 px, and beside peers

    rows = json.loads((tmp_path / "record.json").read_text())["time"]["macenko"]["1"]
    assert set(rows) == {"64", "8x256"}
    assert all(row["stainxform"]["median"] > 0 for row in rows.values())


def test_a_job_measured_again_leaves_the_others_unless_the_environment_changed(tmp_path, monkeypatch):
    import run

    def measured(job):
        options = "--sizes 64 --threads 1 --rounds 2 --only-ours --no-memory --no-imports --no-batches"
        run.main(["-o", str(tmp_path), *options.split(), "--jobs", job])
        return set(json.loads((tmp_path / "record.json").read_text())["time"])

    assert measured("hsv") == {"hsv"}
    assert measured("map_only") == {"hsv", "map_only"}
    now = run.describe()
    monkeypatch.setattr(run, "describe", lambda: now | {"native": "another"})
    assert measured("map_only") == {"map_only"}


def test_every_job_runs_ours(tissue_pair):
    from jobs import JOBS, load
    from layouts import as_levels

    target, image = tissue_pair
    for name in JOBS:
        job = load(name)
        assert job.ours in job.implementations(target, image)
        for title, maker in job.implementations(target, image).items():
            if job.is_ours(title):
                assert as_levels(maker()(), image.shape).std() > 1


@pytest.fixture
def tissue_pair():
    from stainxform.samples import pair

    return tuple(images[0] for images in pair(1, 64, seed=1))


def test_a_missing_or_broken_peer_is_a_row_with_a_reason(tissue_pair):
    from jobs import Job
    from measure import time_job

    target, image = tissue_pair

    def missing():
        import no_such_peer  # noqa: F401

    def blank():
        return lambda: np.full_like(image, 7)

    def crashes():
        raise ValueError("broken\nin two lines")

    makers = {"stainxform": lambda: image.copy, "a": missing, "b": blank, "c": crashes}
    rows = time_job(Job("test", "Test", lambda *_: makers), target, image, 1, 2, 1.0, only_ours=False)
    assert list(rows) == list(makers)
    assert "not installed (no_such_peer)" in rows["a"]["problem"]
    assert "blank, 7" in rows["b"]["problem"]
    assert rows["c"]["problem"] == "fails: ValueError: broken"
    assert rows["stainxform"]["samples"] == 2


def test_a_peer_that_should_agree_and_does_not_is_told(tissue_pair):
    from jobs import Job
    from measure import time_job
    from report import levels

    target, image = tissue_pair
    makers = {"stainxform": lambda: image.copy, "a": lambda: lambda: image // 2, "b": lambda: lambda: image // 2}
    job = Job("test", "Test", lambda *_: makers, same=("a",))
    rows = time_job(job, target, image, 1, 2, 1.0, only_ours=False)
    assert "should agree" in levels(rows["a"])
    assert "should agree" not in levels(rows["b"])


def test_several_threads_take_turns_with_one(tissue_pair):
    from jobs import load
    from measure import time_job

    rows = time_job(load("macenko"), *tissue_pair, 2, 2, 1.0, only_ours=True)
    assert set(rows) == {"stainxform"}
    assert rows["stainxform"]["one_thread"] > 0


def made_up_record(ours: float, peer: float) -> dict:
    rows = {
        "stainxform": {"median": ours, "iqr": 0.0, "samples": 5},
        "stainx": {"median": peer, "iqr": 0.0, "samples": 5},
    }
    rows["MONAI"] = {"problem": "not installed (monai)"}
    return {
        "environment": {"date": "", "cpu": "", "system": "", "native": "plain", "load": 0.0, "versions": {}},
        "image": "",
        "time": {
            "macenko": {
                "1": {"1024": rows, "2048": rows},
                "2": {"2048": {"stainxform": rows["stainx"] | {"one_thread": ours}}},
            }
        },
        "memory": {"macenko": {"stainxform": {"bytes_per_pixel": 21.0}, "stainx": {"bytes_per_pixel": 100.0}}},
        "import": {"stainxform": {"seconds": 0.1}, "stainx": {"problem": "not installed"}},
    }


@pytest.mark.parametrize(
    ("ours", "peer", "reached"), [(0.01, 0.25, "yes"), (0.01, 0.24, "**no**"), (0.02, 0.01, "**no**")]
)
def test_losses_are_told_as_plainly_as_wins(ours, peer, reached):
    from report import acceptance

    rows = {row[0]: row for row in acceptance(made_up_record(ours, peer))}
    assert rows["Macenko"][2:] == [f"{peer / ours:.3g}x", "stainx", reached]
    assert rows["Reinhard"][2] == "not measured"
    assert rows["Peak extra memory of every pointwise method"][2:] == [
        "21",
        "most: Macenko (stainxform); 1 of 1 over",
        "**no**",
    ]
    assert rows["Two threads, 2048 px"][2] == f"{ours / peer:.2f}x"


def test_the_plain_build_is_named_and_problems_are_notes():
    from report import markdown

    text = markdown(made_up_record(0.01, 0.25))
    assert "no compiled kernels (plain)" in text
    row = next(line for line in text.splitlines() if line.startswith("| MONAI"))
    assert row.startswith("| MONAI | - | - |")
    assert "not installed (monai)" in row


def test_crops_lie_side_by_side_and_small_pictures_are_mirrored(tmp_path):
    from PIL import Image
    from run import crops

    picture = np.random.default_rng(0).integers(0, 256, (40, 70, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "x.png")
    tiles = crops(tmp_path / "x.png", 4, 30)
    assert tiles.shape == (4, 30, 30, 3)
    assert (tiles[1] == picture[:30, 30:60]).all()
    assert (tiles[2, :10] == picture[30:, :30]).all()
    assert (tiles[2, 10:] == picture[:19:-1, :30]).all()


def test_imports_are_timed_in_fresh_processes_and_missing_ones_are_none():
    from run import import_seconds

    assert import_seconds("import stainxform") > 0
    assert import_seconds("import no_such_peer") is None
