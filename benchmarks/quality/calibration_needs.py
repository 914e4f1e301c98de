"""What a calibration needs, and what goes wrong: how many tiles, from how many slides; ink; white tiles; and how many tiles
of the own center StainLUT learns from.

    python benchmarks/quality/calibration_needs.py ALIGNED -o runs/needs --table docs/results/calibration_needs.md

ALIGNED holds the same tissue on two scanners, registered: ``aperio/A03*.png`` and ``hamamatsu/H03*.png`` and so on
(MITOS-ATYPIA-14). Each of three slides is left out in turn: targets are fitted on the Aperio tiles of the two others, and
calibrated on some of the Hamamatsu tiles of these. Trained networks are kept in the output folder.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np

import stainxform as sx
from stainxform.errors import NotEnoughTissueError, StainXformWarning
from stainxform.evaluate import ciede2000, psnr

sys.path.append(str(Path(__file__).parents[1]))
from pages import write_between_marks
from scanner_pairs import pairs

MARKS = "<!-- needs: begin -->", "<!-- needs: end -->"
METHODS: dict[str, dict[str, object]] = {
    "transport": {},
    "reinhard": {"tissue_only": True},
    "macenko": {},
    "vahadane": {},
}
COUNTS = (1, 2, 5, 10, 20, 40)
DRAWS = 5
STEPS = 300
TRAINED_ON = (2, 5, 10, 20, 40)
MODES = ("each tile by itself", "calibrated")
INK = np.array([20, 60, 190], np.uint8)
INKED = 0.05

Tiles = list[np.ndarray]


def inked(tiles: Tiles) -> Tiles:
    """A band of blue ink over a twentieth of each tile."""
    found = [tile.copy() for tile in tiles]
    for tile in found:
        tile[: round(INKED * len(tile))] = INK
    return found


def some(count: int) -> Callable[[Tiles, np.random.Generator], Tiles]:
    """So many tiles, of any slide."""
    return lambda tiles, rng: [tiles[i] for i in rng.permutation(len(tiles))[:count]]


SITUATIONS: dict[str, Callable[[Tiles, np.random.Generator], Tiles]] = {
    **{f"{count} tiles" if count > 1 else "1 tile": some(count) for count in COUNTS},
    "20 tiles, all of one slide": lambda tiles, rng: tiles[: len(tiles) // 2][:20],
    "40 tiles, 5 % of each blue ink": lambda tiles, rng: inked(tiles),
    "40 tiles, and 40 white ones": lambda tiles, rng: [*tiles, *([np.full_like(tiles[0], 245)] * len(tiles))],
}


def study(slides: dict[str, list[tuple[np.ndarray, np.ndarray]]]) -> dict[tuple[str, str], np.ndarray]:
    """PSNR and CIEDE2000 by situation and method, ``(slides x draws, 2)``."""
    found: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    for test in slides:
        ours, theirs = ([pair[k] for slide in slides if slide != test for pair in slides[slide]] for k in (0, 1))
        wanted, tiles = zip(*slides[test])

        def score(results: list[np.ndarray], wanted: tuple[np.ndarray, ...] = wanted) -> list[float]:
            return [float(np.mean([metric(*pair) for pair in zip(results, wanted)])) for metric in (psnr, ciede2000)]

        found["no calibration", "none"].append(score(list(tiles)))
        for method, settings in METHODS.items():
            target = sx.fit_center(ours, method, qc="off", **settings)
            found["no calibration: each tile by itself", method].append(score([target(tile) for tile in tiles]))
            for situation, choose in SITUATIONS.items():
                for draw in range(DRAWS if "tile" in situation.split(",")[0] and "," not in situation else 1):
                    chosen = choose(theirs, np.random.default_rng(draw))
                    try:
                        bridge = target.calibrate(chosen, qc="off", min_tissue=0.01)
                    except NotEnoughTissueError:
                        continue
                    found[situation, method].append(score([bridge(tile) for tile in tiles]))
        print(f"slide {test} done", flush=True)
    return {key: np.array(values) for key, values in found.items()}


def stainlut(slides: dict[str, list[tuple[np.ndarray, np.ndarray]]], out: Path) -> dict[tuple[int, str], np.ndarray]:
    """PSNR and CIEDE2000 by number of tiles that StainLUT learned from and mode, ``(slides, 2)``."""
    found: dict[tuple[int, str], list[list[float]]] = defaultdict(list)
    for test in slides:
        ours, theirs = ([pair[k] for slide in slides if slide != test for pair in slides[slide]] for k in (0, 1))
        wanted, tiles = zip(*slides[test])
        order = np.random.default_rng(0).permutation(len(ours))
        for count in TRAINED_ON:
            path = out / f"stainlut-{count}-{STEPS}-{test}.safetensors"
            if not path.exists():
                out.mkdir(parents=True, exist_ok=True)
                known = [ours[i] for i in order[:count]]
                sx.fit_center(known, "stainlut", qc="off", steps=STEPS, seed=0, device="cpu", progress=False).save(path)
                print(path.name, flush=True)
            target = sx.load(path)
            for mode, normalize in zip(MODES, (target, target.calibrate(theirs, qc="off"))):
                results = [normalize(tile) for tile in tiles]
                scores = [
                    float(np.mean([metric(*pair) for pair in zip(results, wanted)])) for metric in (psnr, ciede2000)
                ]
                found[count, mode].append(scores)
    return {key: np.array(values) for key, values in found.items()}


def saturation(found: dict[tuple[int, str], np.ndarray]) -> list[str]:
    """Lines of Markdown: what StainLUT makes of more and more tiles of its own center."""
    lines = ["", f"| StainLUT learned from | {' | '.join(MODES)} |", "|---" * (1 + len(MODES)) + "|"]
    for count in TRAINED_ON:
        cells = (found[count, mode].mean(0) for mode in MODES)
        lines.append(f"| {count} tiles | {' | '.join(f'{one:.2f} / {other:.1f}' for one, other in cells)} |")
    return lines


def table(found: dict[tuple[str, str], np.ndarray]) -> list[str]:
    """Lines of Markdown: mean PSNR / CIEDE2000."""
    none = found["no calibration", "none"].mean(0)
    lines = [f"| calibrated on | {' | '.join(METHODS)} |", "|---" * (1 + len(METHODS)) + "|"]
    lines.append(f"| nothing: no normalization | {' | '.join([f'{none[0]:.2f} / {none[1]:.1f}'] * len(METHODS))} |")
    for situation in dict.fromkeys(situation for situation, _ in found):
        if (situation, "transport") not in found:
            continue
        cells = []
        for method in METHODS:
            values = found[situation, method]
            cells.append(f"{values[:, 0].mean():.2f} / {values[:, 1].mean():.1f}")
        lines.append(f"| {situation.removeprefix('no calibration: ')} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("aligned", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--table", type=Path)
    given = parser.parse_args()
    warnings.simplefilter("ignore", StainXformWarning)
    slides = pairs(given.aligned)
    lines = [*table(study(slides)), *saturation(stainlut(slides, given.out))]
    print("\n".join(lines))
    if given.table:
        write_between_marks(given.table, MARKS, "What a calibration needs", lines)


if __name__ == "__main__":
    main()
