"""Every method against outputs of other implementations on one pair of images.

The folder holds source.png, target.png, ``implementation__method.png`` and octave_stain_matrices.json. Each method is
fitted on the target in every variant it has, normalizes the source, and is compared with every file of its name.

    python benchmarks/quality/golden.py DATA_GOLDEN --table docs/results/golden.md
"""

from __future__ import annotations

import argparse
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import stainxform as sx
from stainxform.io.images import read_image
from stainxform.normalizers.registry import normalizer_class

# The name in the file -> the method, where they differ.
ALIASES = {"histmatch": "histogram_matching", "macenko_defaultref": "macenko"}

# Settings worth comparing; a method that is not listed has its default only.
VARIANTS: dict[str, list[dict[str, str]]] = {
    "macenko": [{"definition": name} for name in ("veta", "paper", "staintools")],
    "reinhard": [{"space": name} for name in ("cielab", "ruderman")],
    "reinhard_modified": [{"space": name} for name in ("cielab", "ruderman")],
    "vahadane": [{"definition": name} for name in ("staintools", "matlab")],
}

INTRODUCTION = """\
# Other implementations on the same pair

    python benchmarks/quality/golden.py DATA_GOLDEN --table docs/results/golden.md

The pair is that of torchstain (MIT). Differences in levels of 0..255 between our result and theirs, over all pixels and
channels: largest / mean / mean if we truncated instead of rounding, as many do: what then is near 0 was rounding. Bold:
our closest variant."""

WHO_FOLLOWS_THE_PAPER = """\
### Who follows the paper

* **Macenko.** None of these follows the paper's text (decadic beta, SVD of uncentered OD); all but StainTools follow the
  MATLAB toolbox. `veta` is the toolbox but for the definition of a percentile (MATLAB's prctile interpolates between
  other ranks); with MATLAB's percentiles nothing differs. `paper` is the text. torchstain truncates where we round, and
  equals us otherwise. HEnorm truncates, and is .2 level darker for a reason that we did not find. StainTools is another
  method (other tissue, other concentrations); `staintools` equals it but for truncation and for its 8-bit lightness.
* **Reinhard.** The paper uses l-alpha-beta: HistomicsTK and `ruderman` follow it. CIELAB is histology's habit. StainTools
  computes it in 8 bits, which costs 1 level.
* **Modified Reinhard.** torchstain truncates where we round, and equals us otherwise. Its color space is CIELAB.
* **Histogram matching.** No paper; scikit-image is the definition, and we equal it. stainx truncates, its ranks tie in
  float32 where a level has a single pixel (up to 7 levels, in 1 of 10,000 values), and it maps white to white where
  scikit-image goes no further than the target's brightest level. It pools a batch as if it were one image; on one image
  that does not show.
* **Vahadane.** StainTools does not reproduce its own file (up to 7 levels from run to run)."""


class Golden:
    """The pair, the outputs and our counterparts."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.source, self.target = (read_image(folder / f"{name}.png") for name in ("source", "target"))
        self.files: dict[str, list[str]] = {}
        for path in sorted(folder.glob("*__*.png")):
            name = path.stem.partition("__")[2]
            self.files.setdefault(ALIASES.get(name, name), []).append(path.stem)

    @cache  # noqa: B019
    def ours(self, method: str, settings: tuple[tuple[str, str], ...], fitted: bool) -> np.ndarray:
        """Our source image in levels, float64, not rounded."""
        make: Any = normalizer_class(method)
        normalizer = make.fit(self.target, **dict(settings)) if fitted else make(**dict(settings))
        return normalizer(self.source / 255.0) * 255

    def compare(self, method: str, settings: dict[str, str], stem: str) -> tuple[int, float, float]:
        """Largest and mean absolute difference in levels, rounded, and the mean if we truncated, too."""
        levels = self.ours(method, tuple(settings.items()), not stem.endswith("_defaultref"))
        theirs = read_image(self.folder / f"{stem}.png").astype(int)
        rounded, truncated = (np.abs(how(levels) - theirs) for how in (np.rint, lambda x: np.floor(x + 1e-6)))
        return int(rounded.max()), float(rounded.mean()), float(truncated.mean())


def pictures(golden: Golden) -> list[str]:
    """One table a method: files down, variants across."""
    lines = []
    known = sx.methods()
    for method, stems in golden.files.items():
        if method not in known:
            continue
        variants = VARIANTS.get(method, [{}])
        names = [", ".join(f"`{value}`" for value in settings.values()) or "default" for settings in variants]
        lines += [f"### {known[method].title}", "", f"Method `{method}`. Source: {known[method].source}.", ""]
        lines += ["| output of | " + " | ".join(names) + " |", "|" + "---|" * (len(names) + 1)]
        for stem in stems:
            results = [golden.compare(method, settings, stem) for settings in variants]
            best = min(results, key=lambda result: result[1])
            cells = [f"{most} / {mean:.3f} / {truncated:.3f}" for most, mean, truncated in results]
            cells = [f"**{cell}**" if result is best else cell for cell, result in zip(cells, results, strict=True)]
            lines.append(f"| {stem.replace('__', ', ')} | " + " | ".join(cells) + " |")
        lines.append("")
    others = ", ".join(f"`{name}`" for name in known if name not in golden.files)
    return [*lines, f"No outside output to compare with: {others}.", ""]


def stain_matrices(golden: Golden) -> list[str]:
    """Macenko's stain vectors and 99th percentiles beside those of MATLAB code."""
    record = json.loads((golden.folder / "octave_stain_matrices.json").read_text())
    lines = [
        "### Stain matrices of Macenko",
        "",
        "Degrees from the hematoxylin / eosin of MATLAB code run in GNU Octave;",
    ]
    lines += ["in brackets the largest difference of an entry.", ""]
    lines += ["| MATLAB code, image | `veta` | `paper` | `staintools` |", "|---|---|---|---|"]
    for key, title in (("veta_HE", "Veta 2013"), ("warwick_M", "Warwick toolbox")):
        for name in ("source", "target"):
            theirs = np.array(record[f"{key}_{name}"])
            theirs = theirs if theirs.shape == (3, 2) else theirs.T
            cells = []
            for settings in VARIANTS["macenko"]:
                fitted = sx.Macenko.fit(getattr(golden, name), **settings).stain_matrix
                angles = np.degrees(np.arccos(np.clip((fitted * theirs).sum(axis=0), -1, 1)))
                cells.append(f"{angles[0]:.2f} / {angles[1]:.2f} ({np.abs(fitted - theirs).max():.4f})")
            lines.append(f"| {title}, {name} | " + " | ".join(cells) + " |")
    for name in ("source", "target"):
        ours = sx.Macenko.fit(getattr(golden, name)).max_concentrations
        gap = np.abs(ours - np.ravel(record[f"veta_maxC_{name}"])).max()
        lines += ["", f"99th percentiles of the concentrations, {name}, `veta` to Veta 2013: {gap:.4f} apart at most."]
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--table", type=Path, help="write the markdown here")
    arguments = parser.parse_args()
    golden = Golden(arguments.folder)
    lines = [INTRODUCTION, "", *pictures(golden), *stain_matrices(golden), WHO_FOLLOWS_THE_PAPER, ""]
    text = "\n".join([*lines, f"stainxform {sx.__version__}, numpy {np.__version__}."])
    print(text)
    if arguments.table:
        arguments.table.parent.mkdir(parents=True, exist_ok=True)
        arguments.table.write_text(text + "\n")


if __name__ == "__main__":
    main()
