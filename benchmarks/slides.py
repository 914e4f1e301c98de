"""Slide to slide: how long a gigapixel takes with and without a map, in how much memory, and what a kill costs.

The slides are made here: a mosaic of one piece of tissue, turned and mirrored, all of it (s100) or 40 % of it (s40) tissue,
stored as scanners do (JPEG, quality 85, 4:2:0, tiles of 256 pixels). Each run is a process of its own, which reports its
wall time, CPU time and peak memory; runs of different jobs take turns.

    python benchmarks/slides.py -o runs/slides --table docs/results/slides.md
    python benchmarks/slides.py -o runs/slides --side 4096 --rounds 1 --kills 2
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from pages import cpu_name, write_between_marks

import stainxform as sx
from stainxform._optional import use_torch_threads
from stainxform.samples import pair
from stainxform.slides import Level, PyramidOptions, Slide, write_slide

MARKS = ("<!-- slides: begin -->", "<!-- slides: end -->")
PIECE, CELL = 2048, 512
"""Sides of the piece of tissue and of the cells that are tissue or glass, in pixels."""

SLIDES = {"s100": 1.0, "s40": 0.4}
"""Share of cells with tissue."""

STORED = PyramidOptions(layout="generic", tile=256, quality=85, subsampling="4:2:0")
Outcome = dict[str, Any]


class Mosaic(Slide):
    """One piece of tissue, turned and mirrored from cell to cell, and glass."""

    reader = "mosaic"

    def __init__(self, piece: np.ndarray, side: int, share: float):
        super().__init__(Path("mosaic"), [Level((side, side), 1.0, (256, 256))], mpp=(0.25, 0.25), magnification=40.0)
        self._turned = [np.rot90(flipped, turns) for flipped in (piece, piece[::-1]) for turns in range(4)]
        random_state = np.random.default_rng(0)
        self._glass = np.clip(random_state.normal(243, 1, piece.shape), 0, 255).astype(np.uint8)
        cells = -(-side // CELL)
        field = np.pad(random_state.random((cells, cells)), 2, mode="wrap")
        smooth = sum(field[y : y + cells, x : x + cells] for y in range(5) for x in range(5))
        self._tissue = smooth <= np.quantile(smooth, share)

    def read_pixels(self, level: int, box: tuple[int, int, int, int]) -> np.ndarray:
        x, y, width, height = box
        pixels = np.empty((height, width, 3), np.uint8)
        for top in range(y // CELL * CELL, y + height, CELL):
            for left in range(x // CELL * CELL, x + width, CELL):
                row, column = top // PIECE, left // PIECE
                piece = self._turned[(5 * row + 3 * column + row * column) % 8]
                source = piece if self._tissue[top // CELL, left // CELL] else self._glass
                upper, lower = max(top, y), min(top + CELL, y + height)
                first, last = max(left, x), min(left + CELL, x + width)
                part = source[upper % PIECE : (lower - 1) % PIECE + 1, first % PIECE : (last - 1) % PIECE + 1]
                pixels[upper - y : lower - y, first - x : last - x] = part
        return pixels

    def close_file(self) -> None:
        pass


def piece_of(base: Path | None) -> np.ndarray:
    """Synthetic tissue, or the middle of a slide, mirrored where it is too small."""
    if base is None:
        return pair(1, (PIECE, PIECE), seed=3)[0][0]
    with sx.open_slide(base) as slide:
        height, width = slide.levels[0].shape
        size = min(PIECE, width), min(PIECE, height)
        pixels = slide.read(0, (width - size[0]) // 2, (height - size[1]) // 2, *size)
    return np.pad(pixels, ((0, PIECE - size[1]), (0, PIECE - size[0]), (0, 0)), "symmetric")


# ---- jobs, each in a process of its own -----------------------------------------------------------------------------


def written(source: Path, target: Path, folder: Path, threads: int, method: str | None, **more: Any) -> None:
    """By us. The map is that of the piece of tissue: its estimation is no part of a pass."""
    image_map = None
    if method is not None:
        image_map = sx.load(folder / f"{method}.safetensors").map_for(np.load(folder / "piece.npy"))
    with sx.open_slide(source, "tifffile") as slide:
        start(write_slide)(slide, target, image_map, threads=threads, fingerprint=f"{source.name}, {method}", **more)


def normalized(source: Path, target: Path, folder: Path, threads: int, method: str) -> None:
    """By us, all of it: the map of the slide is estimated from a sample of its tissue, then the slide is written."""
    normalizer = sx.load(folder / f"{method}.safetensors")
    use_torch_threads(threads)

    def work() -> None:
        with sx.open_slide(source, "tifffile") as slide:
            image_map = sx.slide_map(normalizer, slide)
            use_torch_threads(1)
            write_slide(slide, target, image_map, threads=threads, fingerprint=f"{source.name}, {method}")

    start(work)()


def by_vips(source: Path, target: Path, folder: Path, threads: int, table: bool) -> None:
    """By libvips, which has no stain maps: a table for each channel stands in for one."""
    import pyvips

    def save() -> None:
        image = pyvips.Image.new_from_file(str(source), access="sequential")
        if table:
            levels = np.arange(256)[:, None] ** np.array([0.9, 1.0, 1.1]) * 255.0 ** np.array([0.1, 0.0, -0.1])
            tables = np.clip(np.rint(levels), 0, 255).astype(np.uint8)[None]
            image = image.maplut(pyvips.Image.new_from_memory(tables.tobytes(), 256, 1, 3, "uchar"))
        image.tiffsave(
            str(target), tile=True, tile_width=256, tile_height=256, pyramid=True, bigtiff=True,
            compression="jpeg", Q=90, region_shrink="mean",
        )  # fmt: skip

    start(save)()


METHODS: dict[str, dict[str, Any]] = {
    "reinhard": {},
    "macenko": {},
    "ramakrishnan": {},
    "colornormnet": {"steps": 60, "batch": 4, "device": "cpu", "progress": False},
    "stainlut": {"steps": 60, "inference": "fast", "device": "cpu", "progress": False},
}
"""With settings of their fits: how long a map takes does not depend on how long its network was trained."""

WHOLE = ("macenko", "ramakrishnan", "colornormnet", "stainlut")

JOBS: dict[str, Callable[[Path, Path, Path, int], None]] = {
    "no map": lambda *task: written(*task, None),
    "reinhard": lambda *task: written(*task, "reinhard"),
    "macenko": lambda *task: written(*task, "macenko"),
    "macenko, background kept": lambda *task: written(*task, "macenko", background="keep"),
    "macenko, resumed": lambda *task: written(*task, "macenko", resume=True),
    **{f"{method}, estimated too": partial(normalized, method=method) for method in WHOLE},
    "pyvips, no map": lambda *task: by_vips(*task, table=False),
    "pyvips, 3 tables": lambda *task: by_vips(*task, table=True),
}
HIDDEN = "macenko, resumed"


def start(work: Callable[..., Any]) -> Callable[..., Any]:
    """Work whose time is measured and printed with the process's peak memory."""

    def timed(*arguments: Any, **more: Any) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        work(*arguments, **more)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(json.dumps({"wall_s": wall, "cpu_s": cpu, "peak_mb": peak_mb()}))

    return timed


