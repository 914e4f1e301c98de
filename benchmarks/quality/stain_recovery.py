"""How well does each estimator find the stains of a slide? On synthetic tissue, whose stains are known.

Every slide is four tiles of ``stainxform.samples`` tissue, stained with two random vectors, on glass of a random color;
all estimators see the same tiles. The error is the angle between a found and the true stain vector, in degrees.

    python benchmarks/quality/stain_recovery.py -o runs/recovery.jsonl            # 200 slides, some minutes, resumable
    python benchmarks/quality/stain_recovery.py -o runs/recovery.jsonl --table docs/results/stain_recovery.md

Every slide is one line of JSON in the output file and is not run again.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

import stainxform as sx
from stainxform.errors import NotEnoughTissueError
from stainxform.samples import Center, Tissue, render, tissue
from stainxform.stains.references import stain_angles

TILES, SIDE = 4, 128

METHODS: dict[str, tuple[str, dict]] = {
    "Macenko, veta": ("macenko", {}),
    "Macenko, paper": ("macenko", {"definition": "paper"}),
    "Macenko, staintools": ("macenko", {"definition": "staintools"}),
    "Vahadane, staintools": ("vahadane", {}),
    "Vahadane, matlab": ("vahadane", {"definition": "matlab"}),
    "Ramakrishnan": ("ramakrishnan", {}),
}

CONDITIONS: dict[str, dict] = {
    "clean": {"noise": 0},
    "noise": {},
    "noise, JPEG q80": {"jpeg": 80},
    "half glass": {"glass": 0.5},
    "little eosin": {"strength": (1, 0.1)},
    "little hematoxylin": {"strength": (0.1, 1)},
}
"""Unless it says otherwise: 0 to 50 % glass, noise of 2 levels, both stains present."""


def random_center(rng: np.random.Generator) -> Center:
    """A laboratory of its own: stains up to 10 degrees from the reference and at least 15 apart, any strength, glass."""
    while True:
        stains = sx.reference_stains("macenko") + rng.normal(0, 0.1, (3, 2))
        stains /= np.linalg.norm(stains, axis=0)
        moved = np.diag(stain_angles(stains, sx.reference_stains("macenko")))
        if (stains >= 0).all() and (moved < 10).all() and stain_angles(stains[:, :1], stains[:, 1:])[0, 0] > 15:
            break
    return Center(
        name="random",
        stain_matrix=stains,
        strength=rng.uniform(0.6, 1.4, 2),
        background=rng.uniform(230, 250) + rng.uniform(-5, 5, 3),
        noise=2,
    )


def compressed(tile: np.ndarray, quality: int) -> np.ndarray:
    """The tile through JPEG, 4:2:0."""
    buffer = io.BytesIO()
    Image.fromarray(tile).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def slide(
    seed: int, noise: float = 2, jpeg: int = 0, glass: float | None = None, strength: tuple[float, float] = (1, 1)
) -> tuple[np.ndarray, np.ndarray]:
    """Tiles of one slide, uint8 ``(TILES, SIDE, SIDE, 3)``, and its stain matrix."""
    rng = np.random.default_rng((seed, 1))
    center = random_center(rng)
    center = replace(center, noise=noise, strength=center.strength * strength)
    background, cellularity = rng.uniform(0, 0.5), rng.uniform(0.2, 0.8)
    tiles = []
    for k in range(TILES):
        drawn = drawn_tissue(seed, k, background if glass is None else glass, cellularity)
        tile = render(drawn, center, seed=(seed, k))
        tiles.append(compressed(tile, jpeg) if jpeg else tile)
    return np.stack(tiles), center.stain_matrix


_drawn: dict[tuple, Tissue] = {}


def drawn_tissue(seed: int, k: int, background: float, cellularity: float) -> Tissue:
    """Tissue of one tile, kept while the conditions of one slide need it."""
    key = (seed, k, background)
    if key not in _drawn:
        for old in [old for old in _drawn if old[0] != seed]:
            del _drawn[old]
        _drawn[key] = tissue(SIDE, seed=(seed, k), background=background, cellularity=cellularity)
    return _drawn[key]


def run(seed: int) -> dict:
    """Errors of both stains, or None if refused, and seconds, by condition and method."""
    record: dict = {"seed": seed}
    for condition, changes in CONDITIONS.items():
        tiles, truth = slide(seed, **changes)
        for name, (method, settings) in METHODS.items():
            start = time.perf_counter()
            try:
                errors = np.diag(stain_angles(sx.estimate_stain_matrix(tiles, method, **settings), truth)).tolist()
            except NotEnoughTissueError:
                errors = None
            record[f"{name}/{condition}"] = {"errors": errors, "seconds": time.perf_counter() - start}
    return record


def percentiles(errors: list[float]) -> str:
    if not errors:
        return "-"
    middle, high = np.percentile(errors, [50, 95])
    return f"{middle:.1f} ({high:.1f})"


def rows(cell: Callable[[str, str], str]) -> list[str]:
    """A markdown table of methods by conditions."""
    lines = ["| estimator | " + " | ".join(CONDITIONS) + " |", "|" + "---|" * (len(CONDITIONS) + 1)]
    return lines + [
        f"| {name} | " + " | ".join(cell(name, condition) for condition in CONDITIONS) + " |" for name in METHODS
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", "--slides", type=int, default=200)
    parser.add_argument("-o", "--out", type=Path, required=True, help="file of results, one JSON line a slide")
    parser.add_argument("--table", type=Path, help="write the markdown tables here")
    arguments = parser.parse_args()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    done = arguments.out.read_text().splitlines() if arguments.out.exists() else []
    records = {record["seed"]: record for record in map(json.loads, done)}
    for seed in range(arguments.slides):
        if seed not in records:
            records[seed] = run(seed)
            with open(arguments.out, "a") as file:
                file.write(json.dumps(records[seed]) + "\n")
            print(f"slide {seed + 1} of {arguments.slides}", flush=True)

    def all_of(name: str, condition: str) -> list[dict]:
        return [records[seed][f"{name}/{condition}"] for seed in range(arguments.slides)]

    def errors(name: str, condition: str, stain: int) -> list[float]:
        return [result["errors"][stain] for result in all_of(name, condition) if result["errors"]]

    def refused(name: str, condition: str) -> str:
        return f"{100 * np.mean([result['errors'] is None for result in all_of(name, condition)]):.0f}"

    def seconds(name: str) -> float:
        return float(np.median([result["seconds"] for condition in CONDITIONS for result in all_of(name, condition)]))

    lines = [
        "# Stain recovery",
        "",
        f"Angle between found and true stain vector, in degrees: median (95th percentile) over {arguments.slides} "
        f"synthetic slides of {TILES} tiles of {SIDE} px. Made by `benchmarks/quality/stain_recovery.py`.",
        "",
        "Stains: random, within 10 degrees of Macenko's reference, at least 15 degrees apart; glass: 230 to 250 levels, "
        "tinted, on 0 to 50 % of the area unless said otherwise; noise: 2 levels, except in *clean*; *little*: a tenth "
        "of the other slides' amount. No estimator knows the glass; only Ramakrishnan's estimates it.",
    ]
    for k, stain in enumerate(("Hematoxylin", "Eosin")):
        lines += ["", f"## {stain}", ""]
        lines += rows(lambda name, condition, k=k: percentiles(errors(name, condition, k)))
    lines += ["", "## Refused", "", "Slides on which the estimator finds a single stain and says so, in percent.", ""]
    lines += rows(refused)
    spent = ", ".join(f"{name} {seconds(name) * 1e3:.0f}" for name in METHODS)
    lines += ["", f"Median time a slide, ms, 1 thread: {spent}. stainxform {sx.__version__}, numpy {np.__version__}."]
    print("\n".join(lines))
    if arguments.table:
        arguments.table.parent.mkdir(parents=True, exist_ok=True)
        arguments.table.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
