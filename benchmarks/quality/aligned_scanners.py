"""The same tissue on two scanners: how close does each normalizer bring one to the other?

MITOS-ATYPIA-14 frames of slides 03, 05 and 10 on an Aperio (our center) and a Hamamatsu (another center), registered.
Leave one slide out: fit on the Aperio tiles of two slides only, normalize the Hamamatsu tiles of the third, compare
with its Aperio tiles. No method sees a Hamamatsu tile before it is tested on it, but for StainGAN and StainNet, which
cannot do without: they get those of the two training slides, and are marked.

    python benchmarks/quality/aligned_scanners.py DATA -o runs/aligned          # everything, resumable
    python benchmarks/quality/aligned_scanners.py DATA -o runs/aligned --only stainlut-nocr --folds 03
    python benchmarks/quality/aligned_scanners.py DATA -o runs/aligned --table docs/results.md

Every (method, fold) is one JSON file in the output folder and is not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path

import numpy as np

import stainxform as sx
from stainxform.color import GRAY_WEIGHTS
from stainxform.evaluate.metrics import ciede2000, psnr, ssim
from stainxform.io.images import read_image, write_image

FOLDS = ("03", "05", "10")

PAPER_RATES = {"predictor": 1e-4, "head": 1e-4, "encoder": 1e-4, "luts": 1e-4}


def randomized(width: float, **more: float) -> dict:
    """Color randomization with the same half width for brightness, contrast and saturation."""
    return {"color_randomization": {"brightness": width, "contrast": width, "saturation": width, **more}}


NO_CR = {"color_randomization": False}
BT601 = {"gray": "bt601"}
SEES_EXPOSURE = {"predictor_norm": "none", "learning_rates": {"predictor": 3e-4, "head": 1e-5}}

SMALL_GAN = {"steps": 400, "width": 16, "blocks": 3, "crop": 128}
"""The paper's size takes half a minute a step on a CPU core."""

BOTH = "**sees both centers**"
# name -> (method, settings, title); the first block is the main table, the second the ablations of StainLUT.
METHODS: dict[str, tuple[str, dict, str]] = {
    "raw": ("", {}, "none (raw)"),
    "reinhard-one": ("reinhard", {}, "Reinhard, one target tile (mean over 5)"),
    "reinhard": ("reinhard", {}, "Reinhard, all target tiles"),
    "macenko-one": ("macenko", {}, "Macenko, one target tile (mean over 5)"),
    "reinhard-ruderman": ("reinhard", {"space": "ruderman"}, "Reinhard in l-alpha-beta"),
    "reinhard-modified": ("reinhard_modified", {}, "modified Reinhard"),
    "histogram-matching": ("histogram_matching", {}, "histogram matching"),
    "macenko": ("macenko", {}, "Macenko, all target tiles"),
    "macenko-averaged": ("macenko", {"combine": "averaged"}, "Macenko, targets averaged"),
    "macenko-paper": ("macenko", {"definition": "paper"}, "Macenko, as the paper's text"),
    "macenko-staintools": ("macenko", {"definition": "staintools"}, "Macenko, as StainTools"),
    "vahadane-one": ("vahadane", {}, "Vahadane, one target tile (mean over 5)"),
    "vahadane": ("vahadane", {}, "Vahadane, all target tiles"),
    "ramakrishnan": ("ramakrishnan", {}, "Ramakrishnan (fast Vahadane)"),
    "khan": ("khan", {}, "Khan"),
    "colornormnet": ("colornormnet", {}, "ColorNormNet"),
    "staingan": ("staingan", SMALL_GAN, f"StainGAN, 400 steps, 16 filters, 3 blocks ({BOTH})"),
    "stainnet": ("stainnet", {}, f"StainNet, distilled from Macenko ({BOTH})"),
    "stainnet-staingan": ("stainnet", {}, f"StainNet, distilled from that StainGAN ({BOTH})"),
    "stainlut-gray-mean": ("stainlut", NO_CR, "StainLUT, no color randomization"),
    "stainlut-gray-mean-cr10": ("stainlut", randomized(0.1), "StainLUT, color randomization 10 %"),
}
# One thing changed at a time, from BT.601 gray without color randomization.
ABLATIONS: dict[str, tuple[str, dict, str]] = {
    "stainlut-nocr": ("stainlut", NO_CR | BT601, "StainLUT, BT.601 gray, no color randomization"),
    "stainlut-cr10": ("stainlut", randomized(0.1) | BT601, "CR 10 %"),
    "stainlut-cr25": ("stainlut", randomized(0.25) | BT601, "CR 25 %"),
    "stainlut-mono10": ("stainlut", NO_CR | BT601 | {"mono_weight": 10.0}, "L_mono weighted 10 (paper) instead of 0.1"),
    "stainlut-paper-rates": (
        "stainlut",
        NO_CR | BT601 | {"learning_rates": PAPER_RATES, "decay": "constant"},
        "rates of 1e-4 for all, constant (paper)",
    ),
    "stainlut-running": ("stainlut", NO_CR | BT601 | {"encoder_norm": "running"}, "Encoder with running statistics"),
    "stainlut-nodropout": ("stainlut", NO_CR | BT601 | {"dropout": 0.0}, "no dropout"),
    "stainlut-short": ("stainlut", NO_CR | BT601 | {"steps": 300}, "300 steps"),
    "stainlut-whole": (
        "stainlut",
        NO_CR | BT601 | {"crop": None},
        "loss on whole 228 px tiles instead of 128 px crops",
    ),
    "stainlut-gain-gamma": (
        "stainlut",
        randomized(0.1, gain=0.1, gamma=0.15) | BT601,
        "CR 10 % + channel gain 10 % + gamma 15 %",
    ),
    "stainlut-pn-cr10": (
        "stainlut",
        randomized(0.1) | SEES_EXPOSURE,
        "CR 10 %, mean gray, Predictor without instance norm",
    ),
    "stainlut-pn-cr25": (
        "stainlut",
        randomized(0.25) | SEES_EXPOSURE,
        "CR 25 %, mean gray, Predictor without instance norm",
    ),
    "stainlut-blue": ("stainlut", NO_CR | {"gray": (0.0, 0.0, 1.0)}, "gray = blue channel"),
}


