"""How far is a baked 3D LUT from the map it was baked from?

Macenko and Reinhard maps, from each of two centers to the other, at 17, 33, 65 and 256 nodes: the error over random
8-bit colors and over the colors of the very tiles that the map is for. A second table is over the aligned scanners, if
their tiles are given.

    python benchmarks/quality/lut_error.py --table docs/results/lut_error.md
    python benchmarks/quality/lut_error.py --data shared/data/mitos_atypia14_aligned/derived_registered
"""

from __future__ import annotations

import argparse
import platform
from pathlib import Path

import numpy as np

import stainxform as sx
from stainxform.io.sources import Tiles
from stainxform.maps import ColorMap
from stainxform.maps.lut3d import BakeError, Interpolation
from stainxform.samples import pair

NODES = (17, 33, 65, 256)
INTERPOLATIONS: tuple[Interpolation, ...] = ("trilinear", "tetrahedral")
MAPS = {
    "Macenko": ("macenko", {}),
    "Reinhard, CIELAB": ("reinhard", {}),
    "Reinhard, l-alpha-beta": ("reinhard", {"space": "ruderman"}),
}


def table(centers: dict[str, object]) -> list[str]:
    """Markdown rows; the maps go from the second center to the first and back, the worse of the two counts."""
    (name, ours), (other_name, other) = centers.items()
    lines = [f"### {name} and {other_name}", ""]
    head = ["map", "nodes", "interpolation", "tissue: max", "mean", "99 %", "random: max", "mean", "99 %"]
    lines += ["| " + " | ".join(head) + " |", "|" + "---|" * 3 + "---:|" * 6]
    for title, (method, settings) in MAPS.items():
        maps: list[tuple[ColorMap, object]] = [
            (sx.fit_center(target, method, **settings).map_for_tiles(source), source)
            for target, source in ((ours, other), (other, ours))
        ]
        for nodes in NODES:
            for interpolation in INTERPOLATIONS:
                errors: list[list[BakeError]] = [[], []]
                for color_map, source in maps:
                    lut = sx.bake(color_map, nodes, interpolation)
                    for part, images in zip(errors, (source, None)):
                        part.append(sx.bake_error(color_map, lut, images))
                cells = [f"{max(getattr(e, k) for e in part):.2f}" for part in errors for k in ("max", "mean", "p99")]
                lines.append("| " + " | ".join([title, str(nodes), interpolation, *cells]) + " |")
                print(lines[-1], flush=True)
                if nodes == 256:  # every 8-bit color is a node
                    break
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with aperio/ and hamamatsu/")
    parser.add_argument("--table", type=Path, help="write the markdown table here")
    arguments = parser.parse_args()
    ours, other = pair(8, 256, seed=0)
    lines = ["Error of baked 3D LUTs in levels of 255, largest of the three channels, not rounded.", ""]
    lines += table({"generated center a": ours, "generated center b": other})
    if arguments.data:
        lines += table({folder.title(): Tiles(arguments.data / folder) for folder in ("aperio", "hamamatsu")})
    lines += [f"stainxform {sx.__version__}, numpy {np.__version__}, {platform.machine()}. Regenerate with "
              "`python benchmarks/quality/lut_error.py`."]  # fmt: skip
    if arguments.table:
        arguments.table.parent.mkdir(parents=True, exist_ok=True)
        arguments.table.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
