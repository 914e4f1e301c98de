"""Draw source, target and what every method makes of it, side by side, on real tissue of three other centers:

python benchmarks/figures/side_by_side.py DATA -o docs/images/side_by_side.jpg

DATA, the models and the folder ``--work`` they are kept in are those of methods.py (CAMELYON17, CC0 1.0).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from methods import OURS, SIDE, SOURCES, TARGETS, fitted, region, tile
from PIL import Image, ImageDraw, ImageFont

import stainxform as sx

SHOWN, GAP, HEAD = 150, 4, 20
COLUMNS = 7


def sheet(columns: dict[str, list[np.ndarray]]) -> Image.Image:
    """Each column has its title; after seven of them a new band begins."""
    names, step = list(columns), SHOWN + GAP
    bands = [names[i : i + COLUMNS] for i in range(0, len(names), COLUMNS)]
    high = HEAD + step * max(map(len, columns.values()))
    picture = Image.new("RGB", (COLUMNS * step + GAP, high * len(bands)), "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(size=13)
    cut = (SIDE - SHOWN) // 2
    for band, members in enumerate(bands):
        for column, name in enumerate(members):
            left, top = GAP + column * step, band * high
            pen.text((left, top + HEAD // 2), name, "black", font, anchor="lm")
            for row, image in enumerate(columns[name]):
                crop = Image.fromarray(image[cut : cut + SHOWN, cut : cut + SHOWN])
                picture.paste(crop, (left, top + HEAD + row * step))
    return picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("runs/figures"))
    given = parser.parse_args()
    ours = region(given.data, OURS)
    columns = {
        "target (center 0)": [ours[index] for index in (*TARGETS, 21)],
        "source": [tile(given.data, center) for center in SOURCES],
    }
    for method in sx.methods():
        models = fitted(method, given.data, given.work)
        pairs = zip(SOURCES, columns["source"])
        columns[method] = [models[center](image, on_blank="raise") for center, image in pairs]
        print(method, flush=True)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    sheet(columns).save(given.output, quality=90, subsampling=0)


if __name__ == "__main__":
    main()
