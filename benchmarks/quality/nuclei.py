"""Nuclei across labs: does normalizing another lab's images help a network that was trained on ours?

A small U-Net learns nuclei at one lab and is tested at the other, in both directions: TNBC (breast, Institut Curie,
Paris) and CoNSeP (colon, UHCW, Coventry). The test images are normalized to the training lab; the network stays the
same. Beside that: colors changed at random (HSV) in training, both together, and a network of the test lab itself.

    python benchmarks/quality/nuclei.py DATA -o runs/nuclei --table docs/results/nuclei.md          # everything, resumable
    python benchmarks/quality/nuclei.py DATA -o runs/nuclei --seeds 0 --only macenko stainlut

``DATA`` holds two public selections, as on GitHub: ``tnbc_curie/TNBC`` (antifen/Nuclei-Segmentation, dataset/TNBC) and
``consep_patches/images`` and ``seg_mask`` (RessCris2/pannuke_app, tests/resources/consep). What is in the output folder
is not made again: models, normalized tiles, networks, and the scores of each network.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from contenders import CONTENDERS, TRAINED, fitted
from nuclei_labs import FOLDS, LABS, MPP, TITLES, Lab
from nuclei_net import network, predict, train

import stainxform as sx
from stainxform.augment import HSV
from stainxform.evaluate import Interval, aji, bootstrap_interval, dice, panoptic_quality

sys.path.append(str(Path(__file__).parents[1]))
from pages import cpu_name, write_between_marks

MARKS = "<!-- nuclei: begin -->", "<!-- nuclei: end -->"
NETWORKS = {"plain": None, "hsv": HSV.preset("light")}
STEPS = 250
"""Of the U-Net."""
RAW, IN_LAB = "raw", "in-lab"
MEASURES = ("Dice", "AJI", "PQ")


class Study:
    """Both labs, the settings, and the folder where everything is kept."""

    def __init__(
        self,
        data: Path,
        out: Path,
        *,
        only: Sequence[str] = tuple(CONTENDERS),
        seeds: Sequence[int] = (0, 1, 2),
        steps: int = STEPS,
        fit_steps: float = 1,
    ):
        self.out, self.only, self.seeds, self.steps, self.fit_steps = out, only, seeds, steps, fit_steps
        self.labs: dict[str, Lab] = {name: load(data) for name, load in LABS.items()}

    def other(self, lab: str) -> str:
        return next(name for name in self.labs if name != lab)

    def parts(self, lab: str, fold: int) -> tuple[Any, Any, Any, Any]:
        """Tiles and nuclei to learn from, tiles and nuclei to test on."""
        one = self.labs[lab]
        held = one.test(fold)
        return one.tiles[~held], one.nuclei[~held], one.tiles[held], one.nuclei[held]

    def normalized(self, lab: str, fold: int, name: str) -> np.ndarray:
        """The other lab's test tiles, made to look like the training tiles of ``lab``."""
        sources, _, tiles, _ = self.parts(self.other(lab), fold)
        if name == RAW:
            return tiles
        path = self.out / "normalized" / f"{lab}-{fold}-{name}.npz"
        if not path.exists():
            model = self.out / "models" / f"{lab}-{fold}-{name}.safetensors"
            targets = self.parts(lab, fold)[0]
            normalizer, fit_seconds = fitted(model, name, targets, sources, steps=self.fit_steps)
            start = time.process_time()
            made = np.stack([normalizer(tile) for tile in tiles])
            seconds = (time.process_time() - start) / (made[..., 0].size / 1e6)
            write(path, lambda part: np.savez(part, tiles=made, fit=fit_seconds, apply=seconds))
            print(f"{name} -> {lab}, fold {fold}: fit {fit_seconds:.0f} s, {seconds:.2f} s/MP", flush=True)
        with np.load(path) as file:
            return file["tiles"]

    def net(self, lab: str, fold: int, kind: str, seed: int) -> torch.nn.Module:
        path = self.out / "networks" / f"{lab}-{fold}-{kind}-{seed}-{self.steps}.pt"
        if not path.exists():
            tiles, nuclei, _, _ = self.parts(lab, fold)
            start = time.process_time()
            made = train(tiles, nuclei, steps=self.steps, seed=seed, augmentation=NETWORKS[kind])
            seconds = time.process_time() - start
            write(path, lambda part: torch.save({"weights": made.state_dict(), "seconds": seconds}, part))
            print(f"U-Net of {lab}, fold {fold}, {kind}, seed {seed}: {seconds:.0f} s", flush=True)
        net = network(seed)
        net.load_state_dict(torch.load(path)["weights"])
        return net.eval()

    def scores(self, lab: str, fold: int, kind: str, seed: int) -> dict[str, list[list[float]]]:
        """Dice, AJI and PQ of each test tile, by what was done to it."""
        path = self.out / "scores" / f"{lab}-{fold}-{kind}-{seed}-{self.steps}.json"
        known = json.loads(path.read_text()) if path.exists() else {}
        wanted = [IN_LAB, RAW, *self.only]
        if set(wanted) - set(known):
            net = self.net(lab, fold, kind, seed)
            for name in wanted:
                if name not in known:
                    _, _, own, truth = self.parts(lab if name == IN_LAB else self.other(lab), fold)
                    tiles = own if name == IN_LAB else self.normalized(lab, fold, name)
                    known[name] = [score(nuclei, predict(net, tile)) for tile, nuclei in zip(tiles, truth)]
            write(path, lambda part: part.write_text(json.dumps(known)))
        return known

    def run(self) -> None:
        """Everything that is not there yet; whole seeds first."""
        for seed in self.seeds:
            for lab in self.labs:
                for fold in range(FOLDS):
                    for kind in NETWORKS:
                        self.scores(lab, fold, kind, seed)

    def collected(self, lab: str, kind: str, name: str) -> np.ndarray:
        """Scores on the tiles of ``lab``: ``(seeds, tiles, 3)``, folds one after the other."""
        trained = lab if name == IN_LAB else self.other(lab)
        folds = range(FOLDS)
        rows = [[self.scores(trained, fold, kind, seed)[name] for fold in folds] for seed in self.seeds]
        return np.array([[tile for fold in row for tile in fold] for row in rows])

    def groups(self, lab: str) -> list[str]:
        one = self.labs[lab]
        return [one.groups[i] for fold in range(FOLDS) for i in np.flatnonzero(one.test(fold))]


