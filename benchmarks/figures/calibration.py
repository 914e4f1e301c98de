"""Draw what is made of real tissue of other centers by maps estimated on each tile, and by one that was calibrated:

python benchmarks/figures/calibration.py DATA -o docs/images/calibration.jpg --table docs/results/unit_of_estimation.md

DATA is that of methods.py (CAMELYON17, CC0 1.0): one region, so one slide, of each center, as 64 tiles. The tissue is chosen by
a rule that looks at no result: the first two other centers by number, and of each the tile whose tissue is palest and the
one whose tissue is darkest (mean optical density). The 62 others are what the center is calibrated on.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from methods import OURS, SIDE, region
from PIL import Image, ImageDraw, ImageFont

import stainxform as sx
from stainxform.image.histogram import ColorHistogram
from stainxform.image.tissue_color import TissueColor

sys.path.append(str(Path(__file__).parents[1]))
import pages

OTHERS = (1, 2)
PER_TILE = {"macenko": "Macenko, per tile", "reinhard": "Reinhard, per tile", "transport": "transport, per tile"}
MARKS = ("<!-- picture of calibration -->", "<!-- end of picture of calibration -->")
CUT, GAP, HEAD, SIDEBAR = 180, 6, 24, 92


def density(tile: np.ndarray) -> float:
    """Mean optical density of a tile's tissue."""
    return float(TissueColor.of(ColorHistogram.of(tile)).pixels.mean.mean())


def from_pale_to_dark(tiles: np.ndarray) -> list[int]:
    """Indices of tiles."""
    return [int(index) for index in np.argsort([density(tile) for tile in tiles])]


def columns(data: Path) -> dict[str, list[np.ndarray]]:
    """Each column's tiles, from the top."""
    ours = region(data, OURS)
    fitted = {method: sx.fit_center(ours, method, qc="off") for method in PER_TILE}
    titles = ("as it is", *PER_TILE.values(), "transport, calibrated")
    found: dict[str, list[np.ndarray]] = {title: [] for title in titles}
    for center in OTHERS:
        theirs = region(data, center)
        palest, *others, darkest = from_pale_to_dark(theirs)
        calibrated = fitted["transport"].calibrate(theirs[others], qc="off")
        for tile in theirs[[palest, darkest]]:
            results = (tile, *(fitted[method](tile) for method in PER_TILE), calibrated(tile))
            for title, result in zip(titles, results, strict=True):
                found[title].append(result)
    order = from_pale_to_dark(ours)
    return found | {"our center": [ours[order[place]] for place in (0, -1, 1, -2)]}


def sheet(shown: dict[str, list[np.ndarray]], rows: list[str]) -> Image.Image:
    """Columns with their titles, rows with theirs; the middle of each tile."""
    step, cut = CUT + GAP, (SIDE - CUT) // 2
    picture = Image.new("RGB", (SIDEBAR + step * len(shown), HEAD + step * len(rows)), "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(size=15)
    for row, title in enumerate(rows):
        pen.multiline_text((6, HEAD + row * step + CUT // 2), title, "black", font, anchor="lm")
    for column, (title, tiles) in enumerate(shown.items()):
        left = SIDEBAR + column * step
        pen.text((left + CUT // 2, HEAD // 2), title, "black", font, anchor="mm")
        for row, tile in enumerate(tiles):
            crop = Image.fromarray(tile[cut : cut + CUT, cut : cut + CUT])
            picture.paste(crop, (left, HEAD + row * step))
    return picture


def lines(shown: dict[str, list[np.ndarray]], rows: list[str]) -> list[str]:
    """The density of each tile that is shown."""
    head = ["tissue", *(row.replace("\n", ", ") for row in rows)]
    body = [[title, *(f"{density(tile):.2f}" for tile in tiles)] for title, tiles in shown.items()]
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *body)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--table", type=Path, help="the page for the densities")
    given = parser.parse_args()
    rows = [f"center {center}\n{which} tile" for center in OTHERS for which in ("palest", "darkest")]
    given.output.parent.mkdir(parents=True, exist_ok=True)
    shown = columns(given.data)
    sheet(shown, rows).save(given.output, quality=90, subsampling=0)
    if given.table:
        pages.write_between_marks(given.table, MARKS, "The unit of estimation", lines(shown, rows))


if __name__ == "__main__":
    main()
