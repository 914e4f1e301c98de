"""The downstream benchmarks run from folders to tables, and go on where they stopped. No figure is asserted."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stainxform.samples import render, tissue

pytest.importorskip("monai")
pytest.importorskip("sklearn")

FOLDER = Path(__file__).parents[1] / "benchmarks"
MODULES = ("contenders", "nuclei", "nuclei_instances", "nuclei_labs", "nuclei_net", "pages", "scanner_identity")
CENTERS = ("a", "b")


@pytest.fixture(autouse=True)
def modules(monkeypatch):
    """The benchmarks are scripts: their folder is on the path while they run."""
    import torch

    threads = torch.get_num_threads()
    monkeypatch.syspath_prepend(FOLDER / "quality")
    yield
    torch.set_num_threads(threads)
    for name in MODULES:
        sys.modules.pop(name, None)


def save(array, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, quality=95)


@pytest.fixture
def two_labs(tmp_path):
    """Two patients of two tiles as TNBC has them, and two images in patches as in CoNSeP."""
    from nuclei_labs import PATCH, PATCHES

    for patient in (1, 2):
        for number in (1, 2):
            sample = tissue(512, seed=(patient, number))
            folder, name = tmp_path / "tnbc_curie" / "TNBC", f"{patient:02d}_{number}.png"
            save(render(sample, CENTERS[0]), folder / f"Slide_{patient:02d}" / name)
            save(np.uint8(sample.nuclei > 0) * np.uint8(255), folder / f"GT_{patient:02d}" / name)
        sample = tissue(1000, seed=(patient, 9))
        image, mask = render(sample, CENTERS[1]), np.uint8(sample.nuclei > 0)
        folder = tmp_path / "consep_patches"
        for i, place in enumerate(PATCHES):
            window = tuple(slice(start, start + PATCH) for start in (min(PATCH * part, 1000 - PATCH) for part in place))
            save(image[window], folder / "images" / "test" / f"test_{patient}_{i:03d}.jpg")
            save(mask[window], folder / "seg_mask" / "test" / f"test_{patient}_{i:03d}.png")
    return tmp_path


@pytest.mark.slow
def test_nuclei_from_folders_to_tables_and_not_twice(two_labs, tmp_path, monkeypatch):
    import nuclei

    out, page = tmp_path / "out", tmp_path / "nuclei.md"
    options = ["--seeds", "0", "--steps", "2", "--fit-steps", "0.01", "--only", "macenko", "stainlut"]
    nuclei.main([str(two_labs), "-o", str(out), "--table", str(page), *options])
    text = page.read_text()
    assert text.count("| Macenko |") == 3  # both directions, and the costs
    assert text.count("| StainLUT, HSV in training |") == 2
    assert text.count("| **network of the same lab** |") == 2

    monkeypatch.setattr(nuclei, "train", None)
    monkeypatch.setattr(nuclei, "fitted", None)
    monkeypatch.setattr(nuclei, "predict", None)
    nuclei.main([str(two_labs), "-o", str(out), "--table", str(page), *options])
    assert page.read_text() == text


@pytest.mark.slow
def test_tiles_of_both_labs_and_no_patient_in_both_halves(two_labs):
    from nuclei_labs import FOLDS, LABS

    for load in LABS.values():
        lab = load(two_labs)
        assert lab.tiles.shape[1:] == (256, 256, 3)
        assert lab.nuclei.shape == lab.tiles.shape[:3]
        dark, bright = (lab.tiles[where].mean() for where in (lab.nuclei > 0, lab.nuclei == 0))
        assert dark < bright - 20  # the masks lie where the nuclei are
        halves = [{group for group, held in zip(lab.groups, lab.test(fold)) if held} for fold in range(FOLDS)]
        assert not halves[0] & halves[1]
        assert all(halves)


def test_patches_are_put_together_again():
    from nuclei_labs import PATCH, PATCHES, _joined

    whole = np.random.default_rng(0).integers(0, 9, (1000, 1000))
    starts = [tuple(min(PATCH * part, 1000 - PATCH) for part in place) for place in PATCHES]
    assert np.array_equal(_joined([whole[r : r + PATCH, c : c + PATCH] for r, c in starts]), whole)


def test_nuclei_that_touch_are_told_apart_by_the_rim_between_them():
    from nuclei_instances import instances, targets

    from stainxform.evaluate import panoptic_quality

    truth = np.zeros((40, 60), np.int32)
    truth[5:35, 5:30], truth[5:35, 30:55] = 1, 2
    inside, rim = targets(truth[None])[0]
    assert panoptic_quality(truth, instances(inside, rim)).pq > 0.9
    assert instances(inside, np.zeros_like(rim)).max() == 1


def test_a_nucleus_without_a_core_stays():
    from nuclei_instances import instances

    inside = np.zeros((30, 30))
    inside[10:14, 10:18] = 1
    assert np.array_equal(instances(inside, inside) > 0, inside > 0)


@pytest.mark.parametrize("gain", [(0.1, 0.2, "better"), (-0.1, 0.2, "not distinguished"), (-0.2, -0.1, "worse")])
def test_harm_is_told_as_plainly_as_help(gain):
    from nuclei import verdict

    from stainxform.evaluate import Interval

    assert verdict(Interval(0.0, gain[0], gain[1])) == gain[2]


@pytest.mark.slow
def test_scanners_from_folders_to_tables(tmp_path):
    from scanner_identity import SCANNERS, main

    rows = []
    for domain, center in zip(SCANNERS.values(), CENTERS):
        for slide in range(6):
            for crop in range(2):
                file = f"AMi-Br/Normal/{center}{slide}{crop}.png"
                save(render(tissue(128, seed=(slide, crop, 3)), center), tmp_path / "ami_br" / file)
                rows.append({"file": file, "label": "Normal", "domain": domain, "slide": f"{center}{slide}"})
    with open(tmp_path / "ami_br" / "derived_domains.csv", "w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    page = tmp_path / "page.md"
    options = ["--trials", "aperio", "hamamatsu", "--only", "reinhard", "stainnet", "--fit-steps", "0.001"]
    main([str(tmp_path), "-o", str(tmp_path / "out"), "--table", str(page), *options])
    text = page.read_text()
    assert text.count("| none (raw) |") == 2
    assert text.count("| Reinhard |") == 2
    assert "Hamamatsu XR 6 of 3" in text
