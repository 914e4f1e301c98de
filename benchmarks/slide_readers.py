"""Megapixels a second that each reader gives, from tiles on the slide's own grid and across it.

    python benchmarks/slide_readers.py SLIDE.tif --table docs/results/slide_readers.md

Readers that are not installed are left out; cuCIM reads on the CPU. tiffslide, which is none of ours, stands for what other
Python programs read with. Runs of the readers take turns; the file is in the page cache.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np
from pages import cpu_name, write_between_marks

import stainxform as sx
from stainxform.errors import MissingDependencyError
from stainxform.slides import READERS

MARKS = ("<!-- readers: begin -->", "<!-- readers: end -->")
TILES = 400

Read = Callable[[list[tuple[int, int]], int, int], None]
"""Reads squares: their corners (x, y), their side, the number of threads."""


def ours(path: Path, reader: str) -> Read:
    """Batches of ``tiles`` where the squares lie on the grid, ``read`` in threads where they do not."""

    def read(corners: list[tuple[int, int]], side: int, threads: int) -> None:
        with sx.open_slide(path, reader) as slide:
            grid = slide.grid(0, side)
            if all(x % side == y % side == 0 for x, y in corners):
                where = np.zeros((grid.rows, grid.columns), bool)
                where[tuple(np.array(corners).T[::-1] // side)] = True
                for batch in slide.tiles(0, side, where=where, threads=threads):
                    assert batch.pixels.shape[1:] == (side, side, 3)
            else:
                with ThreadPoolExecutor(threads) as pool:
                    list(pool.map(lambda corner: slide.read(0, *corner, side, side).shape, corners))

    return read


def by_tiffslide(path: Path) -> Read:
    """Regions one by one in threads."""
    import tiffslide

    def read(corners: list[tuple[int, int]], side: int, threads: int) -> None:
        with tiffslide.TiffSlide(path) as slide, ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda corner: slide.read_region(corner, 0, (side, side), as_array=True).shape, corners))

    return read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slide", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--table", type=Path)
    options = parser.parse_args()
    readers: dict[str, Read] = {}
    for name in READERS:
        try:
            with sx.open_slide(options.slide, name) as slide:
                height, width = slide.levels[0].shape
                readers[name] = ours(options.slide, name)
        except MissingDependencyError:
            print(f"{name} is not installed")
    try:
        readers["tiffslide"] = by_tiffslide(options.slide)
    except ImportError:
        print("tiffslide is not installed")
    jobs = {"512 px, on the grid": (512, 0), "256 px, on the grid": (256, 0), "256 px, across it": (256, 100)}
    speeds: dict[tuple[str, str, int], list[float]] = {}
    for _ in range(options.rounds):
        for job, (side, shift) in jobs.items():
            rng = np.random.default_rng(len(speeds))
            chosen = rng.permutation((width // side - 1) * (height // side - 1))[:TILES]
            corners = [
                (int(n % (width // side - 1)) * side + shift, int(n // (width // side - 1)) * side + shift)
                for n in chosen
            ]
            corners.sort(key=lambda corner: corner[::-1])
            for threads in (1, 2):
                for name, read in readers.items():
                    start = time.perf_counter()
                    read(corners, side, threads)
                    speed = len(corners) * side * side / 1e6 / (time.perf_counter() - start)
                    speeds.setdefault((name, job, threads), []).append(speed)
    columns = [(job, threads) for job in jobs for threads in (1, 2)]
    lines = [
        f"{cpu_name()}; MP/s, median of {options.rounds} rounds of {TILES} tiles.",
        "",
        "| reader | " + " | ".join(f"{job}, {threads} thread{'s' * (threads > 1)}" for job, threads in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
        *(
            f"| {name} | " + " | ".join(f"{median(speeds[name, job, threads]):.0f}" for job, threads in columns) + " |"
            for name in readers
        ),
    ]
    print("\n".join(lines))
    if options.table:
        write_between_marks(options.table, MARKS, "Readers of slides", lines)


if __name__ == "__main__":
    main()
