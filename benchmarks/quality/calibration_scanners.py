"""What a map is made from decides whether it helps: each tile, its slide, or a calibration of the other scanner.

    python benchmarks/quality/calibration_scanners.py ALIGNED -o runs/scanners --table docs/results/calibration_scanners.md

ALIGNED holds the same tissue on two scanners, registered: ``aperio/A03*.png`` and ``hamamatsu/H03*.png`` and so on
(MITOS-ATYPIA-14; a name says slide, two digits, and frame, one). Each of three slides is left out in turn: methods are
fitted on the Aperio tiles of the two others, and normalize the Hamamatsu tiles of the third.

Every (study, slide) is one JSON file in the output folder and is not run again; trained models are kept there, too.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import stainxform as sx
from stainxform.color import CIELab, ReversibleDensity
from stainxform.evaluate import ciede2000, psnr, ssim
from stainxform.image.tissue import tissue_planes
from stainxform.io.atomic import atomic_write
from stainxform.maps import ChannelAffineMap, ImageMap, PolynomialFit

sys.path.insert(0, str(Path(__file__).parents[1]))
import pages
from scanner_pairs import Tile, tiles_of

Image = np.ndarray
Scores = dict[str, list[float]]

TRAINED: dict[str, dict[str, Any]] = {"stainlut": {"steps": 1500}, "colornormnet": {"steps": 400}}
METHODS: dict[str, dict[str, Any]] = {
    "histogram_matching": {}, "khan": {}, "macenko": {}, "ramakrishnan": {}, "reinhard": {},
    "reinhard, tissue only": {"tissue_only": True}, "reinhard_modified": {}, "transport": {},
    "transport, cielab": {"space": "cielab"}, "transport, rgb": {"space": "rgb"}, "vahadane": {}, **TRAINED,
}  # fmt: skip
UNITS = ("tile", "slide", "center", "calibrated", "on the test tiles")
METRICS: tuple[Callable[..., float], ...] = (psnr, ssim, ciede2000)
DENSITY = ReversibleDensity(io=256, offset=1)
MARKS = ("<!-- calibration of scanners -->", "<!-- end of calibration of scanners -->")
OTHERS = "others' pairs"
SPACES = {"od": "transport", "rgb": "transport, rgb"}
WEIGHTS = (0.25, 0.5, 0.75, 1.0)
"""Of StainLUT's color, against the aligned one."""

FORMS = {
    "StainLUT": "StainLUT, one map, not aligned",
    "smooth": "smooth map fitted to that",
    "aligned": "aligned (transport alone)",
    **{f"mix {w}": f"aligned, then StainLUT; weight of its color {w}" for w in WEIGHTS},
    **{f"smooth mix {w}": f"smooth map fitted to that, {w}" for w in WEIGHTS},
    "unaligned": "mean of transport and the smooth map not aligned",
    "Vahadane": "Vahadane",
    "unaligned, Vahadane": "mean of transport, the smooth map not aligned, and Vahadane",
    "smooth mix 0.5, Vahadane": "mean of the smooth map, 0.5, and Vahadane",
}
SHIFTS = ("a, b", "L", "L, a, b", "L, a, b, each with a scale")
STUDIES = ["bounds", "offsets", *METHODS, "forms"]


def score(results: Iterable[Image], tiles: Iterable[Tile]) -> list[float]:
    """Mean of each metric over tiles."""
    values = [[metric(one, tile.ours) for metric in METRICS] for one, tile in zip(results, tiles, strict=True)]
    return [float(value) for value in np.mean(values, axis=0)]


def planes(image: Image) -> Image:
    """RGB ``(3, K)`` in [0, 1]."""
    return np.moveaxis(image, -1, 0).reshape(3, -1) / 255


def fitted(before: Iterable[Image], after: Iterable[Image]) -> ImageMap:
    """The smooth color map that comes closest from tissue in some images to that in others."""
    pairs = [(planes(one), planes(other)) for one, other in zip(before, after, strict=True)]
    chosen = [(one[:, tissue], other[:, tissue]) for one, other in pairs for tissue in [tissue_planes(one)]]
    return PolynomialFit.merge(PolynomialFit.of(one, other) for one, other in chosen).map()


def slope(before: Image, after: Image) -> Image:
    """Of the lines that fit best, channel by channel."""
    one, other = (values - values.mean(axis=1, keepdims=True) for values in (before, after))
    return (one * other).sum(axis=1) / np.square(one).sum(axis=1)


def mean_of(*parts: tuple[float, Sequence[Image]]) -> list[Image]:
    """Weighted means of images in optical density."""
    weights = [weight for weight, _ in parts]
    tiles = zip(*(images for _, images in parts), strict=True)
    density = (sum(w * DENSITY.from_rgb(one / 255) for w, one in zip(weights, tile)) for tile in tiles)
    return [np.rint(np.clip(DENSITY.to_rgb(each) * 255, 0, 255)).astype(np.uint8) for each in density]


