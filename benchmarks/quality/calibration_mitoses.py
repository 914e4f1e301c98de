"""Does a classifier of mitoses, trained on one scanner, do better on another one after calibration?

    python benchmarks/quality/calibration_mitoses.py AMI_BR -o runs/mitoses --table docs/results/calibration_mitoses.md

AMI_BR holds crops of 128 px of normal and atypical mitoses on two scanners of one lab (AMi-Br; ``derived_domains.csv``
says the scanner and slide of each). A small network learns one scanner, plain or with HED augmentation, and is tested on
the other one. Calibrations see the half of the other scanner's slides that is not tested. Networks and scores in the
output folder are not made again.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

import stainxform as sx
from stainxform.augment import HED
from stainxform.evaluate import bootstrap_interval
from stainxform.io.images import read_image

sys.path.append(str(Path(__file__).parents[1]))
from pages import write_between_marks

MARKS = "<!-- mitoses: begin -->", "<!-- mitoses: end -->"
SCANNERS = {"Hamamatsu XR": "MIDOG21-UMCU-HamamatsuXR", "Aperio CS2": "MIDOG21-UMCU-AperioCS2"}
METHODS = ("transport", "reinhard", "macenko", "vahadane")
UNITS = ("tile", "center")
KINDS = {"plain": None, "HED": HED.preset("strong")}
SEEDS, STEPS, BATCH, SIDE, RATE = 3, 400, 16, 64, 1e-3
HALVES = 2


class Crops:
    """Crops of one scanner: tiles uint8 ``(n, 128, 128, 3)``, atypical or not, and their slides."""

    def __init__(self, folder: Path, domain: str):
        with (folder / "derived_domains.csv").open() as file:
            known = [row for row in csv.DictReader(file) if row["domain"] == domain]
        rows = [row for row in known if (folder / row["file"]).exists()]
        self.tiles = np.stack([read_image(folder / row["file"]) for row in rows])
        self.atypical = np.array([row["label"] == "Atypical" for row in rows])
        self.slides = np.array([row["slide"] for row in rows])

    def halves(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(calibrated on, tested) of each split: slides are dealt in turn."""
        names = sorted(set(self.slides))
        for half in range(HALVES):
            tested = np.array([names.index(slide) % HALVES == half for slide in self.slides])
            yield ~tested, tested