def write(path: Path, writer: Any) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"part-{os.getpid()}-{path.name}")
    writer(part)
    os.replace(part, path)


def score(truth: np.ndarray, found: np.ndarray) -> list[float]:
    return [dice(truth > 0, found > 0), aji(truth, found), panoptic_quality(truth, found).pq]


def text(interval: Interval, sign: str = "") -> str:
    return f"{interval.value:{sign}.3f} [{interval.low:{sign}.3f}, {interval.high:{sign}.3f}]"


def verdict(gain: Interval) -> str:
    """Whether the interval leaves out zero."""
    assert gain.low is not None
    assert gain.high is not None
    return "better" if gain.low > 0 else "worse" if gain.high < 0 else "not distinguished"


def table(study: Study, lab: str) -> list[str]:
    """One direction: tested at ``lab``."""
    groups = study.groups(lab)
    raw = study.collected(lab, "plain", RAW).mean(axis=0)
    lines = ["| test images | " + " | ".join(MEASURES) + " | PQ minus raw | seeds | |", "|---" * 7 + "|"]
    for kind in NETWORKS:
        for name in (RAW, *study.only, IN_LAB):
            all_seeds = study.collected(lab, kind, name)
            values = all_seeds.mean(axis=0)
            cells = [text(bootstrap_interval(values[:, i], groups)) for i in range(len(MEASURES))]
            spread = f"{all_seeds[..., 2].mean(axis=1).std(ddof=1):.3f}" if len(all_seeds) > 1 else "-"
            gain = bootstrap_interval(values[:, 2] - raw[:, 2], groups)
            compared = (
                ["-", spread, "-"] if (kind, name) == ("plain", RAW) else [text(gain, "+"), spread, verdict(gain)]
            )
            lines.append(f"| {title(name, kind)} | " + " | ".join(cells + compared) + " |")
    return lines


def title(name: str, kind: str) -> str:
    what = {RAW: "as they are (raw)", IN_LAB: "**network of the same lab**"}.get(name) or CONTENDERS[name].title
    return what + (", HSV in training" if kind == "hsv" else "")


def costs(study: Study) -> list[str]:
    """CPU seconds of each normalizer: mean over both labs and all folds."""
    lines = ["| method | fit, CPU s | normalize, CPU s/MP |", "|---|---|---|"]
    for name in study.only:
        seconds = []
        for path in sorted((study.out / "normalized").glob(f"*-[0-9]-{name}.npz")):
            with np.load(path) as file:
                seconds.append([float(file[key]) for key in ("fit", "apply")])
        fit, apply = np.mean(seconds, axis=0)
        lines.append(f"| {CONTENDERS[name].title} | {fit:.1f} | {apply:.2f} |")
    return lines


def page(study: Study) -> list[str]:
    """The tables, and how they were made."""
    lines = []
    for trained in study.labs:
        tested = study.other(trained)
        lab = study.labs[tested]
        count = f"{len(lab.tiles)} tiles of {len(set(lab.groups))} {'patients' if tested == 'curie' else 'images'}"
        lines += [f"### Trained at {TITLES[trained]}, tested at {TITLES[tested]}", ""]
        lines += [f"{count}. In brackets: 95 % intervals, by bootstrap of those.", "", *table(study, tested), ""]
    trainings = [torch.load(path)["seconds"] for path in sorted((study.out / "networks").glob(f"*-{study.steps}.pt"))]
    lines += ["### CPU time", "", *costs(study), ""]
    lines.append(
        f"A U-Net: {np.mean(trainings):.0f} CPU s for {study.steps} steps; {len(trainings)} of them "
        f"{sum(trainings) / 60:.0f} CPU min. {TRAINED}"
    )
    versions = f"stainxform {sx.__version__}, torch {torch.__version__}, {cpu_name()}"
    lines += ["", f"{versions}, one thread, seeds {', '.join(map(str, study.seeds))}, {MPP} um/px."]
    return lines


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=list(CONTENDERS), choices=list(CONTENDERS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=STEPS, help="of the U-Net")
    parser.add_argument(
        "--fit-steps",
        type=float,
        default=1,
        help="factor on the training of learned normalizers, in another output folder",
    )
    parser.add_argument("--table", type=Path, help="put the tables between the marks of this page")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    study = Study(
        given.data, given.out, only=given.only, seeds=given.seeds, steps=given.steps, fit_steps=given.fit_steps
    )
    study.run()
    lines = page(study)
    print("\n".join(lines))
    if given.table:
        write_between_marks(given.table, MARKS, "Nuclei across labs", lines)


if __name__ == "__main__":
    main()
