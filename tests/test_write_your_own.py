"""docs/write_your_own.md: its example works in every host, on the command line, in a saved file, and by entry point."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import stainxform as sx
from stainxform.augment import AUGMENTATIONS
from stainxform.image.layout import as_numpy
from stainxform.normalizers.registry import METHODS
from stainxform.samples import pair, write_center

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import method_tables

PAGE = Path(__file__).parents[1] / "docs" / "write_your_own.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
ENTRY_POINTS = "[stainxform.normalizers]\nmean_density = mean_density:MeanDensity\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The page's module in a file, and tiles of two centers."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "mean_density.py").write_text(BLOCKS[0])
    for name in "ab":
        write_center(folder / f"center_{name}", name, 3, 64, 1)
    return folder


@pytest.fixture
def plugin(folder, monkeypatch):
    """The module, imported: its method is registered until the test ends."""
    monkeypatch.syspath_prepend(folder)
    monkeypatch.chdir(folder)
    monkeypatch.delitem(sys.modules, "mean_density", raising=False)
    with METHODS.temporarily():
        yield importlib.import_module("mean_density")


def test_the_page_runs_as_written(plugin, folder):
    names = {"sx": sx, "image": pair(1, 64, seed=1)[1][0]}
    exec(BLOCKS[1], names)
    assert not np.array_equal(names["normalized"], names["image"])
    wanted = names["normalized"]
    first = np.moveaxis(names["image"], -1, 0).copy()
    monai = as_numpy(names["for_monai"]({"image": first})["image"])
    assert np.array_equal(np.moveaxis(monai, 0, -1), wanted)
    assert np.array_equal(names["for_albumentations"](image=names["image"])["image"], wanted)


def test_the_tests_of_the_page_find_it_right(plugin, tmp_path):
    names = {}
    exec(BLOCKS[2], names)
    tests = names["TestMeanDensity"]()
    assert run_tests(tests, tmp_path) >= 18


def run_tests(tests, tmp_path):
    """Call each test of a test class, as pytest would; how many there were."""
    ran = 0
    for name in sorted(dir(tests)):
        if name.startswith("test_"):
            getattr(tests, name)(*([tmp_path] if "saved" in name else []))
            ran += 1
    return ran


def test_the_augmentation_of_the_page_works_and_its_tests_find_it_right(tmp_path, monkeypatch):
    (tmp_path / "thickness.py").write_text(BLOCKS[3])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "thickness", raising=False)
    names = {}
    with AUGMENTATIONS.temporarily():
        exec(BLOCKS[4], names)
        image = pair(1, 64, seed=1)[0][0]
        for host in ("monai", "albumentations"):
            assert importlib.import_module(f"stainxform.{host}").RandThickness
        assert run_tests(names["TestThickness"](), tmp_path) >= 9
        thick = names["Thickness"]()(image, {"factor": 1.5})
        assert thick.mean() < image.mean() < names["Thickness"]()(image, {"factor": 0.7}).mean()


def test_the_tables_of_the_docs_follow_from_the_registry(plugin, tmp_path):
    ours, theirs = method_tables.tiles()
    for page in ("choosing.md", "bad_input.md", "api/normalizers.md"):
        (tmp_path / page).parent.mkdir(exist_ok=True)
        (tmp_path / page).write_text("\n".join(method_tables.MARKS))
    fitted = {"mean_density": sx.fit_center(ours, "mean_density")}
    method_tables.write(tmp_path, fitted, ours, theirs)
    row = "| `mean_density` | our tiles | mean density | yes | yes | yes | no |"
    assert row in (tmp_path / "choosing.md").read_text()
    assert "| `mean_density` | kept | kept | applied |" in (tmp_path / "bad_input.md").read_text()
    for line in ("::: mean_density.MeanDensity", "::: mean_density.MeanDensitySettings"):
        assert line in (tmp_path / "api" / "normalizers.md").read_text()


def command(folder, *arguments):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(PAGE.parents[1])])}
    return subprocess.run(
        [sys.executable, "-m", "stainxform", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_an_entry_point_is_enough_for_the_command_line(folder):
    metadata = folder / "mean_density-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: mean-density\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    listed = command(folder, "methods")
    assert "mean_density" in listed.stdout, listed.stderr
    fit = ["fit", "center_a", "-o", "a.safetensors", "--method", "mean_density", "--qc", "off"]
    wrong = command(folder, *fit, "--set", "strength=2")
    assert (wrong.returncode, "strength is a fraction from 0 to 1, got 2" in wrong.stderr) == (1, True)
    done = command(folder, *fit, "--set", "strength=0.5")
    assert done.returncode == 0, done.stderr
    applied = command(folder, "apply", "--model", "a.safetensors", "center_b", "-o", "normalized", "-j", "1")
    assert applied.returncode == 0, applied.stderr
    assert len(list((folder / "normalized").glob("*.png"))) == 3


def test_an_entry_point_that_fails_is_named_and_stops_nothing(folder, tmp_path):
    metadata = tmp_path / "broken-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[stainxform.normalizers]\nbroken = no_such_module:Broken\n")
    listed = command(tmp_path, "methods")
    assert listed.returncode == 0
    assert "macenko" in listed.stdout
    assert "'broken' of no_such_module:Broken cannot be used" in listed.stderr
