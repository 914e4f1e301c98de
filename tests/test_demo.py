"""The demo, with tiny settings: what it measures, writes and says."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from typer.testing import CliRunner

import stainxform
from stainxform.cli.app import app
from stainxform.cli.demo.run import METHODS, TEST_TILES, Files, run_demo
from stainxform.errors import ParameterError
from stainxform.evaluate import psnr, ssim
from stainxform.io.images import image_files, read_image


@pytest.fixture
def no_torch(monkeypatch):
    """As if torch were not installed."""
    monkeypatch.setitem(sys.modules, "torch", None)


def read_all(folder):
    return [read_image(path) for path in image_files(folder)]


def test_demo_with_every_method(tmp_path):
    pytest.importorskip("torch")
    said = []
    scores = run_demo(tmp_path / "d", steps=2, tiles=3, size=40, tell=said.append)
    files = Files(tmp_path / "d")
    assert [score.title for score in scores] == ["no normalization", *METHODS.values()]
    assert stainxform.load(files.model).method == "stainlut"
    assert len(said) == 1 + len(METHODS)
    assert all(score.fit_seconds > 0 and score.seconds_per_megapixel > 0 for score in scores[1:])


def test_scores_are_those_of_the_files(tmp_path, no_torch):
    before, *after = run_demo(tmp_path, tiles=3, size=64)
    files = Files(tmp_path)
    ours, other, truth = (read_all(folder) for folder in (files.ours, files.other, files.truth))
    assert (len(ours), len(other), len(truth)) == (3, TEST_TILES, TEST_TILES)
    assert before.psnr == pytest.approx(np.mean([psnr(a, b) for a, b in zip(other, truth)]))
    assert before.ssim == pytest.approx(np.mean([ssim(a, b) for a, b in zip(other, truth)]))
    normalizer = stainxform.load(files.model)
    assert normalizer.method == "macenko"
    assert normalizer.info.tiles == 3
    assert after[-1].psnr == pytest.approx(np.mean([psnr(normalizer(a), b) for a, b in zip(other, truth)]))
    assert after[-1].psnr > before.psnr + 3  # two stains, known exactly: Macenko's home


def test_fit_and_test_are_other_tissue(tmp_path, no_torch):
    run_demo(tmp_path, tiles=TEST_TILES, size=32)
    files = Files(tmp_path)
    pairs = zip(read_all(files.ours), read_all(files.truth))
    assert not any(np.array_equal(a, b) for a, b in pairs)


def test_without_torch_it_says_so(tmp_path, no_torch):
    said = []
    scores = run_demo(tmp_path, tiles=2, size=32, tell=said.append)
    assert [score.title for score in scores] == ["no normalization", "Reinhard", "Macenko"]
    assert "StainLUT left out" in said[-1]
    assert "stainxform[torch]" in said[-1]


def test_the_picture_shows_every_column(tmp_path, no_torch):
    run_demo(tmp_path, tiles=2, size=48)
    files = Files(tmp_path)
    picture = read_image(files.picture)
    assert picture.shape[1] > 4 * 48
    assert picture.shape[0] > 2 * 48
    for tile in (read_all(files.other)[0], read_all(files.truth)[1]):
        windows = np.lib.stride_tricks.sliding_window_view(picture, (48, 48, 3))[..., 0, :, :, :]
        corners = np.argwhere((windows[..., 0, 0, :] == tile[0, 0]).all(-1))
        assert any(np.array_equal(windows[row, column], tile) for row, column in corners)


def test_a_folder_that_is_not_empty_is_refused(tmp_path, no_torch):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(ParameterError, match="not empty"):
        run_demo(tmp_path)
    run_demo(tmp_path, tiles=2, size=32, force=True)
    assert (tmp_path / "mine.txt").read_text() == "precious"


@pytest.mark.parametrize("numbers", [{"tiles": 0}, {"size": 16}])
def test_wrong_numbers(tmp_path, numbers):
    with pytest.raises(ParameterError, match="at least"):
        run_demo(tmp_path / "d", **numbers)
    assert not (tmp_path / "d").exists()


def test_command(tmp_path, no_torch, monkeypatch):
    """In the default folder; the commands that it suggests run."""
    monkeypatch.chdir(tmp_path)
    runner = CliRunner(env={"COLUMNS": "160"})
    result = runner.invoke(app, ["demo", "--tiles", "2", "--size", "48"])
    assert result.exit_code == 0, result.output
    for word in ("no normalization", "Macenko", "PSNR", "SSIM", "dB", "demo.png"):
        assert word in result.stdout
    suggested = [line.split() for line in result.stdout.splitlines() if line.startswith("  stainxform ")]
    assert [words[1] for words in suggested] == ["info", "apply", "fit"]
    for words in suggested[:2]:
        assert runner.invoke(app, words[1:]).exit_code == 0
    assert len(image_files(tmp_path / "stainxform-demo" / "normalized")) == TEST_TILES
    again = runner.invoke(app, ["demo"])
    assert again.exit_code == 1
    assert again.stderr.startswith("error: stainxform-demo exists and is not empty")
