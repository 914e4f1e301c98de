"""How often does quality control flag good tiles, and does it find faults? Real tiles of seven sources.

False alarms: the share of tiles, as they are, that each fault is told of. Every source but PCam is taken as clean, so
this is an upper bound: some of its tiles are unfit indeed. Detection: every fifth tile of a source is replaced by a
faulty copy, all at once, and the share of those that is flagged for any reason is counted. No randomness.

    python benchmarks/quality/quality_control.py DATA -o runs/quality_control
    python benchmarks/quality/quality_control.py DATA -o runs/quality_control --table docs/results/quality_control.md

What was measured of a source is one file in the output folder and is not measured again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import stainxform as sx
from stainxform.io.images import read_image
from stainxform.quality.control import FAULTS, Limits, judge
from stainxform.quality.measures import TileMeasures
from stainxform.testing import PENS, blurred, folded, overexposed, saturated, with_strokes

sys.path.insert(0, str(Path(__file__).parents[1]))
from pages import write_between_marks

MARKS = ("<!-- quality_control: begin -->", "<!-- quality_control: end -->")
EVERY = 5

SOURCES = {
    "TNBC (Curie)": "tnbc_curie/TNBC/Slide_*/*.png",
    "CoNSeP (Coventry)": "consep_patches/images/*/*.jpg",
    "CAMELYON17 (5 centers)": "camelyon17_dkfz_testdata/test_data/*/*.jpeg",
    "MITOS Aperio": "mitos_atypia14_aligned/derived_registered/aperio/*.png",
    "MITOS Hamamatsu": "mitos_atypia14_aligned/derived_registered/hamamatsu/*.png",
    "AMi-Br": "ami_br/AMi-Br/*/*.png",
    "PCam (10x, not clean)": "pcam_unlabelled/*.tif",
}
MOST = 120
"""Tiles of a source, evenly spread over its sorted names."""

RED_PEN = (210, 30, 40)


def padded(tile: np.ndarray) -> np.ndarray:
    """A black border over a tenth of the tile."""
    result = tile.copy()
    result[: max(len(tile) // 10, 1)] = 0
    return result


def restained(tile: np.ndarray) -> np.ndarray:
    """As another laboratory would have stained it: Macenko's published reference."""
    return sx.Macenko()(tile)


def pale(tile: np.ndarray) -> np.ndarray:
    """A third of all density."""
    return np.rint(255 * (tile / 255) ** (1 / 3)).astype(np.uint8)


CORRUPTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    **{f"blur, sigma {sigma:g} px": lambda tile, sigma=sigma: blurred(tile, sigma) for sigma in (1, 1.5, 2, 3)},
    **{f"{name}, 1/3": lambda tile, color=color: with_strokes(tile, color) for name, color in PENS.items()},
    "green pen, 1/18": lambda tile: with_strokes(tile, PENS["green pen"], 2),
    "red pen, 1/3": lambda tile: with_strokes(tile, RED_PEN),
    "fold of 2 layers, 30 %": lambda tile: folded(tile, 0.3, 2),
    "fold of 3 layers, 30 %": lambda tile: folded(tile, 0.3, 3),
    "black border, 10 %": padded,
    "contrast x 3": lambda tile: saturated(tile, 3),
    "restained": restained,
    "pale, 1/3 of the density": pale,
    "light x 1.5": lambda tile: overexposed(tile, 1.5),
}


def measure(files: list[Path]) -> dict:
    """Every tile as it is, and every fifth with each fault."""
    found: dict = {"clean": [], "faulty": {name: [] for name in CORRUPTIONS}}
    pixels, seconds = 0, 0.0
    for i, path in enumerate(files):
        tile = read_image(path)
        start = time.process_time()
        found["clean"].append(as_json(TileMeasures.of(tile)))
        seconds += time.process_time() - start
        pixels += tile[..., 0].size
        if i % EVERY == 0:
            for name, corrupt in CORRUPTIONS.items():
                found["faulty"][name].append(as_json(TileMeasures.of(corrupt(tile))))
    return found | {"seconds_per_megapixel": seconds / (pixels / 1e6)}


def as_json(measures: TileMeasures) -> dict:
    return {name: each.tolist() if isinstance(each, np.ndarray) else each for name, each in vars(measures).items()}


def from_json(record: dict) -> TileMeasures:
    return TileMeasures(**{name: np.array(each) if isinstance(each, list) else each for name, each in record.items()})


def table(found: dict[str, dict]) -> list[str]:
    """False alarms, then detection."""
    lines = ["| tiles as they are | tiles | any fault | " + " | ".join(FAULTS) + " |", "|---" * (len(FAULTS) + 3) + "|"]
    clean = {name: [from_json(record) for record in record["clean"]] for name, record in found.items()}
    for name, measures in clean.items():
        report = judge(measures, Limits())
        counts = [sum(fault in tile.reasons for tile in report.flagged) for fault in FAULTS]
        share = f"{len(report.flagged)} ({len(report.flagged) / len(measures):.1%})"
        lines.append(f"| {name} | {len(measures)} | {share} | " + " | ".join(map(str, counts)) + " |")
    lines += ["", "| flagged with the fault | " + " | ".join(found) + " |", "|---" * (len(found) + 1) + "|"]
    for corruption in CORRUPTIONS:
        shares = [detected(clean[name], record["faulty"][corruption]) for name, record in found.items()]
        lines.append(f"| {corruption} | " + " | ".join(shares) + " |")
    speeds = ", ".join(f"{record['seconds_per_megapixel']:.2f}" for record in found.values())
    return [*lines, "", f"CPU seconds per megapixel, in the order of the sources: {speeds}."]


def detected(clean: list[TileMeasures], faulty: list[dict]) -> str:
    """Of the faulty copies of tiles that are fit as they are, the share that is flagged."""
    before = judge(clean, Limits()).tiles
    mixed = list(clean)
    mixed[::EVERY] = [from_json(record) for record in faulty]
    after = judge(mixed, Limits()).tiles
    fit = [i for i in range(0, len(clean), EVERY) if not before[i].reasons]
    return f"{np.mean([bool(after[i].reasons) for i in fit]):.0%}" if fit else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--table", type=Path)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    found = {}
    for number, (name, pattern) in enumerate(SOURCES.items()):
        record = options.output / f"{number}.json"
        if not record.exists():
            files = sorted(options.data.glob(pattern))
            files = [files[i] for i in np.linspace(0, len(files) - 1, min(MOST, len(files))).astype(int)]
            record.write_text(json.dumps(measure(files)))
        found[name] = json.loads(record.read_text())
    lines = table(found)
    print("\n".join(lines))
    if options.table:
        write_between_marks(options.table, MARKS, "Quality control of tiles", lines)


if __name__ == "__main__":
    main()
