"""Draw docs/images/augmentations.png: what each augmentation does to one tile of synthetic tissue. Or measure it:

python benchmarks/figures/augmentations.py
python benchmarks/figures/augmentations.py tile.png ...    # mean change of each tile, in levels; draws no picture
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import stainxform as sx
from stainxform.augment import (
    HED,
    HSV,
    Augmentation,
    BrightnessContrast,
    RandStainNA,
    StainGrayscale,
    StainJitter,
    StainStyle,
)
from stainxform.io.images import read_image
from stainxform.samples import CENTERS, render, tissue

TARGET = Path(__file__).parents[2] / "docs" / "images" / "augmentations.png"
SIDE, GAP, LABEL, HEAD, DRAWS = 96, 4, 170, 24, 4
MEASURED_DRAWS = 100


def synthetic_centers() -> dict[str, np.ndarray]:
    return {
        name: np.stack([render(tissue(128, seed=(7, i)), center, seed=i) for i in range(6)])
        for name, center in CENTERS.items()
    }


def augmentations(centers: dict[str, np.ndarray]) -> dict[str, Augmentation]:
    return {
        "HSV light": HSV.preset("light"),
        "HSV strong": HSV.preset("strong"),
        "HED light": HED.preset("light"),
        "HED strong": HED.preset("strong"),
        "HED current\nsigma .2, bias .01": HED(definition="current", sigma=(-0.2, 0.2), bias=(-0.01, 0.01)),
        "StainJitter light": StainJitter.preset("light"),
        "StainJitter strong": StainJitter.preset("strong"),
        "BrightnessContrast\nstrong": BrightnessContrast.preset("strong"),
        f"RandStainNA strong\n{len(centers)} centers": RandStainNA.fit(
            np.concatenate(list(centers.values())), spread=1.0
        ),
        f"StainStyle\n{len(centers)} centers, mixed": StainStyle(
            models=[sx.Macenko.fit(images) for images in centers.values()], interpolate=True
        ),
        "StainGrayscale": StainGrayscale(),
    }


def sheet(tile: np.ndarray, rows: dict[str, Augmentation]) -> Image.Image:
    """The tile, ``SIDE`` pixels wide and high, and draws of each augmentation."""
    step = SIDE + GAP
    sheet = Image.new("RGB", (LABEL + (1 + DRAWS) * step, HEAD + len(rows) * step), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=14)
    for column, title in enumerate(("image", "draws")):
        pen.text((LABEL + column * step, HEAD // 2), title, "black", font, anchor="lm")
    for row, (label, augmentation) in enumerate(rows.items()):
        rng = np.random.default_rng(11)
        pen.multiline_text((6, HEAD + row * step + SIDE // 2), label, "black", font, anchor="lm")
        shown = [tile, *(augmentation(tile, augmentation.sample(rng), on_blank="raise") for _ in range(DRAWS))]
        for column, image in enumerate(shown):
            sheet.paste(Image.fromarray(image), (LABEL + column * step, HEAD + row * step))
    return sheet


def picture() -> None:
    tile = render(tissue(SIDE, seed=(42,)), next(iter(CENTERS)), noise=False)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    sheet(tile, augmentations(synthetic_centers())).save(TARGET, optimize=True)


def measure(files: list[str]) -> None:
    unlike = {
        "HED current\nsigma .05, bias .05": HED(definition="current"),
        "HED current\nneutral": HED(definition="current", sigma=(0, 0), bias=(0, 0)),
        "BrightnessContrast\nlight": BrightnessContrast.preset("light"),
    }
    tiles = [read_image(file) for file in files]
    for label, augmentation in (augmentations(synthetic_centers()) | unlike).items():
        changes = []
        for tile in tiles:
            rng = np.random.default_rng(0)
            results = (augmentation(tile, augmentation.sample(rng)) for _ in range(MEASURED_DRAWS))
            changes.append(np.mean([np.abs(result.astype(int) - tile).mean() for result in results]))
        print(label.replace("\n", ", ").ljust(36), *(f"{change:6.1f}" for change in changes))


if __name__ == "__main__":
    measure(sys.argv[1:]) if sys.argv[1:] else picture()