CONFIGURATIONS = METHODS | ABLATIONS
LEARNED = ("stainlut", "colornormnet", "stainnet", "staingan")

BEGIN, END = "<!-- aligned_scanners: begin -->", "<!-- aligned_scanners: end -->"


def load(folder: Path) -> dict[str, np.ndarray]:
    """Tiles by name without the scanner letter, e.g. ``030_0``."""
    return {path.stem[1:]: read_image(path) for path in sorted(folder.glob("*.png"))}


def run(name: str, fold: str, ours: dict[str, np.ndarray], other: dict[str, np.ndarray], steps: int, out: Path) -> dict:
    """Fit on two slides, score on the third."""
    method, settings, _ = CONFIGURATIONS[name]
    train, others = ([tile for key, tile in d.items() if not key.startswith(fold)] for d in (ours, other))
    test = [key for key in ours if key.startswith(fold)]
    if method == "stainlut":
        settings = {"steps": steps, **settings}
    if method in LEARNED:
        settings = {"seed": 0, "device": "cpu", **settings}
    model = out / "models" / f"{name}_{fold}.safetensors"
    hidden: dict = {}  # what is not written into the record
    if method == "staingan":
        hidden = {"source": others}
    elif method == "stainnet":
        teacher = "staingan" if name.endswith("staingan") else "macenko"
        train, hidden = others, {"teacher": out / "models" / f"{teacher}_{fold}.safetensors"}
    # "one target": five tiles spread over the training slides, each a target of its own.
    targets = [[tile] for tile in train[:: len(train) // 5]][:5] if name.endswith("-one") else [train]
    scores, fit_seconds, apply_seconds = [], [], []
    for target in targets:
        start = time.perf_counter()
        normalizer = sx.fit_center(target, method, **settings, **hidden) if method else (lambda image: image)
        fit_seconds.append(time.perf_counter() - start)
        if method:
            normalizer.save(model)
        for key in test:
            start = time.perf_counter()
            result = normalizer(other[key])
            apply_seconds.append((time.perf_counter() - start) / (result.shape[0] * result.shape[1] / 1e6))
            scores.append((psnr(result, ours[key]), ssim(result, ours[key]), ciede2000(result, ours[key])))
            if target is targets[0]:
                write_image(out / "images" / f"{name}_{key}.png", result)
    record = {
        "name": name, "fold": fold, "settings": settings, "tiles": len(test), "targets": len(targets),
        "psnr": float(np.mean([s[0] for s in scores])), "ssim": float(np.mean([s[1] for s in scores])),
        "ciede2000": float(np.mean([s[2] for s in scores])),
        "fit_seconds": float(np.mean(fit_seconds)), "seconds_per_mp": float(np.median(apply_seconds)),
    }  # fmt: skip
    if method == "stainlut":
        within = [psnr(normalizer(ours[key]), ours[key]) for key in test]
        lit = match_luminance([other[key] for key in test], [ours[key] for key in test])
        oracle = [psnr(normalizer(image), ours[key]) for image, key in zip(lit, test)]
        record |= {
            "psnr_within_center": float(np.mean(within)),
            "psnr_luminance_oracle": float(np.mean(oracle)),
            "validation": normalizer.training,
        }
    return record


def match_luminance(images: list[np.ndarray], truth: list[np.ndarray]) -> list[np.ndarray]:
    """Give a slide's tiles the gray mean and deviation of the truth: an oracle for the luminance alone."""
    weights = np.array(GRAY_WEIGHTS)
    (mean, std), (true_mean, true_std) = (
        (np.mean(g), np.std(g)) for g in ([i @ weights for i in s] for s in (images, truth))
    )
    return [
        np.clip(np.rint((image - mean) * (true_std / std) + true_mean), 0, 255).astype(np.uint8) for image in images
    ]


def table(records: dict[tuple[str, str], dict], names: dict[str, tuple[str, dict, str]], within: bool) -> list[str]:
    """Markdown rows: PSNR / SSIM / CIEDE2000 per fold and mean."""
    head = ["method", *(f"slide {fold}" for fold in FOLDS), "mean"]
    head += ["luminance oracle", "within center"] if within else ["fit, s", "apply, s/MP"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, (_, _, title) in names.items():
        rows = [records[name, fold] for fold in FOLDS if (name, fold) in records]
        if len(rows) < len(FOLDS):
            continue
        cells = [f"{r['psnr']:.2f} / {r['ssim']:.3f} / {r['ciede2000']:.1f}" for r in rows]
        keys = ("psnr", "ssim", "ciede2000", "fit_seconds", "seconds_per_mp")
        mean = {key: np.mean([row[key] for row in rows]) for key in keys}
        cells.append(f"**{mean['psnr']:.2f}** / {mean['ssim']:.3f} / {mean['ciede2000']:.1f}")
        if within:
            cells += [f"{np.mean([r[k] for r in rows]):.2f}" for k in ("psnr_luminance_oracle", "psnr_within_center")]
        else:
            cells += [f"{mean['fit_seconds']:.1f}", f"{mean['seconds_per_mp']:.2f}"]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with aperio/ and hamamatsu/")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=list(CONFIGURATIONS))
    parser.add_argument("--folds", nargs="*", default=list(FOLDS))
    parser.add_argument("--steps", type=int, default=800, help="training steps of StainLUT")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--table", type=Path, help="put the markdown table between the marks in this file")
    arguments = parser.parse_args()
    for folder in ("images", "models"):
        (arguments.out / folder).mkdir(parents=True, exist_ok=True)
    import torch

    torch.set_num_threads(arguments.threads)
    ours, other = load(arguments.data / "aperio"), load(arguments.data / "hamamatsu")
    for name in arguments.only:
        for fold in arguments.folds:
            path = arguments.out / f"{name}_{fold}.json"
            if not path.exists():
                record = run(name, fold, ours, other, arguments.steps, arguments.out)
                temporary = path.with_suffix(".part")
                temporary.write_text(json.dumps(record, indent=1))
                os.replace(temporary, path)
                print(f"{name} {fold}: {record['psnr']:.2f} dB, fit {record['fit_seconds']:.0f} s", flush=True)
    found = [json.loads(path.read_text()) for path in sorted(arguments.out.glob("*.json"))]
    records = {(record["name"], record["fold"]): record for record in found}
    lines = ["PSNR (dB) / SSIM / CIEDE2000 to the same tissue on our scanner; higher, higher and lower are better.", ""]
    lines += table(records, METHODS, False)
    lines += ["", "### Ablations of StainLUT", ""]
    lines += table(records, {name: METHODS[name] for name in METHODS if "stainlut" in name} | ABLATIONS, True)
    versions = f"stainxform {sx.__version__}, torch {torch.__version__}, {platform.machine()}"
    lines += ["", f"{versions}, {arguments.threads} thread(s), {arguments.steps} steps, seed 0."]
    print("\n".join(lines))
    if arguments.table:
        before, _, rest = arguments.table.read_text().partition(BEGIN)
        arguments.table.write_text("\n".join([before + BEGIN, "", *lines, "", END + rest.partition(END)[2]]))


if __name__ == "__main__":
    main()
