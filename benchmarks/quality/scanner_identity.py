"""Can a classifier tell the scanner, or the center, from colors alone: before normalization, and after?

AMi-Br: crops of 128 px on two scanners of one lab (UMC Utrecht: Hamamatsu XR, Aperio CS2), each normalized to the other. CAMELYON17:
five centers, normalized to center 0. No slide or patient that a normalizer learned from is tested; slides or patients of
one fold are never in the training of the classifier.

    python benchmarks/quality/scanner_identity.py DATA -o runs/identity --table docs/results/scanner_identity.md

``DATA`` holds public selections, as on GitHub: ``ami_br`` (DeepMicroscopy/AMi-Br_Benchmark, with a table
``derived_domains.csv`` of the scanner and slide of each crop), ``camelyon17_deeplab_tiles`` (yozoranoken/
CAMELYON17DeepLab, sampled_tiles_from_centers) and ``camelyon17_dkfz_testdata`` (DBO-DKFZ/
multistain_cyclegan_normalization, resources/test_data). Models and results in the output folder are not made again.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from contenders import CONTENDERS, TRAINED, fitted

import stainxform as sx
from stainxform.evaluate import center_identifiability, luminance_ssim
from stainxform.evaluate.color_distances import wasserstein_of_tiles
from stainxform.io.images import read_image
from stainxform.stains.features import TileColors

sys.path.append(str(Path(__file__).parents[1]))
from pages import cpu_name, write_between_marks

MARKS = "<!-- scanner_identity: begin -->", "<!-- scanner_identity: end -->"
SCANNERS = {"Hamamatsu XR": "MIDOG21-UMCU-HamamatsuXR", "Aperio CS2": "MIDOG21-UMCU-AperioCS2"}
SIDE = 256
BLACK = 10
"""Padding is darker, in levels; so is no tissue along a whole edge."""
RAW = "raw"


@dataclass(frozen=True, eq=False)
class Trial:
    """Centers, of which one is the target.

    Attributes
    ----------
    title, target : in tables; the target's name.
    learn : tiles that normalizers may learn from, by center.
    test, groups : tiles to be distinguished, by center, and the slide or patient of each.
    """

    title: str
    target: str
    learn: dict[str, np.ndarray]
    test: dict[str, np.ndarray]
    groups: dict[str, list[str]]

    @property
    def others(self) -> list[str]:
        return [name for name in self.test if name != self.target]


def ami_br(data: Path, target: str) -> Trial:
    """Every second slide of a scanner is for learning. Crops from the edge of a scan, padded with black, are left out."""
    crops: dict[str, list[tuple[str, np.ndarray]]] = {name: [] for name in SCANNERS}
    with open(data / "ami_br" / "derived_domains.csv", newline="") as file:
        for row in csv.DictReader(file):
            path = data / "ami_br" / row["file"]
            for name, domain in SCANNERS.items():
                if row["domain"] == domain and path.exists() and not _is_padded(crop := read_image(path)):
                    crops[name].append((row["slide"], crop))
    learn, test, groups = {}, {}, {}
    for name, found in crops.items():
        slides = sorted({slide for slide, _ in found})
        learn[name], test[name] = (
            np.stack([crop for slide, crop in found if slides.index(slide) % 2 == part]) for part in (0, 1)
        )
        groups[name] = [slide for slide, _ in found if slides.index(slide) % 2]
    return Trial(f"Two scanners, target {target}", target, learn, test, groups)


def _is_padded(crop: np.ndarray) -> bool:
    """A row or column at an edge is black."""
    return any(edge.max() < BLACK for edge in (crop[0], crop[-1], crop[:, 0], crop[:, -1]))


def camelyon17(data: Path) -> Trial:
    """Learned from: one region of 2048 px of each center. Tested on: quarters of tiles of 256 px of other patients."""
    learn, test, groups = {}, {}, {}
    for center in range(5):
        name = f"center {center}"
        (region,) = (data / "camelyon17_deeplab_tiles").rglob(f"centre_{center}_*.jpeg")
        learn[name] = _cut(read_image(region), SIDE)
        files = sorted((data / "camelyon17_dkfz_testdata").rglob(f"center_{center}/*.jpeg"))
        test[name] = np.concatenate([_cut(read_image(file), SIDE // 2) for file in files])
        groups[name] = [file.name[:11] for file in files for _ in range(4)]
    return Trial("Five centers, target center 0", "center 0", learn, test, groups)


def _cut(image: np.ndarray, side: int) -> np.ndarray:
    rows, columns = (size // side for size in image.shape[:2])
    return image.reshape(rows, side, columns, side, 3).swapaxes(1, 2).reshape(-1, side, side, 3)


TRIALS: dict[str, Callable[[Path], Trial]] = {
    "hamamatsu": lambda data: ami_br(data, "Hamamatsu XR"),
    "aperio": lambda data: ami_br(data, "Aperio CS2"),
    "camelyon17": camelyon17,
}


Colors = dict[str, TileColors]


def colors_of(tiles: Mapping[str, Iterable[np.ndarray]]) -> Colors:
    return {name: TileColors.of(images) for name, images in tiles.items()}


def identity(trial: Trial, colors: Colors) -> dict[str, Any]:
    """How often the center of a crop is guessed, with its interval, out of fold."""
    found = center_identifiability(
        np.concatenate([each.features for each in colors.values()]),
        [name for name, each in colors.items() for _ in each.index],
        [(trial.groups[name][i],) for name, each in colors.items() for i in each.index],
    )
    accuracy = [found.accuracy.value, found.accuracy.low, found.accuracy.high]
    return {"accuracy": accuracy, "majority": found.majority, "folds": found.folds}


def distance(trial: Trial, before: Colors, after: Colors) -> float:
    """Wasserstein distance of L, a and b to the target as it is: their sum, mean over the other centers."""
    target = before[trial.target].lab.mean(axis=0)
    pairs = [np.cumsum([after[name].lab.mean(axis=0), target], axis=-1) for name in trial.others]
    return float(np.mean([wasserstein_of_tiles(np.array([1.0, -1.0]), pair).sum() for pair in pairs]))


def measure(trial: Trial, before: Colors, normalizer: sx.Normalizer | None) -> dict[str, Any]:
    """Identity with the target's crops as they are, and with all normalized; distance; structure kept."""
    if normalizer is None:
        found = identity(trial, before)
        return {"identity": found, "everything": found, "distance": distance(trial, before, before), "structure": 1.0}
    start = time.process_time()
    made = {name: [normalizer(tile) for tile in images] for name, images in trial.test.items()}
    seconds = time.process_time() - start
    after = colors_of(made)
    kept = [luminance_ssim(*pair) for name in trial.others for pair in zip(made[name], trial.test[name], strict=True)]
    return {
        "identity": identity(trial, after | {trial.target: before[trial.target]}),
        "everything": identity(trial, after),
        "distance": distance(trial, before, after),
        "structure": float(np.mean(kept)),
        "blank": sum(len(before[name]) - len(after[name]) for name in before),
        "seconds_per_mp": seconds / (sum(images[..., 0].size for images in trial.test.values()) / 1e6),
    }


