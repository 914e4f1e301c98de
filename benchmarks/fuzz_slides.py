"""Do damaged and hostile TIFF files do harm? Each is opened, read and written normalized, in a process with limits.

    python benchmarks/fuzz_slides.py --cases 2000 -o runs/fuzz_slides.json

Small pyramids (Aperio's layout, a generic chain, OME SubIFDs, BigTIFF; JPEG and deflate) are cut off, have bits flipped,
tags set to hostile values (giant sizes, zero, negative numbers), offsets sent astray and chains of IFDs bent into loops.
A case must end in a normalized slide or in one of stainxform's errors, within 10 s, without an allocation that fails under
the memory limit. Everything else is a finding: its number (``--only``) makes the same file again. Exit code 1 if there is one.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import select
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

SECONDS = 10
LIMIT = 512 << 20
"""Bytes of address space that a case may take beyond what the libraries took before it."""

HOSTILE = (
    0,
    1,
    2,
    3,
    7,
    255,
    65535,
    65536,
    1 << 24,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    (1 << 63) - 1,
    (1 << 64) - 1,
)
TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}

# ---------------------------------------------------------------- files


def seeds(folder: Path) -> list[bytes]:
    """Whole slides to damage."""
    import tifffile

    from stainxform.samples import pair

    image = pair(1, (320, 384), seed=9)[0][0].copy()
    image[:, 256:] = 244
    made = []
    for number, (levels, big, sub, options) in enumerate(
        (
            (3, False, False, {"compression": "jpeg", "photometric": "rgb"}),
            (3, False, False, {"compression": "deflate", "photometric": "rgb"}),
            (1, False, False, {"compression": "jpeg", "photometric": "rgb", "description": "Aperio Image Library v1\n384x320 |AppMag = 20|MPP = 0.5"}),
            (3, True, False, {"compression": "jpeg", "photometric": "rgb"}),
            (2, False, True, {"compression": "deflate", "photometric": "rgb"}),
        )
    ):  # fmt: skip
        path = folder / f"seed{number}.tif"
        with tifffile.TiffWriter(path, bigtiff=big) as file:
            for rank in range(levels):
                file.write(
                    np.ascontiguousarray(image[:: 1 << rank, :: 1 << rank]),
                    tile=(64, 64),
                    metadata=None,
                    subfiletype=int(rank > 0),
                    subifds=levels - 1 if sub and rank == 0 else None,
                    **options,
                )
        made.append(path.read_bytes())
    return made


class Tags:
    """Where the IFDs and tags of a TIFF file are."""

    def __init__(self, data: bytes):
        self.big = data[2] == 43
        self.word, self.size = ("<Q", 8) if self.big else ("<I", 4)
        self.pointers: list[int] = [8 if self.big else 4]
        self.ifds: list[int] = []
        self.entries: list[int] = []
        while (offset := struct.unpack_from(self.word, data, self.pointers[-1])[0]) and offset not in self.ifds:
            self.ifds.append(offset)
            count = struct.unpack_from("<Q" if self.big else "<H", data, offset)[0]
            first, length = offset + (8 if self.big else 2), 20 if self.big else 12
            self.entries += [first + length * n for n in range(count)]
            self.pointers.append(first + length * count)


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """One damaged file, of one to three kinds of damage."""
    kinds: tuple[Callable[[bytearray, np.random.Generator], None], ...] = (
        _cut, _flip_anywhere, _flip_in_the_index, _hostile_value, _hostile_value, _hostile_count, _astray, _loop, _overwrite,
    )  # fmt: skip
    result = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        kinds[rng.integers(len(kinds))](result, rng)
    return bytes(result)


def _cut(data: bytearray, rng: np.random.Generator) -> None:
    del data[int(rng.integers(0, len(data))) :]


def _flip_anywhere(data: bytearray, rng: np.random.Generator) -> None:
    for offset in rng.integers(0, max(1, len(data)), rng.integers(1, 40)) if data else ():
        data[offset] ^= 1 << int(rng.integers(8))


def _flip_in_the_index(data: bytearray, rng: np.random.Generator) -> None:
    if tags := _tags(data):
        for _ in range(rng.integers(1, 6)):
            offset = int(rng.choice(tags.entries)) + int(rng.integers(20 if tags.big else 12))
            if offset < len(data):
                data[offset] ^= 1 << int(rng.integers(8))


def _hostile_value(data: bytearray, rng: np.random.Generator) -> None:
    """The value of a tag, or the offset of its values."""
    if tags := _tags(data):
        _put(data, int(rng.choice(tags.entries)) + (12 if tags.big else 8), tags.size, rng)


def _hostile_count(data: bytearray, rng: np.random.Generator) -> None:
    if tags := _tags(data):
        _put(data, int(rng.choice(tags.entries)) + 4, tags.size, rng)


def _astray(data: bytearray, rng: np.random.Generator) -> None:
    """A number among the offsets and byte counts of the tiles."""
    if tags := _tags(data):
        for entry in rng.permutation(tags.entries):
            code, kind, count = struct.unpack_from("<HH" + tags.word[1], data, entry)
            wide = TYPE_BYTES.get(kind, 1)
            if code in (324, 325, 273, 279, 330) and count * wide > tags.size:
                (offset,) = struct.unpack_from(tags.word, data, entry + (12 if tags.big else 8))
                _put(data, offset + int(rng.integers(count)) * wide, wide, rng)
                return


def _loop(data: bytearray, rng: np.random.Generator) -> None:
    """The next IFD is one that was before, or somewhere else."""
    if tags := _tags(data):
        offset = int(rng.choice(tags.pointers))
        target = int(rng.choice(tags.ifds)) if rng.random() < 0.7 else int(rng.integers(0, 1 << 32))
        if offset + tags.size <= len(data):
            struct.pack_into(tags.word, data, offset, target)


def _overwrite(data: bytearray, rng: np.random.Generator) -> None:
    if len(data) > 64:
        start = int(rng.integers(0, len(data) - 32))
        data[start : start + 32] = rng.bytes(32) if rng.random() < 0.7 else b"\xff" * 32


def _put(data: bytearray, offset: int, size: int, rng: np.random.Generator) -> None:
    if offset + size <= len(data):
        value = int(rng.choice(np.array(HOSTILE, np.uint64))) % (1 << 8 * size)
        data[offset : offset + size] = value.to_bytes(size, "little")


def _tags(data: bytearray) -> Tags | None:
    try:
        tags = Tags(bytes(data))
    except (struct.error, IndexError):
        return None
    return tags if tags.entries else None


# ---------------------------------------------------------------- one case, in a process of its own


def work() -> None:
    """Do the cases whose paths come on stdin; answer each with a line of JSON."""
    import faulthandler
    import warnings

    import stainxform as sx
    from stainxform.samples import pair

    warnings.simplefilter("ignore")
    faulthandler.enable()
    target = sx.fit_center(pair(2, 96, seed=1)[0], "macenko")
    warm, out, reader = Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
    attempt(target, warm, out, reader)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + LIMIT
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    print(json.dumps({"outcome": "ready"}), flush=True)
    for line in sys.stdin:
        print(json.dumps(attempt(target, Path(line.strip()), out, reader)), flush=True)


def attempt(normalizer, path: Path, out: Path, reader: str) -> dict[str, str]:
    """Normalize one file; what became of it."""
    import stainxform as sx
    from stainxform.errors import StainXformError
    from stainxform.pipeline.estimate import slide_map
    from stainxform.slides import write_slide

    try:
        with sx.open_slide(path, reader) as slide:
            write_slide(slide, out, slide_map(normalizer, slide), threads=1)
        return {"outcome": "normalized"}
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, MemoryError):
                return {"outcome": "over the memory limit", "message": message}
            cause = cause.__cause__ or cause.__context__
        if isinstance(error, StainXformError):
            return {"outcome": "refused", "message": message}
        return {"outcome": "unexpected error", "message": message}
    finally:
        for left in out.parent.glob(out.name + "*"):
            left.unlink()


class Worker:
    """A process that does cases one after the other; replaced after it died or was too slow."""

    def __init__(self, warm: Path, out: Path, reader: str, log: Path):
        self._arguments = [sys.executable, __file__, "--worker", str(warm), str(out), reader]
        self._log = log
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            self._arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log.open("ab"), text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert self._answer(120)["outcome"] == "ready", f"the worker does not start; see {self._log}"

    def run(self, path: Path) -> dict[str, str]:
        """What became of a file."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        answer = self._answer(SECONDS)
        if answer["outcome"] in ("hang", "crash"):
            self.close()
            self._start()
        return answer

    def _answer(self, seconds: float) -> dict[str, str]:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            return {"outcome": "hang", "message": f"more than {seconds} s"}
        line = self._process.stdout.readline()
        return json.loads(line) if line else {"outcome": "crash", "message": f"exit code {self._process.wait()}"}

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