class Fold:
    """One slide left out."""

    def __init__(self, tiles: Sequence[Tile], slide: str, out: Path):
        self.slide, self.out = slide, out
        self.test = [tile for tile in tiles if tile.slide == slide]
        self.rest = [tile for tile in tiles if tile.slide != slide]
        self.ours = [tile.ours for tile in self.rest]
        self.theirs = [tile.theirs for tile in self.rest]
        self.own = [tile.theirs for tile in self.test]

    def center(self, name: str) -> sx.Normalizer:
        """A method fitted on our tiles of the other slides; what was trained is kept in a file."""
        method, path = name.partition(",")[0], self.out / "models" / f"{name}_{self.slide}.safetensors"
        if path.exists():
            return sx.load(str(path))
        more = {"seed": 0, "device": "cpu"} if method in TRAINED else {}
        fitted = sx.fit_center(self.ours, method, qc="off", **METHODS[name], **more)
        if method in TRAINED:
            path.parent.mkdir(parents=True, exist_ok=True)
            fitted.save(path)
        return fitted

    # ---- studies: names to scores ------------------------------------------------------------------------------------

    def bounds(self) -> Scores:
        """Doing nothing, and cubic maps fitted to pairs, which no method has."""
        found = {"none": score(self.own, self.test)}
        for name, tiles in (("own pairs", self.test), (OTHERS, self.rest)):
            oracle = fitted([tile.theirs for tile in tiles], [tile.ours for tile in tiles])
            found[name] = score(map(oracle, self.own), self.test)
        return found

    def units(self, name: str) -> Scores:
        """One method, its map made from more and more."""
        center, known = self.center(name), [tile.slide for tile in self.rest]
        others = center.calibrate(self.theirs, groups=known, center_weight=1, qc="off")
        found = {
            "tile": score(map(center, self.own), self.test),
            "slide": score(map(center.map_for_tiles(self.own), self.own), self.test),
            "center": score(map(others, self.own), self.test),
        }
        for unit, halves in (("calibrated", ("01", "23")), ("on the test tiles", ("0123",))):
            results = {}
            for half in halves:
                seen = [tile.theirs for tile in self.test if len(halves) == 1 or tile.frame not in half]
                groups = known + [self.slide] * len(seen)
                bridge = center.calibrate([*self.theirs, *seen], groups=groups, qc="off").for_group(self.slide)
                results |= {i: bridge(tile.theirs) for i, tile in enumerate(self.test) if tile.frame in half}
            found[unit] = score([results[i] for i in range(len(self.test))], self.test)
        return found

    def forms(self) -> Scores:
        """StainLUT, aligned first or not, as it is or as a smooth map, mixed; all from other slides."""
        net = self.center("stainlut")

        def both(one_map: ImageMap, *images: Sequence[Image]) -> list[list[Image]]:
            return [[one_map(image) for image in each] for each in images]

        alone, others_alone = both(net.map_for_tiles(self.theirs), self.own, self.theirs)
        (smooth,) = both(fitted(self.theirs, others_alone), self.own)
        (vahadane,) = both(self.center("vahadane").map_for_tiles(self.theirs), self.own)
        found = {"StainLUT": alone, "smooth": smooth, "Vahadane": vahadane}
        for space, transport in SPACES.items():
            align = self.center(transport).map_for_tiles(self.theirs)
            aligned, others = both(align, self.own, self.theirs)
            colored, others_colored = both(net.map_for_tiles(others), aligned, others)
            found[f"{space}: aligned"] = aligned
            for weight in WEIGHTS:
                found[f"{space}: mix {weight}"] = mean_of((1 - weight, aligned), (weight, colored))
                wanted = mean_of((1 - weight, others), (weight, others_colored))
                (found[f"{space}: smooth mix {weight}"],) = both(fitted(others, wanted), aligned)
            found[f"{space}: unaligned"] = mean_of((0.5, smooth), (0.5, aligned))
            found[f"{space}: unaligned, Vahadane"] = mean_of(*((1 / 3, each) for each in (smooth, aligned, vahadane)))
            found[f"{space}: smooth mix 0.5, Vahadane"] = mean_of(
                (0.5, found[f"{space}: smooth mix 0.5"]), (0.5, vahadane)
            )
        return {name: score(images, self.test) for name, images in found.items()}

    def offsets(self) -> Scores:
        """What one shift in CIELAB can do, which is what ColorNormNet applies, and one with a scale of each channel."""
        found = {}
        for name, (before, after) in self._tissue_in_lab().items():
            scale = slope(before, after) if name != "no pairs" else after.std(axis=1) / before.std(axis=1)
            means = before.mean(axis=1), after.mean(axis=1)
            for label, used, factors in zip(SHIFTS, ([0, 1, 1], [1, 0, 0], [1, 1, 1], [1, 1, 1]), (1, 1, 1, scale)):
                shifted = ChannelAffineMap(CIELab(), np.ones(3) * factors, (means[1] - factors * means[0]) * used)
                found[f"{name}: {label}"] = score(map(shifted, self.own), self.test)
        return found

    def _tissue_in_lab(self) -> dict[str, tuple[Image, Image]]:
        """Tissue of both scanners, ``(3, K)``: pixel by pixel, or all there is."""
        found = {}
        for name, tiles in (("own pairs", self.test), (OTHERS, self.rest)):
            pairs = [(planes(tile.theirs), planes(tile.ours)) for tile in tiles]
            kept = [(one[:, tissue], other[:, tissue]) for one, other in pairs for tissue in [tissue_planes(one)]]
            found[name] = tuple(CIELab().from_rgb(np.concatenate(side, axis=1)) for side in zip(*kept))
        sides = [[planes(image) for image in images] for images in (self.theirs, self.ours)]
        tissue = (np.concatenate([one[:, tissue_planes(one)] for one in side], axis=1) for side in sides)
        found["no pairs"] = tuple(CIELab().from_rgb(side) for side in tissue)
        return found


