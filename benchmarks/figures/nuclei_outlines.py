"""Draw what a network of another lab finds in tiles as they are, and in what each method makes of them:

python benchmarks/figures/nuclei_outlines.py DATA -o docs/images/nuclei.jpg --work runs/nuclei

The networks and models are those of benchmarks/quality/nuclei.py, kept in its output folder. Trained at Coventry; the
tiles shown are of TNBC (Naylor et al., IEEE TMI 38(2), 2019, CC BY 4.0): truth in black, found in yellow.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from side_by_side import sheet
from skimage.segmentation import find_boundaries

sys.path.append(str(Path(__file__).parents[1] / "quality"))
from contenders import CONTENDERS
from nuclei import RAW, Study
from nuclei_net import predict

TRAINED, FOLD, SEED = "coventry", 0, 0
TILES = (2, 9, 14)
"""Of the held-out half."""
TRUTH, FOUND = (0, 0, 0), (255, 235, 0)


def outlined(tile: np.ndarray, truth: np.ndarray, found: np.ndarray) -> np.ndarray:
    picture = tile.copy()
    picture[find_boundaries(truth, mode="inner")] = TRUTH
    picture[find_boundaries(found, mode="inner")] = FOUND
    return picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("runs/nuclei"))
    given = parser.parse_args()
    study = Study(given.data, given.work)
    net = study.net(TRAINED, FOLD, "plain", SEED)
    _, _, _, truth = study.parts(study.other(TRAINED), FOLD)
    columns = {}
    for name in (RAW, *CONTENDERS):
        tiles = study.normalized(TRAINED, FOLD, name)
        columns[name] = [outlined(tiles[i], truth[i], predict(net, tiles[i])) for i in TILES]
    given.output.parent.mkdir(parents=True, exist_ok=True)
    sheet(columns).save(given.output, quality=90, subsampling=0)


if __name__ == "__main__":
    main()