# ---------------------------------------------------------------- all cases


def main(arguments: list[str] | None = None) -> int:
    """Do the cases; 1 if one of them is a finding."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--only", type=int, help="one case, whose file is kept")
    parser.add_argument("--reader", default="auto", help="auto, tifffile, openslide or cucim")
    parser.add_argument("-o", "--output", type=Path, help="JSON file for the counts and findings")
    chosen = parser.parse_args(arguments)
    numbers = range(chosen.first, chosen.first + chosen.cases) if chosen.only is None else [chosen.only]
    counts: Counter[str] = Counter()
    findings, slowest, start = [], 0.0, time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = seeds(folder)
        case = folder / "case.tif" if chosen.only is None else Path(f"fuzz_{chosen.only}.tif")
        worker = Worker(folder / "seed0.tif", folder / "out.ome.tif", chosen.reader, folder / "log")
        try:
            for number in numbers:
                rng = np.random.default_rng((7, number))
                case.write_bytes(mutate(whole[number % len(whole)], rng))
                began = time.perf_counter()
                answer = worker.run(case)
                slowest = max(slowest, time.perf_counter() - began)
                counts[answer["outcome"]] += 1
                if answer["outcome"] not in ("normalized", "refused"):
                    findings.append({"case": number, **answer})
                    print(number, answer, flush=True)
        finally:
            worker.close()
        if findings:
            print((folder / "log").read_text(errors="replace")[-4000:])
    result = {
        "cases": len(numbers), "reader": chosen.reader, "outcomes": dict(counts), "slowest_seconds": round(slowest, 2),
        "seconds": round(time.perf_counter() - start, 1), "findings": findings,
    }  # fmt: skip
    print(json.dumps(result, indent=2))
    if chosen.output:
        chosen.output.parent.mkdir(parents=True, exist_ok=True)
        chosen.output.write_text(json.dumps(result, indent=2) + "\n")
    return int(bool(findings))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work()
    else:
        sys.exit(main())