def text(found: dict[str, Any]) -> str:
    return "{:.2f} [{:.2f}, {:.2f}]".format(*found["accuracy"])


def table(records: dict[str, dict[str, Any]]) -> list[str]:
    head = ["method", "others normalized", "all normalized", "Lab distance", "luminance SSIM", "fit, CPU s", "CPU s/MP"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, record in records.items():
        cells = [text(record[key]) for key in ("identity", "everything")]
        cells += [f"{record['distance']:.1f}", f"{record['structure']:.3f}"]
        cells += ["-", "-"] if name == RAW else [f"{record['fit_seconds']:.1f}", f"{record['seconds_per_mp']:.2f}"]
        lines.append(f"| {'none (raw)' if name == RAW else CONTENDERS[name].title} | " + " | ".join(cells) + " |")
    return lines


def run(trial: Trial, before: Colors, key: str, name: str, given: argparse.Namespace) -> dict[str, Any]:
    path = given.out / f"{key}-{name}.json"
    if path.exists():
        return dict(json.loads(path.read_text()))
    if name == RAW:
        record = measure(trial, before, None)
    else:
        sources = np.concatenate([trial.learn[other] for other in trial.others])
        model = given.out / "models" / f"{key}-{name}.safetensors"
        normalizer, seconds = fitted(model, name, trial.learn[trial.target], sources, steps=given.fit_steps)
        record = measure(trial, before, normalizer) | {"fit_seconds": seconds}
    part = path.with_suffix(".part")
    part.write_text(json.dumps(record, indent=1))
    os.replace(part, path)
    print(f"{key} {name}: {text(record['identity'])}", flush=True)
    return record


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--trials", nargs="+", default=list(TRIALS), choices=list(TRIALS))
    parser.add_argument("--only", nargs="*", default=list(CONTENDERS), choices=list(CONTENDERS))
    parser.add_argument(
        "--fit-steps",
        type=float,
        default=1,
        help="factor on the training of learned normalizers, in another output folder",
    )
    parser.add_argument("--table", type=Path, help="put the tables between the marks of this page")
    given = parser.parse_args(arguments)
    import torch

    torch.set_num_threads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    start = time.process_time()
    lines = []
    for key in given.trials:
        trial = TRIALS[key](given.data)
        before = colors_of(trial.test)
        records = {name: run(trial, before, key, name, given) for name in (RAW, *given.only)}
        raw = records[RAW]["identity"]
        counts = ", ".join(f"{n} {len(trial.test[n])} of {len(set(trial.groups[n]))}" for n in trial.test)
        lines += [f"### {trial.title}", "", *table(records), ""]
        lines += [
            f"Crops, and slides or patients: {counts}. Majority rate {raw['majority']:.2f}; {raw['folds']} folds.",
            "",
        ]
    versions = f"stainxform {sx.__version__}, torch {torch.__version__}, {cpu_name()}"
    lines += [TRAINED, "", f"{versions}, one thread, seed 0."]
    print("\n".join(lines))
    print(f"{time.process_time() - start:.0f} CPU s in this run")
    if given.table:
        write_between_marks(given.table, MARKS, "Scanner and center, from color alone", lines)


if __name__ == "__main__":
    main()