# ---- tables ----------------------------------------------------------------------------------------------------------


class Found:
    """Scores by study and name: ``(slides, 3)``."""

    def __init__(self, out: Path, slides: Sequence[str]):
        self._out, self._slides = out, slides

    def __call__(self, study: str) -> dict[str, np.ndarray]:
        """Mean over the slides of each name."""
        read = [json.loads((self._out / f"{study}_{slide}.json").read_text()) for slide in self._slides]
        return {name: np.mean([one[name] for one in read], axis=0) for name in read[0]}

    def cell(self, value: np.ndarray) -> str:
        """PSNR / SSIM / CIEDE2000 (share); bold if PSNR is above none."""
        none, oracle = (self("bounds")[name] for name in ("none", "own pairs"))
        share = (value[0] - none[0]) / (oracle[0] - none[0])
        text = f"{value[0]:.2f} / {value[1]:.3f} / {value[2]:.1f} ({100 * share:+.0f} %)"
        return f"**{text}**" if value[0] > none[0] else text


def tables(found: Found) -> list[str]:
    """Lines of Markdown."""
    bounds = found("bounds")
    lines = [f"| method | {' | '.join(UNITS)} |", "|" + "---|" * (1 + len(UNITS))]
    empty = " |" * (len(UNITS) - 1)
    lines.append(f"| none | {found.cell(bounds['none'])} |{empty}")
    for name in METHODS:
        scores = found(name)
        lines.append(f"| `{name}` | {' | '.join(found.cell(scores[unit]) for unit in UNITS)} |")
    lines.append(f"| cubic map fitted to pairs of other slides | | | {found.cell(bounds[OTHERS])} | | |")
    lines.append(f"| oracle: fitted to the slide's own pairs | | | | | {found.cell(bounds['own pairs'])} |")
    lines += ["", "### Forms of StainLUT", ""]
    lines += ["| form | aligned in optical density | aligned in RGB |", "|---|---|---|"]
    forms = found("forms")
    for name, label in FORMS.items():
        cells = [found.cell(forms[key]) for key in (name, f"od: {name}", f"rgb: {name}") if key in forms]
        lines.append(f"| {label} | {' | '.join(cells)} |{' |' * (2 - len(cells))}")
    lines += ["", "### What a shift in CIELAB can do", ""]
    lines += ["| shift of | from the slide's own pairs | from pairs of other slides | from their means, unpaired |"]
    lines += ["|---|---|---|---|"]
    offsets = found("offsets")
    for label in SHIFTS:
        cells = (found.cell(offsets[f"{source}: {label}"]) for source in ("own pairs", OTHERS, "no pairs"))
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("aligned", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*", help="studies, by name")
    parser.add_argument("--table", type=Path)
    given = parser.parse_args()
    tiles = tiles_of(given.aligned)
    slides = sorted({tile.slide for tile in tiles})
    given.out.mkdir(parents=True, exist_ok=True)
    for slide in slides:
        fold = Fold(tiles, slide, given.out)
        for study in given.only or STUDIES:
            path = given.out / f"{study}_{slide}.json"
            if not path.exists():
                found = getattr(fold, study)() if hasattr(fold, study) else fold.units(study)
                atomic_write(path, json.dumps(found, indent=1).encode())
                print(f"{study} {slide} done", flush=True)
    if given.only:
        return
    lines = tables(Found(given.out, slides))
    print("\n".join(lines))
    if given.table:
        pages.write_between_marks(given.table, MARKS, "Calibration between two scanners", lines)


if __name__ == "__main__":
    main()
