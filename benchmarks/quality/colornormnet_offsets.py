"""Does ColorNormNet tell offsets that are known?

Leave one slide out on the aligned scanners: trained on the Aperio tiles of two slides, shown those of the third as they
are (offsets near 0 are right), shifted in CIELAB by offsets uniform in -15..15 and rounded to 8 bits (those offsets are
right), and its Hamamatsu tiles.

    python benchmarks/quality/colornormnet_offsets.py DATA --table docs/results/colornormnet_offsets.md
"""

from __future__ import annotations

import argparse
import platform
import time
from pathlib import Path

import numpy as np
from aligned_scanners import FOLDS, load

import stainxform as sx
from stainxform.color import CIELab
from stainxform.evaluate.metrics import ciede2000, psnr
from stainxform.maps import ChannelAffineMap

HEAD = ("slide", "validation error", "held-out Aperio: a, b", "injected: correlation a, b", "mean abs. error a, b",
        "PSNR raw, after", "CIEDE2000 raw, after", "fit, s")  # fmt: skip


def row(fold: str, ours: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> str:
    """Train without one slide, test on it."""
    test = [key for key in ours if key.startswith(fold)]
    start = time.perf_counter()
    train = [tile for key, tile in ours.items() if key not in test]
    normalizer = sx.fit_center(train, "colornormnet", device="cpu")
    seconds = time.perf_counter() - start
    zero = np.mean([normalizer.offset(ours[key]) for key in test], axis=0)
    true = np.random.default_rng(0).uniform(-15, 15, (2 * len(test), 2))
    shifts = [ChannelAffineMap(CIELab(), np.ones(3), np.array([0, *offset])) for offset in true]
    found = np.array([normalizer.offset(shift(ours[test[i // 2]])) for i, shift in enumerate(shifts)])
    correlation = [np.corrcoef(true[:, i], found[:, i])[0, 1] for i in range(2)]
    error = np.abs(true - found).mean(axis=0)
    cells = [fold, f"{normalizer.training['offset_error']:.2f}"]
    cells += ["{:.2f}, {:.2f}".format(*zero), "{:.3f}, {:.3f}".format(*correlation), "{:.2f}, {:.2f}".format(*error)]
    for metric in (psnr, ciede2000):
        scores = [(metric(other[key], ours[key]), metric(normalizer(other[key]), ours[key])) for key in test]
        cells.append("{:.2f}, {:.2f}".format(*np.mean(scores, axis=0)))
    return "| " + " | ".join([*cells, f"{seconds:.0f}"]) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with aperio/ and hamamatsu/")
    parser.add_argument("--folds", nargs="*", default=list(FOLDS))
    parser.add_argument("--table", type=Path, help="write the markdown table here")
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    ours, other = load(arguments.data / "aperio"), load(arguments.data / "hamamatsu")
    lines = ["Offsets in Lab units; PSNR and CIEDE2000 of the Hamamatsu tiles to the same tissue on Aperio.", ""]
    lines += ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    for fold in arguments.folds:
        lines.append(row(fold, ours, other))
        print(lines[-1], flush=True)
    lines += ["", f"stainxform {sx.__version__}, torch {torch.__version__}, {platform.machine()}, one thread, seed 0."]
    if arguments.table:
        arguments.table.parent.mkdir(parents=True, exist_ok=True)
        arguments.table.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
