"""The demo, with tiny settings: what it measures, writes and says."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from typer.testing import CliRunner

import stainxform
from stainxform.cli.app import app
from stainxform.cli.demo.run import CONTENTS, METHODS, Files, run_demo
from stainxform.errors import ParameterError
from stainxform.evaluate import psnr, ssim
from stainxform.io.images import read_image
from stainxform.io.search import image_files

pytestmark = pytest.mark.filterwarnings("ignore::stainxform.errors.StainXformWarning")


@pytest.fixture(autouse=True)
def no_torch(monkeypatch):
    """As if torch were not installed: the demo does without."""
    monkeypatch.setitem(sys.modules, "torch", None)


def read_all(folder):
    return [read_image(path) for path in image_files(folder)]


def test_demo_with_every_method(tmp_path):
    said = []
    scores = run_demo(tmp_path / "d", slides=2, size=64, tell=said.append)
    files = Files(tmp_path / "d")
    wanted = [f"{title}, {unit}" for title in METHODS.values() for unit in ("per tile", "calibrated")]
    assert [score.title for score in scores] == ["no normalization", *wanted]
    calibration = stainxform.load(files.calibration)
    assert (calibration.model_method, calibration.groups) == ("transport", ("slide_1", "slide_2"))
    assert len(said) == 1 + len(METHODS)
    assert all(score.fit_seconds > 0 and score.seconds_per_megapixel > 0 for score in scores[1:])


def test_scores_are_those_of_the_files(tmp_path):
    before, *after = run_demo(tmp_path, slides=3, size=96)
    files = Files(tmp_path)
    ours, theirs, test, truth = (read_all(folder) for folder in (files.ours, files.theirs, files.test, files.truth))
    assert len(ours) == len(theirs) == len(test) == len(truth) == 3 * len(CONTENTS)
    assert before.psnr == pytest.approx(np.mean([psnr(a, b) for a, b in zip(test, truth)]))
    assert before.ssim == pytest.approx(np.mean([ssim(a, b) for a, b in zip(test, truth)]))
    center, calibration = stainxform.load(files.model), stainxform.load(files.calibration)
    assert center.method == "transport"
    assert center.info.tiles == calibration.info.tiles == len(ours)
    groups = [path.parent.name for path in image_files(files.test)]
    calibrated = [calibration(a, group=group) for a, group in zip(test, groups)]
    assert after[-2].psnr == pytest.approx(np.mean([psnr(center(a), b) for a, b in zip(test, truth)]))
    assert after[-1].psnr == pytest.approx(np.mean([psnr(a, b) for a, b in zip(calibrated, truth)]))


def test_calibrated_is_closer_than_per_tile(tmp_path):
    """As on real scanners: a tile's statistics are mostly what it shows."""
    before, *after = run_demo(tmp_path)
    for per_tile, calibrated in zip(after[::2], after[1::2], strict=True):
        assert calibrated.psnr > per_tile.psnr + 1 > before.psnr + 2
        assert calibrated.ciede2000 < per_tile.ciede2000 < before.ciede2000


def test_fit_calibration_and_test_are_other_tissue(tmp_path):
    run_demo(tmp_path, slides=1, size=32)
    files = Files(tmp_path)
    for fitted, tested in ((files.ours, files.truth), (files.theirs, files.test)):
        assert not any(np.array_equal(a, b) for a, b in zip(read_all(fitted), read_all(tested)))


def test_what_it_writes_is_not_called_like_a_users_own(tmp_path):
    run_demo(tmp_path, slides=1, size=32)
    assert {path.name for path in tmp_path.glob("*.safetensors")} == {
        "demo_center_a.safetensors", "demo_center_b_to_a.safetensors",
    }  # fmt: skip


def test_the_picture_shows_every_column(tmp_path):
    run_demo(tmp_path, slides=1, size=48)
    files = Files(tmp_path)
    picture = read_image(files.picture)
    assert picture.shape[1] > 6 * 48
    assert picture.shape[0] > 2 * 48
    for tile in (read_all(files.test)[0], read_all(files.truth)[1]):
        windows = np.lib.stride_tricks.sliding_window_view(picture, (48, 48, 3))[..., 0, :, :, :]
        corners = np.argwhere((windows[..., 0, 0, :] == tile[0, 0]).all(-1))
        assert any(np.array_equal(windows[row, column], tile) for row, column in corners)


def test_a_folder_that_is_not_empty_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(ParameterError, match="not empty"):
        run_demo(tmp_path)
    run_demo(tmp_path, slides=1, size=32, force=True)
    assert (tmp_path / "mine.txt").read_text() == "precious"


@pytest.mark.parametrize("numbers", [{"slides": 0}, {"size": 16}])
def test_wrong_numbers(tmp_path, numbers):
    with pytest.raises(ParameterError, match="at least"):
        run_demo(tmp_path / "d", **numbers)
    assert not (tmp_path / "d").exists()


def test_command(tmp_path, monkeypatch):
    """In the default folder; the commands that it suggests run, in their order."""
    monkeypatch.chdir(tmp_path)
    runner = CliRunner(env={"COLUMNS": "160"})
    result = runner.invoke(app, ["demo", "--slides", "2", "--size", "64"])
    assert result.exit_code == 0, result.output
    for word in ("no normalization", "transport, calibrated", "PSNR", "SSIM", "dB", "demo.png", "StainLUT"):
        assert word in result.stdout
    suggested = [line.split() for line in result.stdout.splitlines() if line.startswith("  stainxform ")]
    assert [words[1] for words in suggested] == ["info", "fit", "calibrate", "apply"]
    for words in suggested:
        ran = runner.invoke(app, words[1:])
        assert ran.exit_code == 0, ran.output
    written = image_files(tmp_path / "stainxform-demo" / "normalized")
    assert len(written) == 2 * len(CONTENTS)
    again = runner.invoke(app, ["demo"])
    assert again.exit_code == 1
    assert again.stderr.startswith("error: stainxform-demo exists and is not empty")
