"""Which stain vector is hematoxylin? How often common rules on channels disagree with matching to reference vectors.

    python benchmarks/quality/stain_order.py DATA            # a folder whose sub-folders hold real H&E tiles

Every sub-folder gives up to 12 tiles, evenly spread over its images; each method estimates the stains of each tile.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

import stainxform as sx
from stainxform.errors import InvalidImageError, NotEnoughTissueError
from stainxform.io.images import read_image
from stainxform.io.search import image_files

TILES = 12

METHODS: dict[str, tuple[str, dict]] = {
    "Macenko, veta": ("macenko", {}),
    "Vahadane, staintools": ("vahadane", {}),
    "Vahadane, matlab": ("vahadane", {"definition": "matlab"}),
    "Ramakrishnan": ("ramakrishnan", {}),
}

RULES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "more red": lambda stains: stains[0],
    "less green": lambda stains: -stains[1],
    "less blue": lambda stains: -stains[2],
    "red / blue": lambda stains: stains[0] / np.maximum(stains[2], 1e-9),
}
"""Hematoxylin is said to be the vector with the larger value."""


def tiles(folder: Path) -> list[np.ndarray]:
    """Up to TILES images of a folder that hold some color and at least 10 % tissue."""
    found = []
    files = image_files(folder)
    for path in files[:: max(1, len(files) // (2 * TILES))]:
        try:
            image = read_image(path)[:512, :512]
        except InvalidImageError:
            continue
        colored = image.max(-1).astype(int) - image.min(-1) > 20
        if colored.mean() > 0.1 and sx.tissue_mask(image).mean() > 0.1 and len(found) < TILES:
            found.append(image)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", nargs="*", help="names of sub-folders; default: all")
    arguments = parser.parse_args()
    folders = [path for path in sorted(arguments.data.iterdir()) if path.is_dir()]
    folders = [path for path in folders if not arguments.only or path.name in arguments.only]
    images = {folder.name: tiles(folder) for folder in folders}
    swapped: Counter[tuple[str, str]] = Counter()
    refused: Counter[str] = Counter()
    for image in (image for found in images.values() for image in found):
        for name, (method, settings) in METHODS.items():
            try:
                stains = sx.estimate_stain_matrix(image, method, **settings)
            except NotEnoughTissueError:
                refused[name] += 1
                continue
            for rule, value in RULES.items():
                first, second = value(stains)
                swapped[name, rule] += int(first < second)
    counts = ", ".join(f"{name} {len(found)}" for name, found in images.items() if found)
    print(f"{sum(map(len, images.values()))} tiles ({counts}). Pairs that a rule orders other than matching does:\n")
    print("| method | " + " | ".join(RULES) + " | refused |\n|" + "---|" * (len(RULES) + 2))
    for name in METHODS:
        print(f"| {name} | " + " | ".join(str(swapped[name, rule]) for rule in RULES) + f" | {refused[name]} |")


if __name__ == "__main__":
    main()
