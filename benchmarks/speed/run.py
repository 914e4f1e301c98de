"""Ours against the peers: time, memory, import.

    python benchmarks/speed/run.py -o runs/speed --table docs/results/speed.md --plot docs/images/speed.png

Peers are in benchmarks/speed/requirements.txt; one that is not installed is skipped, and the table says so. Every job is
a process of its own in which all implementations take turns; what was measured is kept in OUTPUT/record.json, and
``--jobs`` measures some of them anew. On a machine that others use, put ``chrt -r 3`` in front (Linux).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from environment import describe, variables
from jobs import JOBS, load
from report import LARGE, SIZE, Record, markdown, plot, write_between_marks

from stainxform.samples import pair

HERE = Path(__file__).parent
BATCH, BATCH_SIDE = 8, 256
TARGET_SIDE = 512

SAME = ("cpu", "system", "native", "versions")
"""Of the environment, that measurements of one table share."""

IMPORTS = {
    "stainxform": "import stainxform",
    "stainxform, Macenko": "from stainxform import Macenko",
    "torchstain, numpy": "from torchstain.numpy.normalizers import NumpyMacenkoNormalizer",
    "torchstain, torch": "from torchstain.torch.normalizers import TorchMacenkoNormalizer",
    "stainx": "from stainx import Macenko",
    "tiatoolbox, its utilities alone": "import tiatoolbox.utils",
    "StainTools": "import staintools",
    "MONAI": "from monai.apps.pathology.transforms.stain.array import NormalizeHEStains",
    "albumentations": "import albumentations",
}
"""What it takes to get at a normalizer or an augmentation. numpy counts, Python itself does not."""

IMPORT_RUNS = 3

TOO_LONG = 900
"""Seconds after which one process is given up."""


def measure(*arguments: object, threads: int = 1) -> Any:
    """Run measure.py in a process of its own: its result, or {"problem": ...}."""
    command = [sys.executable, str(HERE / "measure.py"), *map(str, arguments), "--threads", str(threads)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=variables(threads), timeout=TOO_LONG)
    except subprocess.TimeoutExpired:
        return {"problem": f"took more than {TOO_LONG} s"}
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return {"problem": f"the process ended with {done.returncode}: {last}"}
    return json.loads(done.stdout.strip().splitlines()[-1])


def images(arguments: argparse.Namespace) -> tuple[Path, dict[str, Path], str]:
    """Files of the target and, by size, of the image; and where they are from."""
    folder = arguments.output / "images"
    folder.mkdir(parents=True, exist_ok=True)
    shapes = {str(size): (1, size) for size in sorted({*arguments.sizes, int(SIZE)})}
    if not arguments.no_batches:
        shapes[f"{BATCH}x{BATCH_SIDE}"] = (BATCH, BATCH_SIDE)
    target, files = folder / "target.npy", {}
    np.save(
        target, crops(arguments.target, 1, TARGET_SIDE)[0] if arguments.target else generated(1, TARGET_SIDE, "a")[0]
    )
    for name, (count, side) in shapes.items():
        files[name] = folder / f"image_{name}.npy"
        tiles = crops(arguments.image, count, side) if arguments.image else generated(count, side, "b")
        np.save(files[name], tiles if count > 1 else tiles[0])
    if not arguments.image:
        return target, files, "Images: generated tissue (`stainxform.samples`), one center's normalized to another's."
    to = arguments.target.name if arguments.target else "generated tissue"
    return target, files, f"Images: {arguments.image.name} normalized to {to}."


def generated(count: int, side: int, center: str) -> np.ndarray:
    """Tiles of a center of the samples."""
    return pair(count, side, (center,), seed=1)[0]


def crops(path: Path, count: int, side: int) -> np.ndarray:
    """Tiles from the top left corner on; a picture that is too small is mirrored."""
    from PIL import Image

    picture = np.asarray(Image.open(path).convert("RGB"))
    across = max(1, picture.shape[1] // side)
    rows, columns = side * -(-count // across), side * min(count, across)
    missing = [(0, max(0, rows - picture.shape[0])), (0, max(0, columns - picture.shape[1])), (0, 0)]
    picture = np.pad(picture, missing, mode="symmetric")
    places = [divmod(k, across) for k in range(count)]
    return np.stack([picture[y * side : (y + 1) * side, x * side : (x + 1) * side] for y, x in places])


def run_times(arguments: argparse.Namespace, record: Record, target: Path, files: dict[str, Path], name: str) -> None:
    """One job at every size; with more threads than one, ours at the largest size."""
    job, results = load(name), {}
    for threads in sorted({1, *arguments.threads}):
        if threads > record["environment"]["cpus"]:
            print(f"{name}: {threads} threads need as many CPUs; not measured", flush=True)
            continue
        sizes = [str(size) for size in sorted(arguments.sizes)]
        if threads > 1:
            sizes = [LARGE if LARGE in sizes else sizes[-1]]
        elif job.batches and not arguments.no_batches:
            sizes.append(f"{BATCH}x{BATCH_SIDE}")
        limits = ["--rounds", arguments.rounds, "--seconds", arguments.seconds]
        limits += ["--only-ours"] if threads > 1 or arguments.only_ours else []
        found = measure("time", name, target, *(files[size] for size in sizes), *limits, threads=threads)
        if "problem" in found:
            found = [{job.ours: found}] * len(sizes)
        results[str(threads)] = dict(zip(sizes, found))
    record.setdefault("time", {})[name] = results


def run_memory(record: Record, target: Path, image: Path, name: str) -> None:
    """Every implementation that ran, in a process of its own."""
    timed = next(iter(record["time"][name]["1"].values()))
    names = [n for n, row in timed.items() if "problem" not in row]
    found = {n: measure("memory", name, target, image, "--implementation", n) for n in names}
    record.setdefault("memory", {})[name] = found


def run_imports(record: Record) -> None:
    """The median of some fresh processes, after one that warms the disk."""
    record["import"] = {}
    for what, statement in IMPORTS.items():
        seconds = [import_seconds(statement) for _ in range(1 + IMPORT_RUNS)]
        if None in seconds:
            record["import"][what] = {"problem": "not installed"}
        else:
            record["import"][what] = {"seconds": sorted(seconds[1:])[IMPORT_RUNS // 2]}


def import_seconds(statement: str) -> float | None:
    """How long one import takes; None if it fails."""
    code = f"import time; start = time.perf_counter()\n{statement}\nprint(time.perf_counter() - start)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=variables(1))
    return None if done.returncode else float(done.stdout.split()[-1])


def earlier(path: Path, environment: dict[str, Any], image: str) -> Record:
    """What was measured before, unless anything has changed that would make it another table."""
    if not path.exists():
        return {}
    record = json.loads(path.read_text())
    if record["image"] == image and all(record["environment"][key] == environment[key] for key in SAME):
        return record
    print(f"{path} is of another machine, other versions or another image; starting anew", flush=True)
    return {}


def save(record: Record, path: Path) -> None:
    """Whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(record, indent=1))
    part.replace(path)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for record.json and the images")
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024, 2048], help="sides of tiles, px")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="more than 1: ours, at the largest size")
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--rounds", type=int, default=5, help="samples of each implementation, at most")
    parser.add_argument("--seconds", type=float, default=2, help="an implementation that took longer takes 3 samples")
    parser.add_argument("--image", type=Path, help="a picture of tissue; default: generated")
    parser.add_argument("--target", type=Path, help="a picture of the target's tissue")
    parser.add_argument("--only-ours", action="store_true", help="leave the peers out")
    parser.add_argument("--no-batches", action="store_true")
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--no-imports", action="store_true")
    parser.add_argument("--table", type=Path, help="markdown file to write the tables into, between its marks")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / "record.json"
    environment = describe()
    target, files, image = images(options)
    record = earlier(path, environment, image) | {"environment": environment, "image": image}
    for name in options.jobs:
        start = time.perf_counter()
        run_times(options, record, target, files, name)
        if not options.no_memory:
            run_memory(record, target, files[SIZE], name)
        save(record, path)
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    if not options.no_imports:
        run_imports(record)
        save(record, path)
    text = markdown(record)
    print(text)
    if options.table:
        write_between_marks(options.table, text)
    if options.plot:
        plot(record, options.plot)


if __name__ == "__main__":
    main()
