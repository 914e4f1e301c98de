"""Draw what each method makes of real tissue of other centers, and measure it:

python benchmarks/figures/methods.py DATA -o docs/images/methods --table docs/results/real_tissue.md

DATA holds two public selections of CAMELYON17 (CC0 1.0, https://camelyon17.grand-challenge.org), as on GitHub:
``camelyon17_deeplab_tiles`` (yozoranoken/CAMELYON17DeepLab, sampled_tiles_from_centers: one 2048 px region of each
center) and ``camelyon17_dkfz_testdata`` (DBO-DKFZ/multistain_cyclegan_normalization, resources/test_data: 256 px tiles).

Fitted models are kept in the folder ``--work`` and not fitted again: a stopped run is resumed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from augmentations import augmentations, sheet
from PIL import Image, ImageDraw, ImageFont
from skimage.color import deltaE_ciede2000, rgb2lab

import stainxform as sx
from stainxform.io.images import read_image

OURS, SIDE = 0, 256
SOURCES = {1: "patient_023", 2: "patient_048", 4: "patient_082"}
"""The other centers, and whose tile is shown of each: no patient of the regions that anything is fitted on."""
PAIR = 2
"""The one other center that StainGAN is trained for."""
SHOWN, GAP, HEAD = 200, 6, 22
TARGETS = (9, 44)
"""The tiles of our region that stand for it in the pictures."""
MARKED, PEN = 4, (0, 160, 70)
"""The tile that gets marker strokes, and their color; or much glass beside it."""
Change = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
BRIEF = {
    "stainlut": {"steps": 250},
    "colornormnet": {"steps": 800},
    "staingan": {"steps": 300, "width": 16, "blocks": 3, "crop": 128},
    "stainnet": {"steps": 3000},
}
"""Training that takes a CPU core a minute or two: the full methods take more."""
VARIANTS = {"reinhard-tissue_only": {"tissue_only": True}}
"""Other settings of a method, measured without a picture."""


def region(data: Path, center: int) -> np.ndarray:
    """A center's region as tiles, ``(64, 256, 256, 3)``."""
    (file,) = (data / "camelyon17_deeplab_tiles").rglob(f"centre_{center}_*.jpeg")
    rows = read_image(file).reshape(2048 // SIDE, SIDE, 2048 // SIDE, SIDE, 3)
    return rows.swapaxes(1, 2).reshape(-1, SIDE, SIDE, 3)


def tile(data: Path, center: int) -> np.ndarray:
    (file,) = (data / "camelyon17_dkfz_testdata").rglob(f"center_{center}/{SOURCES[center]}_*.jpeg")
    return read_image(file)


def kept(file: Path, fit: Callable[[], sx.Normalizer]) -> sx.Normalizer:
    """The model in a file, or a new one that is saved there."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        fit().save(file)
    return sx.load(str(file))


def fitted(method: str, data: Path, work: Path) -> dict[int, sx.Normalizer]:
    """The normalizer for tiles of each other center: the same one but for StainNet, which is a model of a pair."""
    name, brief = method.partition("-")[0], BRIEF.get(method, VARIANTS.get(method, {}))
    if method in BRIEF:
        brief = brief | {"progress": False, "device": "cpu"}
    if method == "stainnet":
        teacher = fitted("macenko", data, work)[PAIR]
        return {
            center: kept(
                work / f"stainnet-{center}.safetensors",
                lambda center=center: sx.fit_center(region(data, center), method, teacher=teacher, **brief),
            )
            for center in SOURCES
        }
    if method == "staingan":
        brief["source"] = region(data, PAIR)
    model = kept(work / f"{method}.safetensors", lambda: sx.fit_center(region(data, OURS), name, **brief))
    return dict.fromkeys(SOURCES, model)


def strip(targets: list[np.ndarray], sources: dict[int, np.ndarray], results: dict[int, np.ndarray]) -> Image.Image:
    """Our center on the left; beside it each other center's tile above what was made of it."""
    step = SHOWN + GAP
    picture = Image.new("RGB", (step * (1 + len(sources)) + GAP, HEAD + 2 * step), "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(size=13)
    titles = ["our center (target)", *(f"center {c}: before, after" for c in sources)]
    columns = [targets, *([sources[c], results[c]] for c in sources)]
    for column, (title, images) in enumerate(zip(titles, columns)):
        pen.text((column * step + 2 * GAP, HEAD // 2), title, "black", font, anchor="lm")
        for row, image in enumerate(images):
            cut = (SIDE - SHOWN) // 2
            shown = Image.fromarray(image[cut : cut + SHOWN, cut : cut + SHOWN])
            picture.paste(shown, (column * step + 2 * GAP, HEAD + row * step))
    return picture


def measures(before: np.ndarray, after: np.ndarray, ours: np.ndarray) -> tuple[float, float, str]:
    """Distance of the mean tissue color from our center's (CIEDE2000), deviation of L* in tissue, color of the glass."""
    tissue = sx.tissue_mask(before)
    lab = rgb2lab(after)[tissue]
    glass = after[~tissue & (before.min(-1) > 200)]
    color = "-" if len(glass) < 500 else "/".join(f"{value:.0f}" for value in glass.mean(0))
    return float(deltaE_ciede2000(lab.mean(0), ours)), float(lab[:, 0].std()), color


def with_pen(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Green marker strokes over a third of a tile, and where they are not."""
    rows, columns = np.indices(image.shape[:2])
    stroke = (rows + columns) % 120 < 40
    return np.where(stroke[..., None], np.uint8(PEN), image), ~stroke


def with_glass(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A tile beside three times as much of its own glass, and where it is."""
    glass = image[~sx.tissue_mask(image) & (image.min(-1) > 200)].mean(0).round().astype(np.uint8)
    wide = np.concatenate([image, np.broadcast_to(glass, (SIDE, 3 * SIDE, 3))], axis=1)
    return wide, np.indices(wide.shape[:2])[1] < SIDE


def harm(model: sx.Normalizer, image: np.ndarray, result: np.ndarray, change: Change) -> str:
    """How much tissue that a change leaves alone comes out otherwise because of it: mean difference in levels."""
    changed, same = change(image)
    after = model(changed, on_blank="raise")[:, :SIDE].astype(int)
    return f"{np.abs(after - result)[same[:, :SIDE] & sx.tissue_mask(image)].mean():.1f}"


def seams(tiles: np.ndarray) -> float:
    """Mean step of neighboring pixels across the borders of the tiles, over that half a tile beside them."""
    side = int(len(tiles) ** 0.5)
    whole = tiles.reshape(side, side, SIDE, SIDE, 3).swapaxes(1, 2).reshape(side * SIDE, side * SIDE, 3).astype(int)
    steps = [np.abs(np.diff(whole, axis=axis)).mean(axis=(1 - axis, 2)) for axis in (0, 1)]
    return float(np.mean([s[SIDE - 1 :: SIDE] for s in steps]) / np.mean([s[SIDE // 2 - 1 :: SIDE] for s in steps]))


def tile_by_tile(model: sx.Normalizer, tiles: np.ndarray) -> tuple[np.ndarray, float]:
    """Each tile normalized by itself, and the median time in seconds a megapixel."""
    results, seconds = [], []
    for image in tiles:
        start = time.perf_counter()
        results.append(model(image))
        seconds.append(time.perf_counter() - start)
    return np.stack(results), float(np.median(seconds)) / SIDE**2 * 1e6


def size(files: list[Path]) -> str:
    kilobytes = max(file.stat().st_size for file in files) / 1000
    return f"{kilobytes:.1f} kB" if kilobytes < 100 else f"{kilobytes / 1000:.1f} MB"


def row(title: str, before: dict[int, np.ndarray], after: dict[int, np.ndarray], ours: np.ndarray, *more: str) -> str:
    cells = [measures(before[center], after[center], ours) for center in SOURCES]
    return (
        f"| {title} | "
        + " | ".join(f"{d:.1f} / {s:.1f} / {glass}" for d, s, glass in cells)
        + f" | {' | '.join(more)} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("runs/figures"))
    parser.add_argument("--table", type=Path)
    parser.add_argument("--methods", nargs="+", help="only these: their pictures are drawn, their rows printed")
    given = parser.parse_args()
    if given.methods and given.table:
        parser.error("a table holds all methods")
    given.output.mkdir(parents=True, exist_ok=True)
    target, sources = region(given.data, OURS), {center: tile(given.data, center) for center in SOURCES}
    targets = [target[index] for index in TARGETS]
    tissue = rgb2lab(target)[sx.tissue_mask(target)]
    ours = tissue.mean(0)
    neighbors = region(given.data, PAIR)
    rows = [row("before", sources, sources, ours, "-", "-", f"{seams(neighbors):.2f}", "-", "-")]
    for method in given.methods or sorted([*sx.methods(), *VARIANTS]):
        models = fitted(method, given.data, given.work)
        results = {center: models[center](image, on_blank="raise") for center, image in sources.items()}
        if method not in VARIANTS:
            strip(targets, sources, results).save(given.output / f"{method}.jpg", quality=90, subsampling=0)
        harms = [harm(models[MARKED], sources[MARKED], results[MARKED], change) for change in (with_pen, with_glass)]
        normalized, seconds = tile_by_tile(models[PAIR], neighbors)
        kilobytes = size([*given.work.glob(f"{method}.safetensors"), *given.work.glob(f"{method}-[0-9].safetensors")])
        more = (*harms, f"{seams(normalized):.2f}", f"{seconds:.2f}", kilobytes)
        rows.append(row(f"`{method.replace('-', '`, `')}`", sources, results, ours, *more))
        print(rows[-1], flush=True)
    if given.methods:
        return
    centers = {f"center {center}": region(given.data, center)[::8] for center in (OURS, *SOURCES)}
    small = np.asarray(Image.fromarray(sources[4]).crop((32, 32, 224, 224)).reduce(2))
    sheet(small, augmentations(centers)).save(given.output / "augmentations.jpg", quality=90, subsampling=0)
    if given.table:
        deviation = f"{tissue[:, 0].std():.1f}"
        titles = ["method", *(f"center {center}" for center in SOURCES), "pen", "glass", "seams", "s/MP", "file"]
        head = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
        given.table.write_text("\n".join([INTRODUCTION.format(deviation=deviation), *head, *rows, "", CLOSING]))


INTRODUCTION = """# Three tiles of other centers

    python benchmarks/figures/methods.py DATA -o docs/images/methods --table docs/results/real_tissue.md

The pictures of the method pages in numbers: CAMELYON17 (CC0), our center 0 (64 tiles of 256 px), one tile of 256 px of
center 1, 2 and 4 each. In each cell: distance of the mean tissue color from that of our center (CIEDE2000) / deviation
of L* in the tissue / mean color of what was glass. Our center's deviation of L* is {deviation}. *Pen*: green marker strokes
over a third of the tile of center 4; how much the tissue beside them comes out otherwise than without, in levels of 255.
*Glass*: the same for the tile with three times as much glass beside it.
*Seams*: 64 neighboring tiles of center 2, each normalized by itself: the mean step across their borders over that between
pixels half a tile away. *s/MP*: seconds a megapixel on one CPU core, estimation included, median over those tiles, on a
machine shared with other work: up to twice what an idle one takes. The tiles do not show the same tissue as our center's:
being near in the mean is no proof of being right.
"""

CLOSING = f"""Three tiles, one each: an illustration, no ranking; for that see [results](../results.md). Trained briefly, on one CPU
core: StainLUT {BRIEF["stainlut"]["steps"]} steps; ColorNormNet {BRIEF["colornormnet"]["steps"]}; StainNet {BRIEF["stainnet"]["steps"]} with Macenko as teacher, a student for each
center, on 64 tiles of another patient of it; StainGAN {BRIEF["staingan"]["steps"]} steps of a small network (width 16, 3 blocks, crops of
128 px) on 64 tiles of center 0 and 64 of center {PAIR}: centers 1 and 4 are strange to it.
"""


if __name__ == "__main__":
    main()
