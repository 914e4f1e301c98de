"""The benchmark on two scanners: what it must find on tissue made here, resumed, and its page."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from stainxform.io.images import write_image
from stainxform.samples import pair

FOLDER = Path(__file__).parents[1] / "benchmarks" / "quality"
MODULES = ("calibration_scanners", "scanner_pairs", "pages")
pytestmark = pytest.mark.filterwarnings("ignore::stainxform.errors.StainXformWarning")


@pytest.fixture(autouse=True)
def modules(monkeypatch):
    """The benchmark is a script: its folders are on the path while it runs."""
    monkeypatch.syspath_prepend(FOLDER.parent)
    monkeypatch.syspath_prepend(FOLDER)
    yield
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def aligned(tmp_path_factory):
    """Three slides of four frames, the same tissue at both centers."""
    folder = tmp_path_factory.mktemp("aligned")
    for letter, side, images in zip("AH", ("aperio", "hamamatsu"), pair(12, 48, seed=3)):
        (folder / side).mkdir()
        for number, image in enumerate(images):
            write_image(folder / side / f"{letter}{number // 4:02}{number % 4}_0.png", image)
    return folder


def run(benchmark, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["calibration_scanners.py", *map(str, arguments)])
    benchmark.main()


def test_studies_are_kept_and_become_a_page(aligned, tmp_path, monkeypatch):
    import calibration_scanners as benchmark

    monkeypatch.setattr(benchmark, "METHODS", {"transport": {}})
    monkeypatch.setattr(benchmark.Fold, "forms", lambda fold: {key: [20.0, 0.5, 9.0] for key in benchmark.FORMS})
    monkeypatch.setattr(benchmark, "STUDIES", ["bounds", "offsets", "transport", "forms"])
    out, page = tmp_path / "out", tmp_path / "page.md"
    page.write_text("\n".join(["before", *benchmark.MARKS, "after\n"]))
    run(benchmark, monkeypatch, aligned, "-o", out, "--table", page)

    bounds, units = (json.loads((out / f"{study}_01.json").read_text()) for study in ("bounds", "transport"))
    assert bounds["own pairs"][0] > bounds["none"][0] + 1
    assert units.keys() == set(benchmark.UNITS)
    assert units["center"][0] > bounds["none"][0]
    text = page.read_text()
    assert text.startswith("before")
    assert text.endswith("after\n")
    assert "| `transport` |" in text
    assert "(+100 %)" in text

    (out / "bounds_01.json").unlink()
    kept = (out / "transport_01.json").stat().st_mtime_ns
    run(benchmark, monkeypatch, aligned, "-o", out)
    assert json.loads((out / "bounds_01.json").read_text()) == bounds
    assert (out / "transport_01.json").stat().st_mtime_ns == kept


def test_no_tile_is_tested_that_its_own_calibration_saw(aligned, tmp_path, monkeypatch):
    """The column "calibrated" sees other frames of the slide; the marked one sees all."""
    import calibration_scanners as benchmark

    tiles = benchmark.tiles_of(aligned)
    fold = benchmark.Fold(tiles, "01", tmp_path)
    seen, tested = [], []

    class Center:
        def __call__(self, image):
            return image

        def map_for_tiles(self, images):
            return self

        def calibrate(self, images, groups, **options):
            assert len(images) == len(groups)
            seen.append({image.tobytes() for image in images})
            return self

        def for_group(self, group):
            def apply(image):
                tested.append(image.tobytes() in seen[-1])
                return image

            return apply

    monkeypatch.setattr(fold, "center", lambda name: Center())
    fold.units("transport")
    half = len(fold.test)
    assert tested == [False] * half + [True] * half
    assert not seen[0] & {tile.theirs.tobytes() for tile in fold.test}


def test_offsets_find_a_shift_that_was_made(aligned, tmp_path):
    import calibration_scanners as benchmark

    tiles = benchmark.tiles_of(aligned)
    shifted = benchmark.ChannelAffineMap(benchmark.CIELab(), np.ones(3), np.array([0.0, 6.0, -8.0]))
    made = [benchmark.Tile(t.slide, t.frame, t.ours, shifted(t.ours)) for t in tiles]
    found = benchmark.Fold(made, "01", tmp_path).offsets()
    assert found["own pairs: a, b"][0] > 35
    assert found["others' pairs: a, b"][0] > 35
    assert found["own pairs: L"][0] < 30


def test_means_are_taken_in_optical_density():
    import calibration_scanners as benchmark

    dark, light = (np.full((2, 2, 3), level, np.uint8) for level in (63, 255))
    (mean,) = benchmark.mean_of((0.5, [dark]), (0.5, [light]))
    assert set(mean.ravel().tolist()) == {127}  # half of the light is kept, twice half of it is: 64/256 -> 128/256
