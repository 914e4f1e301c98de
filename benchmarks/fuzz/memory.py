"""Does memory stay flat? Tiles through every host in a loop, threads that come and go, workers forked and spawned.

    python benchmarks/fuzz/memory.py --tiles 10000 --table docs/results/reliability.md

Resident memory is taken after a tenth of the tiles, when caches are full, and at the end. More than 16 MB between the two is
growth. Each row is measured in a process of its own. Exit code 1 if one grows.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
sys.path[:0] = [str(_HERE), str(_HERE.parent), str(_HERE.parents[1])]

import numpy as np  # noqa: E402

GROWTH = 16 << 20
"""Bytes."""

SIDE = 128
SIZES = (128, 96, 120, 64)
"""Sides of the tiles, which change, so that what is kept for a size shows."""

METHODS = (
    "transport",
    "macenko",
    "vahadane",
    "stainlut",
    "staingan",
    "stainnet",
    "colornormnet",
    "calibration of transport",
)


def resident() -> int:
    """Bytes of memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def grown(steps: Iterator[None], count: int) -> tuple[int, int]:
    """Resident bytes after a tenth of ``count`` steps, and after all."""
    for _ in range(max(count // 10, 1)):
        next(steps)
    gc.collect()
    early = resident()
    for _ in range(count - max(count // 10, 1)):
        next(steps)
    gc.collect()
    return early, resident()


# ---- what is repeated: each yields after one tile


def through_host(name: str) -> Iterator[None]:
    """Every method in turn, through one host, tiles of changing sizes."""
    from hosts import HOSTS
    from subjects import normalizers

    host = next(host for host in HOSTS if host.name == name)
    functions = [host.make(normalizers()[method], (0.0, 1.0), "keep") for method in METHODS]
    images = [host.wrap(image) for image in _images(host.first)]
    while True:
        for function in functions:
            for image in images:
                function(image)
                yield


def augmented() -> Iterator[None]:
    """Every augmentation in turn."""
    from subjects import augmentations

    rng = np.random.default_rng(0)
    while True:
        for augmentation in augmentations().values():
            for image in _images(False):
                augmentation(image, augmentation.sample(rng))
                yield


def in_threads() -> Iterator[None]:
    """A thread for every tile."""
    from subjects import normalizers

    images = _images(False)
    while True:
        for method in METHODS:
            for image in images:
                thread = threading.Thread(target=normalizers()[method], args=(image,))
                thread.start()
                thread.join()
                yield


def _work(arguments: tuple[Any, np.ndarray, int]) -> int:
    normalizer, image, count = arguments
    for _ in range(count):
        normalizer(image)
    return resident()


def in_processes(start: str, each: int = 50) -> Iterator[None]:
    """Pools of workers that end after some tiles; memory is that of this process, which goes on."""
    from subjects import normalizers

    context = multiprocessing.get_context(start)
    models, images = [normalizers()[method] for method in ("transport", "macenko", "vahadane")], _images(False)
    while True:
        with context.Pool(2) as pool:
            pool.map(_work, [(model, image, each) for model in models for image in images], chunksize=1)
        for _ in range(each * len(models) * len(images)):
            yield


def _images(first: bool) -> list[np.ndarray]:
    from stainxform.samples import pair

    tile = pair(1, SIDE, seed=4)[1][0]
    images = [np.ascontiguousarray(tile[:side, :side]) for side in SIZES]
    return [np.ascontiguousarray(np.moveaxis(image, -1, 0)) for image in images] if first else images


def loops() -> dict[str, Callable[[], Iterator[None]]]:
    """What is measured."""
    from hosts import HOSTS

    hosts = {host.name: (lambda name=host.name: through_host(name)) for host in HOSTS}
    return {
        **hosts,
        "augmentations": augmented,
        "a thread for each tile": in_threads,
        "forked workers": lambda: in_processes("fork"),
        "spawned workers": lambda: in_processes("spawn", 200),
    }


def measure(name: str, tiles: int) -> dict[str, Any]:
    """One row, in this process."""
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    early, late = grown(loops()[name](), tiles)
    return {"name": name, "tiles": tiles, "early": early, "late": late}


def main(arguments: list[str] | None = None) -> int:
    """Measure all; 1 if something grows."""
    import page

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiles", type=int, default=10_000)
    parser.add_argument("--only", nargs="+", help="names of rows")
    parser.add_argument("--table", type=Path)
    parser.add_argument("--here", help="one row, in this process, as JSON")
    chosen = parser.parse_args(arguments)
    if chosen.here:
        print(json.dumps(measure(chosen.here, chosen.tiles)))
        return 0
    rows = []
    for name in chosen.only or list(loops()):
        command = [sys.executable, __file__, "--here", name, "--tiles", str(chosen.tiles)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
        if done.returncode:
            raise RuntimeError(f"{name}: {done.stderr[-2000:]}")
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(_row(rows[-1]), flush=True)
    if chosen.table:
        head = ["| tiles through | tiles | resident after a tenth | at the end | growth |", "|---|---|---|---|---|"]
        page.write_memory(chosen.table, [*head, *map(_row, rows)])
    return int(any(row["late"] - row["early"] > GROWTH for row in rows))


def _row(row: dict[str, Any]) -> str:
    early, late = (row[key] / (1 << 20) for key in ("early", "late"))
    return f"| {row['name']} | {row['tiles']:,} | {early:.0f} MB | {late:.0f} MB | {late - early:+.1f} MB |"


if __name__ == "__main__":
    sys.exit(main())