def peak_mb() -> float:
    """The largest memory of this process so far. Not ``ru_maxrss``, which remembers the process that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def command(job: str, source: Path, target: Path, folder: Path, threads: int) -> list[str]:
    """What starts a job."""
    arguments = [str(source), str(target), str(folder), str(threads)]
    return [sys.executable, __file__, "--job", job, *arguments]


def run(job: str, source: Path, target: Path, folder: Path, threads: int) -> Outcome:
    """A job in a process of its own."""
    done = subprocess.run(command(job, source, target, folder, threads), stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1]) | {"mb": target.stat().st_size / 1e6}


def killed(source: Path, folder: Path, threads: int, times: int) -> Outcome:
    """Kill a job at random moments and resume it: how much longer it took in all, and whether the bytes are the same."""
    clean, target, chance = folder / "clean.tif", folder / "killed.tif", random.Random(1)
    began = time.perf_counter()
    run("macenko", source, clean, folder, threads)
    whole, walls = time.perf_counter() - began, []
    digest = hashlib.sha256(clean.read_bytes()).digest()
    for _ in range(times):
        target.unlink(missing_ok=True)
        began = time.perf_counter()
        process = subprocess.Popen(command("macenko", source, target, folder, threads), stdout=subprocess.DEVNULL)
        time.sleep(chance.random() * whole)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if not target.exists():
            run("macenko, resumed", source, target, folder, threads)
        walls.append(time.perf_counter() - began)
        if hashlib.sha256(target.read_bytes()).digest() != digest:
            raise SystemExit("a resumed file differs from the clean one")
        print(f"  killed and resumed: {walls[-1]:.1f} s instead of {whole:.1f} s", file=sys.stderr)
    for path in (clean, target):
        path.unlink()
    return {"times": times, "clean_s": whole, "median_s": median(walls)}


# ---- all of them ----------------------------------------------------------------------------------------------------


def prepare(folder: Path, side: int, base: Path | None) -> dict[str, Path]:
    """Slides and models, unless they are there."""
    folder.mkdir(parents=True, exist_ok=True)
    piece = piece_of(base)
    np.save(folder / "piece.npy", piece)
    target = pair(2, (512, 512), seed=9)[1][0]
    for method, settings in METHODS.items():
        if not (folder / f"{method}.safetensors").exists():
            sx.fit_center([target], method, **settings).save(folder / f"{method}.safetensors")
    slides = {name: folder / f"{name}_{side}{'_' + base.stem if base else ''}.tif" for name in SLIDES}
    for name, path in slides.items():
        if not path.exists():
            with Mosaic(piece, side, SLIDES[name]) as slide:
                write_slide(slide, path, None, STORED, icc=None)
    return slides


def report(outcomes: dict[tuple[str, str], list[Outcome]], side: int) -> list[str]:
    """A table of medians."""
    gigapixels, lines = side * side / 1e9, [
        "| slide | job | wall, s/GP | of no map | CPU, s/GP | peak memory, MB | file, MB |",
        "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for (slide, job), found in outcomes.items():
        middle = {key: median(outcome[key] for outcome in found) for key in found[0]}
        ratios = [one["wall_s"] / other["wall_s"] for one, other in zip(found, outcomes[slide, "no map"])]
        lines.append(
            f"| {slide} | {job} | {middle['wall_s'] / gigapixels:.1f} | {median(ratios):.2f} | "
            f"{middle['cpu_s'] / gigapixels:.1f} | {middle['peak_mb']:.0f} | {middle['mb']:.0f} |"
        )
    return lines


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--job", nargs=5, help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/slides"), help="folder for slides and records")
    parser.add_argument("--side", type=int, default=32768, help="of the slides, in pixels")
    parser.add_argument("--base", type=Path, help="slide that the tissue is taken from; default: synthetic")
    parser.add_argument("--slides", nargs="+", choices=SLIDES, default=list(SLIDES))
    parser.add_argument("--jobs", nargs="+", help="some of them; no map is always one", choices=[*JOBS], metavar="JOB")
    parser.add_argument("--rounds", type=int, default=3, help="0: only the kills")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--kills", type=int, default=20, help="times that a job is killed and resumed")
    parser.add_argument("--table", type=Path, help="page to write the table into")
    options = parser.parse_args(arguments)
    if options.job:
        job, source, target, folder, threads = options.job
        JOBS[job](Path(source), Path(target), Path(folder), int(threads))
        return
    slides = prepare(options.output, options.side, options.base)
    chosen = {"no map", *options.jobs} if options.jobs else set(JOBS)
    jobs = [job for job in JOBS if job in chosen - {HIDDEN} and (not job.startswith("pyvips") or _has_vips())]
    outcomes: dict[tuple[str, str], list[Outcome]] = {(slide, job): [] for slide in options.slides for job in jobs}
    target = options.output / "written.tif"
    for _ in range(options.rounds):
        for slide, job in outcomes:
            outcome = run(job, slides[slide], target, options.output, options.threads)
            outcomes[slide, job].append(outcome)
            print(slide, job, {key: round(value, 2) for key, value in outcome.items()}, file=sys.stderr)
            target.unlink()
    lines = [
        f"{cpu_name()}, threads: {options.threads}, Python {platform.python_version()}; slides of {options.side} x "
        f"{options.side} pixels, median of {options.rounds} rounds in which the jobs take turns.",
        "",
        *(report(outcomes, options.side) if options.rounds else ()),
    ]
    if options.kills:
        kills = killed(slides["s100"], options.output, options.threads, options.kills)
        lines += [
            "",
            f"Killed at {options.kills} random moments and resumed: the same bytes each time, and a median of "
            f"{kills['median_s']:.1f} s in all instead of {kills['clean_s']:.1f} s (s100, macenko, start of the processes "
            "included).",
        ]
    record = {f"{slide}, {job}": found for (slide, job), found in outcomes.items()}
    (options.output / "slides.json").write_text(json.dumps(record, indent=1))
    print("\n".join(lines))
    if options.table:
        write_between_marks(options.table, MARKS, "Slide to slide", lines)


def _has_vips() -> bool:
    try:
        import pyvips  # noqa: F401
    except (ImportError, OSError):
        return False
    return True


if __name__ == "__main__":
    main()
