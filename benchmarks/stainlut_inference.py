"""How long does StainLUT take on a CPU, where does the time go, and what does "fast" change?

Times of eager torch and of the compiled kernels, exact and fast, one run of each after the other in every round; the
memory they need; and the differences in 8-bit levels on tiles, with models trained here in a minute.

    python benchmarks/stainlut_inference.py -o runs/stainlut_inference.json --table docs/results/stainlut_inference.md \\
        --train shared/data/tnbc_curie/TNBC/Slide_01 --tiles shared/data/tnbc_curie/TNBC/Slide_0[2-6]/*_1.png

Without ``--train`` and ``--tiles``: generated tissue. For quiet numbers pin it: ``chrt -r 3 taskset -c 1 python ...``.
"""

from __future__ import annotations

import argparse
import copy
import ctypes
import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from pages import cpu_name, write_between_marks

import stainxform as sx
from stainxform._native import native
from stainxform.image.histogram import ColorHistogram
from stainxform.image.layout import check_image
from stainxform.io.images import read_image
from stainxform.normalizers.stainlut.network import StainLUTNet
from stainxform.normalizers.stainlut.normalizer import ContextMap, StainLUT, image_gray
from stainxform.samples import pair

MODES = ("eager", "exact", "fast")
MARKS = ("<!-- stainlut_inference: begin -->", "<!-- stainlut_inference: end -->")


