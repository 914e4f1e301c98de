"""The benchmark of slides makes its slides, measures and reports. No figure is asserted: they belong to the machine."""

import importlib.util
import os
import sys
from pathlib import Path

import numpy as np
import pytest

import stainxform as sx

pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")

ROOT = Path(__file__).parents[1]


@pytest.fixture
def slides(monkeypatch):
    if not Path("/proc/self/status").exists():
        pytest.skip("peak memory is read from /proc")
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    spec = importlib.util.spec_from_file_location("slides_benchmark", ROOT / "benchmarks" / "slides.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["slides_benchmark"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["slides_benchmark"]
    sys.modules.pop("pages", None)


def test_the_mosaic_is_the_same_whatever_is_read_of_it(slides):
    piece = np.random.default_rng(0).integers(0, 100, (slides.PIECE, slides.PIECE, 3), dtype=np.uint8)
    with slides.Mosaic(piece, 5000, 0.4) as mosaic:
        whole = mosaic.read(0, 0, 0, 5000, 5000)
        np.testing.assert_array_equal(mosaic.read(0, 1000, 1900, 2300, 700), whole[1900:2600, 1000:3300])
        np.testing.assert_array_equal(mosaic.read(0, 4999, 0, 1, 1), whole[:1, 4999:])
        assert (whole.min(-1) > 200).mean() == pytest.approx(0.6, abs=0.05)


@pytest.mark.slow
def test_jobs_are_measured_killed_and_reported(slides, tmp_path):
    page = tmp_path / "slides.md"
    options = "--side 1024 --rounds 1 --kills 1 --slides s100 --threads 1"
    slides.main(["-o", str(tmp_path / "runs"), "--table", str(page), *options.split()])
    text = page.read_text()
    assert "| s100 | macenko |" in text
    assert "Killed at 1 random moments and resumed" in text
    with sx.open_slide(tmp_path / "runs" / "s40_1024.tif") as slide:
        assert len(slide.levels) == 3
