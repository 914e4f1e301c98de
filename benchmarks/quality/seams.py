"""Seams: how large is the jump of color across the borders of tiles, with statistics of the slide and of each tile?

A slide is normalized with one map, and with a map for each square of 512 pixels, as most papers do. Along every side of every
square the mean color of the pixels on either side is compared, as it is in the source: what normalization added to this
step is a seam. The same is done along lines through the middle of the squares, where nothing should be seen.

    python benchmarks/quality/seams.py DATA -o runs/seams
    python benchmarks/quality/seams.py DATA -o runs/seams --table docs/results/seams.md

DATA holds wsi/.../CMU-1-Small-Region.svs and camelyon17_deeplab_tiles, whose first center the models are fitted on. The
models, and pictures of a place where four squares meet, stay in the output folder.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

import stainxform as sx
from stainxform.io.images import read_image, write_image
from stainxform.maps import ImageMap, TileMap

sys.path.insert(0, str(Path(__file__).parents[1]))
from pages import write_between_marks

MARKS = ("<!-- seams: begin -->", "<!-- seams: end -->")
SIDE = 512
SETTINGS = {
    "stainlut": {"steps": 600, "device": "cpu", "progress": False},
    "colornormnet": {"steps": 300, "device": "cpu", "progress": False},
    "macenko": {},
    "reinhard": {},
}


def models(data: Path, output: Path) -> dict[str, sx.Normalizer]:
    """Fitted on tiles of 256 pixels of one center; kept in the output folder."""
    region = read_image(sorted(data.glob("camelyon17_deeplab_tiles/**/*.jpeg"))[0])
    tiles = [region[y : y + 256, x : x + 256] for y in range(0, 2048, 256) for x in range(0, 2048, 256)]
    found = {}
    for method, settings in SETTINGS.items():
        path = output / f"{method}.safetensors"
        if not path.exists():
            sx.fit_center(tiles, method, **settings).save(path)
        found[method] = sx.load(path)
    return found


def steps(source: np.ndarray, mapped: np.ndarray, offset: int) -> np.ndarray:
    """Step of the mean color that mapping added along each side of the squares that begin at ``offset``, in levels.

    A side has SIDE pixels; one value is the mean over the channels of the absolute step.
    """
    found = []
    for before, after in ((source, mapped), (source.swapaxes(0, 1), mapped.swapaxes(0, 1))):
        height, width = before.shape[:2]
        for x in range(offset or SIDE, width, SIDE):
            for y in range(0, height - SIDE + 1, SIDE):
                part = slice(y, y + SIDE)
                added = [(image[part, x].astype(float) - image[part, x - 1]).mean(axis=0) for image in (after, before)]
                found.append(np.abs(added[0] - added[1]).mean())
    return np.array(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--table", type=Path)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    start = time.process_time()
    lines = ["| method | statistics | across borders: mean | the worst | inside: mean |", "|---|---|---|---|---|"]
    path = next(options.data.glob("wsi/**/CMU-1-Small-Region.svs"))
    with sx.open_slide(path) as slide:
        height, width = slide.levels[0].shape
        source = slide.read(0, 0, 0, width, height)
        for method, normalizer in models(options.data, options.output).items():
            maps: dict[str, ImageMap] = {"slide": sx.slide_map(normalizer, slide), "tile": TileMap(normalizer, SIDE)}
            for statistics, image_map in maps.items():
                mapped = image_map(source)
                border, inside = (steps(source, mapped, offset) for offset in (0, SIDE // 2))
                lines.append(
                    f"| {method} | {statistics} | {border.mean():.2f} | {border.max():.2f} | {inside.mean():.2f} |"
                )
                corner = mapped[2 * SIDE - 200 : 2 * SIDE + 200, 2 * SIDE - 200 : 2 * SIDE + 200]
                write_image(options.output / f"{method}_{statistics}.png", corner)
                print(lines[-1], flush=True)
    seconds = time.process_time() - start
    lines += ["", f"{path.name}, {width} x {height} pixels, squares of {SIDE}; {seconds:.0f} s of CPU time."]
    if options.table:
        write_between_marks(options.table, MARKS, "Seams", lines)


if __name__ == "__main__":
    main()
