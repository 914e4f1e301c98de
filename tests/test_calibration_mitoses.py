"""The study of mitoses on two scanners, in small: from crops to a table, resumed without making anything again."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks" / "quality"))

import calibration_mitoses as study

from stainxform.samples import pair


@pytest.fixture
def crops(tmp_path):
    rows = []
    for domain, tiles in zip(study.SCANNERS.values(), pair(16, 128, seed=3)):
        for number, tile in enumerate(tiles):
            name = f"{domain}_{number}.png"
            Image.fromarray(tile).save(tmp_path / name)
            label = "Atypical" if number % 2 else "Normal"
            rows.append({"file": name, "label": label, "domain": domain, "slide": f"{number // 4}"})
    with (tmp_path / "derived_domains.csv").open("w") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return tmp_path


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*few to calibrate")
def test_from_crops_to_a_table(crops, tmp_path, monkeypatch):
    monkeypatch.setattr(study, "STEPS", 2)
    monkeypatch.setattr(study, "SEEDS", 1)
    monkeypatch.setattr(study, "METHODS", ("transport",))
    output = tmp_path / "out"
    output.mkdir()
    found = study.study(crops, output)
    assert len(found) == 4
    assert {"none", "transport, tile", "transport, center"} == found[next(iter(found))].keys()
    before = {path: path.stat().st_mtime_ns for path in output.iterdir()}
    assert study.study(crops, output) == found
    assert {path: path.stat().st_mtime_ns for path in output.iterdir()} == before
    lines = study.table(crops, found)
    assert len(lines) == 2 + 4 * 3


def test_the_area_under_the_curve_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    atypical, scores = rng.integers(2, size=80), rng.normal(size=80)
    assert study.auc(np.column_stack([scores, atypical])) == pytest.approx(roc_auc_score(atypical, scores))


def test_no_tested_crop_is_calibrated_on(crops):
    data = study.Crops(crops, next(iter(study.SCANNERS.values())))
    for seen, tested in data.halves():
        assert not (set(data.slides[seen]) & set(data.slides[tested]))
        assert (seen ^ tested).all()