def network(seed: int) -> nn.Module:
    """RGB in [-1, 1], 64 px, to a logit."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for before, after in ((3, 16), (16, 32), (32, 64), (64, 64)):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3), nn.Linear(64, 1))


def planes(tiles: np.ndarray) -> torch.Tensor:
    """The middle of crops, at half resolution."""
    small = torch.from_numpy(np.moveaxis(tiles, -1, 1).astype(np.float32) / 127.5 - 1)
    return nn.functional.avg_pool2d(small, tiles.shape[1] // SIDE)


def train(crops: Crops, kind: str, seed: int) -> nn.Module:
    """Turned and mirrored crops, with colors changed where there is an augmentation."""
    net, rng, augmentation = network(seed), np.random.default_rng(seed), KINDS[kind]
    optimizer = torch.optim.AdamW(net.parameters(), RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS + 1)
    net.train()
    for _ in range(STEPS):
        chosen = rng.integers(len(crops.tiles), size=BATCH)
        tiles = crops.tiles[chosen]
        if augmentation:
            tiles = np.stack([augmentation(tile, augmentation.sample(rng)) for tile in tiles])
        turned = [np.rot90(tile, rng.integers(4))[:: rng.choice([-1, 1])] for tile in tiles]
        logits = net(planes(np.stack(turned)))[:, 0]
        loss = nn.functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(crops.atypical[chosen]).float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return net.eval()


def taught(folder: Path, scanner: str, crops: Crops, kind: str, seed: int) -> nn.Module:
    """A network from the folder, or a new one."""
    path = folder / f"{scanner.replace(' ', '_')}-{kind}-{seed}.pt"
    if not path.exists():
        made = train(crops, kind, seed)
        part = path.with_suffix(".part")
        torch.save(made.state_dict(), part)
        part.rename(path)
    net = network(seed)
    net.load_state_dict(torch.load(path))
    return net.eval()


def treatments(ours: Crops, theirs: Crops) -> Iterator[tuple[str, Callable[[np.ndarray], np.ndarray]]]:
    """Names, and functions of the indices of tested crops that give normalized ones, in that order."""
    yield "none", lambda chosen: theirs.tiles[chosen]
    for method in METHODS:
        target = sx.fit_center(list(ours.tiles), method, qc="off")
        yield f"{method}, tile", lambda chosen, target=target: target(theirs.tiles[chosen])
        bridges = [target.calibrate(list(theirs.tiles[seen]), qc="off") for seen, _ in theirs.halves()]

        def calibrated(chosen: np.ndarray, bridges: list[sx.Normalizer] = bridges) -> np.ndarray:
            half = [tested for _, tested in theirs.halves()]
            return np.stack([bridges[next(k for k in range(HALVES) if half[k][i])](theirs.tiles[i]) for i in chosen])

        yield f"{method}, center", calibrated


def auc(rows: np.ndarray) -> float:
    """Area under the ROC curve of rows (score, atypical): Mann and Whitney."""
    scores, atypical = rows[:, 0], rows[:, 1] > 0.5
    if atypical.all() or not atypical.any():
        return float("nan")
    order = np.argsort(np.argsort(scores)) + 1.0
    positives = int(atypical.sum())
    return float((order[atypical].sum() - positives * (positives + 1) / 2) / (positives * (len(rows) - positives)))


def scores(net: nn.Module, tiles: np.ndarray) -> np.ndarray:
    """Logits of crops."""
    with torch.inference_mode():
        return net(planes(tiles))[:, 0].numpy()


def study(folder: Path, output: Path) -> dict[str, dict[str, list[list[float]]]]:
    """Logits by direction and kind, and treatment: one row for each crop, averaged over seeds."""
    path = output / "scores.json"
    found: dict[str, dict[str, list[list[float]]]] = json.loads(path.read_text()) if path.exists() else {}
    data = {name: Crops(folder, domain) for name, domain in SCANNERS.items()}
    for ours in SCANNERS:
        (theirs,) = (name for name in SCANNERS if name != ours)
        everything = np.arange(len(data[theirs].tiles))
        normalized = None
        for kind in KINDS:
            name = f"{ours} to {theirs}, {kind}"
            if name in found:
                continue
            if normalized is None:
                normalized = {title: how(everything) for title, how in treatments(data[ours], data[theirs])}
            nets = [taught(output, ours, data[ours], kind, seed) for seed in range(SEEDS)]
            found[name] = {title: [scores(net, tiles).tolist() for net in nets] for title, tiles in normalized.items()}
            path.write_text(json.dumps(found))
            print(name, "done", flush=True)
    return found


def table(folder: Path, found: dict[str, dict[str, list[list[float]]]]) -> list[str]:
    """Lines of Markdown: mean AUC over seeds, and its change from none with an interval by slide."""
    data = {name: Crops(folder, domain) for name, domain in SCANNERS.items()}
    lines = [
        "| trained on, tested on, augmentation | treatment | AUC | change from none, 95 % interval by slide |",
        "|---|---|---|---|",
    ]
    for name, rows in found.items():
        crops = data[name.split(" to ")[1].rpartition(",")[0]]
        none = np.array(rows["none"])
        for title, logits in rows.items():
            stacked = np.column_stack([np.array(logits).T, none.T, crops.atypical])

            def of(rows: np.ndarray, first: int = 0) -> float:
                return float(np.mean([auc(rows[:, [first + seed, -1]]) for seed in range(SEEDS)]))

            change = bootstrap_interval(
                stacked, crops.slides.tolist(), statistic=lambda rows: of(rows) - of(rows, SEEDS)
            )
            lines.append(f"| {name} | {title} | {of(stacked):.3f} | {'' if title == 'none' else change} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("ami_br", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--table", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.output.mkdir(parents=True, exist_ok=True)
    lines = table(given.ami_br, study(given.ami_br, given.output))
    print("\n".join(lines))
    if given.table:
        write_between_marks(given.table, MARKS, "Mitoses on two scanners", lines)


if __name__ == "__main__":
    main()
