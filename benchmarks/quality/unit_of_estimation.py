"""What a map is estimated from decides whether it helps: each tile, the slide, or once for the other scanner.

    python benchmarks/quality/unit_of_estimation.py ALIGNED --table docs/results/unit_of_estimation.md

ALIGNED holds the same tissue on two scanners, registered: ``aperio/A03*.png`` and ``hamamatsu/H03*.png`` and so on
(MITOS-ATYPIA-14). Each of three slides is left out in turn: methods are fitted on the Aperio tiles of the two others,
and normalize the Hamamatsu tiles of the third. "Other slides" are the Hamamatsu tiles of those two: no test tile is
seen. Every method that needs no training, at its defaults.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

import stainxform as sx
from stainxform.evaluate import ciede2000, psnr, ssim
from stainxform.io.images import read_image

sys.path.insert(0, str(Path(__file__).parents[1]))
import pages

METHODS: dict[str, dict[str, object]] = {
    "histogram_matching": {}, "khan": {}, "macenko": {}, "ramakrishnan": {}, "reinhard": {},
    "reinhard, tissue only": {"tissue_only": True}, "reinhard_modified": {}, "transport": {},
    "transport, cielab": {"space": "cielab"}, "transport, rgb": {"space": "rgb"}, "vahadane": {},
}  # fmt: skip
UNITS = ("tile", "slide", "other slides")
METRICS: tuple[Callable[..., float], ...] = (psnr, ssim, ciede2000)
MARKS = ("<!-- unit of estimation -->", "<!-- end of unit of estimation -->")


def pairs(folder: Path) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """(Aperio, Hamamatsu) tiles by slide."""
    found = defaultdict(list)
    for path in sorted((folder / "aperio").glob("*.png")):
        other = folder / "hamamatsu" / f"H{path.name[1:]}"
        found[path.name[1:3]].append((read_image(path), read_image(other)))
    return dict(found)


def scores(results: Iterable[np.ndarray], wanted: Iterable[np.ndarray]) -> np.ndarray:
    """Mean of each metric over tiles."""
    return np.mean([[metric(one, other) for metric in METRICS] for one, other in zip(results, wanted)], axis=0)


def study(slides: dict[str, list[tuple[np.ndarray, np.ndarray]]]) -> dict[tuple[str, str], np.ndarray]:
    """By method and unit: metrics ``(slides, 3)``; the method "none" has one unit."""
    found: dict[tuple[str, str], list[np.ndarray]] = defaultdict(list)
    for test in slides:
        ours = [pair[0] for slide in slides if slide != test for pair in slides[slide]]
        theirs = [pair[1] for slide in slides if slide != test for pair in slides[slide]]
        wanted, tiles = zip(*slides[test])
        found["none", "tile"].append(scores(tiles, wanted))
        for name, settings in METHODS.items():
            center = sx.fit_center(ours, name.partition(",")[0], qc="off", **settings)
            maps = {"slide": center.map_for_tiles(tiles), "other slides": center.map_for_tiles(theirs)}
            found[name, "tile"].append(scores(map(center, tiles), wanted))
            for unit, image_map in maps.items():
                found[name, unit].append(scores(map(image_map, tiles), wanted))
        print(f"slide {test} done", flush=True)
    return {key: np.array(values) for key, values in found.items()}


def table(found: dict[tuple[str, str], np.ndarray]) -> list[str]:
    """Lines of Markdown: PSNR / SSIM / CIEDE2000, mean over the slides; PSNR above none in bold."""
    none = found["none", "tile"].mean(0)
    lines = [f"| method | {' | '.join(UNITS)} |", "|---|---|---|---|"]
    lines.append(f"| none | {none[0]:.2f} / {none[1]:.3f} / {none[2]:.1f} | | |")
    for name in METHODS:
        cells = []
        for unit in UNITS:
            value = found[name, unit].mean(0)
            text = f"{value[0]:.2f} / {value[1]:.3f} / {value[2]:.1f}"
            cells.append(f"**{text}**" if value[0] > none[0] else text)
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("aligned", type=Path)
    parser.add_argument("--table", type=Path)
    given = parser.parse_args()
    lines = table(study(pairs(given.aligned)))
    print("\n".join(lines))
    if given.table:
        pages.write_between_marks(given.table, MARKS, "The unit of estimation", lines)


if __name__ == "__main__":
    main()