def run_with(normalizer: StainLUT, mode: str, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """The normalizer in one mode; eager is torch, as without the compiled kernels."""

    def run(image: np.ndarray) -> np.ndarray:
        native.set_threads(threads)
        torch.set_num_threads(threads)
        with native.using("off") if mode == "eager" else nullcontext():
            return normalizer.with_inference("fast" if mode == "fast" else "exact")(image)

    return run


def interleaved(jobs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each job in each round; one run before counts for nothing."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for number in range(rounds + 1):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def tile_of(side: int) -> np.ndarray:
    """Generated tissue; large tiles repeat it, which the time does not notice."""
    tissue = pair(1, min(side, 512), seed=0)[0][0]
    return np.ascontiguousarray(np.tile(tissue, (-(-side // 512), -(-side // 512), 1))[:side, :side])


def times(models: dict[str, StainLUT], sides: list[int], threads: list[int], rounds: int) -> list[dict]:
    """End to end, from uint8 to uint8."""
    records = []
    for side in sides:
        tile = tile_of(side)
        batch = np.stack([tile] * 8) if side <= 256 else None
        for image, name in ((tile, f"{side}"), (batch, f"8 x {side}")):
            if image is None:
                continue
            jobs = {
                (norm, mode, count): partial(run_with(model, mode, count), image)
                for count in threads
                for norm, model in models.items()
                for mode in MODES
                if norm == "instance" or mode != "eager"
            }
            for (norm, mode, count), values in interleaved(jobs, rounds).items():
                pixels = image.size // 3
                records.append(
                    {"tile": name, "norm": norm, "mode": mode, "threads": count, "pixels": pixels, "s": values}
                )
                print(name, norm, mode, count, f"{np.median(values) * 1e3:.2f} ms", flush=True)
    return records


def instruction_sets(model: StainLUT, rounds: int) -> dict[str, list[float]]:
    """The exact and the fast mode with each instruction set, 1024 px."""
    tile = tile_of(1024)

    def job(variant: str, mode: str) -> Callable[[], object]:
        def run() -> object:
            with native.using(variant):
                return run_with(model, mode, 1)(tile)

        return run

    jobs = {variant: job(variant, "exact") for variant in native.available()[1:]}
    jobs |= {f"{variant}, fast": job(variant, "fast") for variant in native.available()[:1]}
    return interleaved(jobs, rounds)


def stages(model: StainLUT, side: int, rounds: int) -> dict[str, list[float]]:
    """The parts of one call by themselves; gray is computed twice in a call, and here."""
    native.set_threads(1)
    torch.set_num_threads(1)
    tile = tile_of(side)
    spec = check_image(tile)
    histogram = ColorHistogram.of(tile, spec)
    color_map = model.map_for(tile)
    assert isinstance(color_map, ContextMap)
    weights = color_map.gray_weights
    gray = image_gray(tile, spec, weights)
    levels, out = gray[0, 0].numpy(), np.empty_like(np.moveaxis(tile, -1, 0))
    kernel = model.net.encoder.kernel()

    class Known:
        """An Encoder whose answer is there already: what is left of a lookup."""

        def kernel(self) -> Callable[..., np.ndarray]:
            return lambda gray, fast: context

    context = kernel(levels, False)
    lookup = ContextMap(color_map.table, Known(), weights)  # type: ignore[arg-type]

    def predict() -> object:
        with torch.inference_mode():
            return model.net.table(model.net.predictor(gray.to(torch.float32) / 255))

    jobs: dict[str, Callable[[], object]] = {
        "colors and tissue": lambda: (ColorHistogram.of(tile, spec), model._check_tissue(histogram)),
        "gray, twice": lambda: (image_gray(tile, spec, weights), image_gray(tile, spec, weights)),
        "Predictor and table": predict,
        "Encoder, exact": lambda: kernel(levels, False),
        "Encoder, fast": lambda: kernel(levels, True),
        "lookup": lambda: lookup._look_up(levels, out, spec),
    }
    return interleaved(jobs, rounds)


def peak_memory(run: Callable[[np.ndarray], np.ndarray], image: np.ndarray) -> float | None:
    """Bytes a pixel that one call adds to the process at most, result included; Linux only."""

    def status(field: str) -> int:
        line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
        return int(line.split()[1]) * 1024

    run(image)
    try:
        ctypes.CDLL(None).malloc_trim(0)  # what malloc kept for later is not counted as held
        Path("/proc/self/clear_refs").write_text("5")
        before = status("VmRSS")
    except (OSError, AttributeError):
        return None
    run(image)
    return (status("VmHWM") - before) / (image.size / 3)


def stretched(model: StainLUT, tile: np.ndarray, levels: float = 64) -> StainLUT:
    """The model with LUTs whose context slices are further apart: the context moves a color by up to ``levels``."""
    net = copy.deepcopy(model.net)
    color_map = model.map_for(tile)
    assert isinstance(color_map, ContextMap)
    span = float((color_map.table.amax(1) - color_map.table.amin(1)).max()) * 255
    middle = net.luts.mean(2, keepdim=True)
    net.luts.data = middle + (net.luts - middle) * (levels / span)
    return replace(model, net=net)


def accuracy(models: dict[str, StainLUT], tiles: list[np.ndarray]) -> list[dict]:
    """Absolute differences in 8-bit levels over all pixels and channels of all tiles."""
    records = []
    for norm, model in models.items():
        counts: dict[str, np.ndarray] = {}
        context: dict[str, float] = {}
        span = 0.0
        for tile in tiles:
            results = {mode: run_with(model, mode, 1)(tile).astype(int) for mode in MODES}
            color_map = model.map_for(tile)
            assert isinstance(color_map, ContextMap)
            span = max(span, float((color_map.table.amax(1) - color_map.table.amin(1)).max()) * 255)
            gray = image_gray(tile, check_image(tile), color_map.gray_weights)
            with torch.inference_mode():
                eager = model.net.encoder(gray.to(torch.float32) / 255)[0, 0].numpy()
            kernel = model.net.encoder.kernel()
            for name, one, other in (("exact - eager", "exact", "eager"), ("fast - exact", "fast", "exact")):
                off = np.bincount(np.abs(results[one] - results[other]).ravel(), minlength=256)
                counts[name] = counts.get(name, 0) + off
                other_context = eager if other == "eager" else kernel(gray[0, 0].numpy(), False)
                found = np.abs(kernel(gray[0, 0].numpy(), one == "fast") - other_context).max()
                context[name] = max(context.get(name, 0.0), float(found))
        for name, off in counts.items():
            share = off / off.sum()
            records.append({
                "norm": norm, "of": name, "max": int(np.nonzero(off)[0].max()), "mean": float(share @ np.arange(256)),
                "p99": int(np.searchsorted(np.cumsum(share), 0.99)), "changed": float(1 - share[0]),
                "context": context[name], "span": span, "tiles": len(tiles), "psnr": model.training.get("score"),
            })  # fmt: skip
            print(records[-1], flush=True)
    return records


def ms(values: list[float]) -> str:
    low, middle, high = np.percentile(np.array(values) * 1e3, [25, 50, 75])
    return f"{middle:.1f} ({low:.1f} - {high:.1f})" if middle < 100 else f"{middle:.0f} ({low:.0f} - {high:.0f})"


def table(found: dict) -> list[str]:
    """Markdown."""
    lines = ["Milliseconds, median (quartiles), from uint8 image to uint8 image, everything included.", ""]
    lines += ["| tile, px | statistics | threads | eager torch | exact | fast | exact, s/MP | fast, s/MP | faster than eager |",
              "|---|---|--:|--:|--:|--:|--:|--:|--:|"]  # fmt: skip
    groups: dict[tuple, dict] = {}
    for record in found["times"]:
        groups.setdefault((record["tile"], record["norm"], record["threads"]), {})[record["mode"]] = record
    for (tile, norm, count), group in groups.items():
        cells = [ms(group[mode]["s"]) if mode in group else "" for mode in MODES]
        speed = [f"{np.median(group[mode]['s']) / group[mode]['pixels'] * 1e6:.3f}" for mode in ("exact", "fast")]
        gain = ""
        if "eager" in group:
            gain = ", ".join(
                f"{np.median(group['eager']['s']) / np.median(group[mode]['s']):.1f}" for mode in MODES[1:]
            )
        lines.append("| " + " | ".join([tile, norm, str(count), *cells, *speed, gain]) + " |")
    lines += ["", "## Where the time goes", "", "One thread, instance statistics, milliseconds, median.", ""]
    parts = found["stages"]
    lines += ["| stage | " + " | ".join(f"{side} px" for side in parts) + " |", "|---|" + "--:|" * len(parts)]
    for name in next(iter(parts.values())):
        lines.append(
            f"| {name} | " + " | ".join(f"{np.median(part[name]) * 1e3:.2f}" for part in parts.values()) + " |"
        )
    lines += ["", "## Instruction sets", "", "One thread, 1024 px, milliseconds: " + "; ".join(
        f"{name} {np.median(values) * 1e3:.0f}" for name, values in found["instruction_sets"].items()) + "."]  # fmt: skip
    lines += ["", "## Memory", "", "Peak of a call on 2048 px beyond what the process held, result included, bytes a pixel: "
              + "; ".join(f"{name} {value:.0f}" for name, value in found["memory"].items() if value is not None) + "."]  # fmt: skip
    lines += ["", "## Differences", "", f"{found['accuracy_of']}, absolute, in levels of 255.", ""]
    lines += [
        "| statistics | difference | max | p99 | mean | values changed | context, max | context moves a color by, max |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for r in found["accuracy"]:
        changed = f"{r['changed']:.4%}" if r["changed"] < 0.001 else f"{r['changed']:.1%}"
        cells = [r["norm"], r["of"], r["max"], r["p99"], f"{r['mean']:.2g}", changed, f"{r['context']:.1g}"]
        lines.append("| " + " | ".join(map(str, [*cells, f"{r['span']:.1f} levels"])) + " |")
    return [*lines, "", found["machine"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, required=True, help="JSON with every single time")
    parser.add_argument("--table", type=Path, help="write the markdown between the marks of this file")
    parser.add_argument("--train", type=Path, help="folder of tiles of the center to train on")
    parser.add_argument("--tiles", type=Path, nargs="+", help="images to compare the modes on")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--sides", type=int, nargs="+", default=[224, 256, 512, 1024])
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    arguments = parser.parse_args()

    ours, theirs = pair(6, 256, seed=0)
    tiles = [read_image(path) for path in arguments.tiles] if arguments.tiles else list(theirs)
    models = {}
    for norm in ("instance", "running"):
        models[norm] = StainLUT.fit(
            arguments.train or ours, steps=arguments.steps, validate_every=arguments.steps, encoder_norm=norm,
            color_randomization=False, device="cpu",
        )  # fmt: skip
    models["instance, stretched"] = stretched(models["instance"], tiles[0])
    found: dict = {"accuracy": accuracy(models, tiles)}
    untrained = {
        "instance": StainLUT(net=StainLUTNet()),
        "running": StainLUT(net=StainLUTNet(encoder_norm="running")),
    }
    found["times"] = times(untrained, arguments.sides, arguments.threads, arguments.rounds)
    found["stages"] = {side: stages(untrained["instance"], side, 2 * arguments.rounds) for side in (256, 1024)}
    found["instruction_sets"] = instruction_sets(untrained["instance"], arguments.rounds // 2)
    large = tile_of(2048)
    found["memory"] = {mode: peak_memory(run_with(untrained["instance"], mode, 1), large) for mode in MODES}
    for mode in MODES[1:]:
        found["memory"][f"{mode}, running statistics"] = peak_memory(run_with(untrained["running"], mode, 1), large)
    found["accuracy_of"] = (
        f"{len(tiles)} {'real' if arguments.tiles else 'generated'} tiles of another "
        f"{'slide or ' if arguments.tiles else ''}center, models of {arguments.steps} steps"
    )
    found["machine"] = (
        f"stainxform {sx.__version__}, torch {torch.__version__}, {cpu_name()}, "
        f"instruction sets {', '.join(native.available())}."
    )
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(found))
    print("\n".join(table(found)))
    if arguments.table:
        write_between_marks(arguments.table, MARKS, "StainLUT on a CPU", table(found))


if __name__ == "__main__":
    main()
