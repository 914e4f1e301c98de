"""The TIFF index under libFuzzer, through atheris (pip install atheris), which guides it by the branches of Python code.

    python benchmarks/fuzz/guided/index.py FOLDER LIBFUZZER-OPTIONS      # not called by hand

Whatever the index says of a file must make sense; what is no stainxform error is a fault. Faults go to FOLDER/found, a JSON
file each, and the search goes on. Half of the inputs are changed as :mod:`damage` does, half byte by byte.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
sys.path[:0] = [str(_HERE.parent), str(_HERE.parents[2])]

LIMIT = 512 << 20
"""Bytes of address space beyond what the libraries took."""


class Index:
    """Runs this file with libFuzzer for a while."""

    round_seconds = 300.0
    """To start takes half a minute: branches of tifffile are made to report themselves."""

    def __init__(self, folder: Path):
        if importlib.util.find_spec("atheris") is None:
            raise RuntimeError("the kind 'index' needs atheris: pip install atheris")
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    def run(self, seconds: float, runs: int | None) -> Any:
        """Fuzz for a while."""
        from guided import libfuzzer

        found_folder = self._folder / "found"
        found_folder.mkdir(exist_ok=True)
        for old in found_folder.iterdir():
            old.unlink()
        command = [sys.executable, __file__, str(self._folder)]
        options = ["-max_len=65536", "-rss_limit_mb=2048"]
        found, _ = libfuzzer.run(command, self._folder, seconds, runs, options, {"OMP_NUM_THREADS": "1"})
        for path in sorted(found_folder.glob("*.json")):
            found.faults.append(
                {**json.loads(path.read_text()), "example": path.stem, "data": path.with_suffix(".bin").read_bytes()}
            )
        taken = (found_folder / "taken").read_text() if (found_folder / "taken").exists() else "0"
        found.outcomes = {"taken": int(taken), "refused": max(found.inputs - int(taken), 0)}
        return found


def _main() -> None:
    import atheris

    with atheris.instrument_imports(include=["stainxform.slides.readers", "tifffile"]):
        import tifffile  # noqa: F401

        from stainxform.slides.readers.tiff_index import TiffIndex
    import numpy as np
    from damage import mutate, mutate_xml, ome_seeds, seeds
    from faults import documented, place_of

    folder = Path(sys.argv[1])
    corpus = folder / "corpus"
    if not any(corpus.iterdir()):
        with tempfile.TemporaryDirectory() as name:
            for number, data in enumerate([*seeds(Path(name), 64), *ome_seeds(Path(name), 64)]):
                if len(data) <= 65536:
                    (corpus / f"seed{number}").write_bytes(data)
    memory = Path("/dev/shm") if Path("/dev/shm").is_dir() else folder
    case = memory / f"index_{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]}.tif"
    places: set[str] = set()
    taken = 0

    def note(place: str, message: str, data: bytes) -> None:
        if place not in places:
            places.add(place)
            path = folder / "found" / hashlib.sha256(place.encode()).hexdigest()[:12]
            path.with_suffix(".bin").write_bytes(data)
            path.with_suffix(".json").write_text(json.dumps({"fault": place, "message": message}))

    def one_input(data: bytes) -> None:
        nonlocal taken
        case.write_bytes(data)
        try:
            index = TiffIndex(case)
            try:
                _check(index, len(data), np)
            finally:
                index.close()
            taken += 1
            if taken % 10 == 0:
                (folder / "found" / "taken").write_text(str(taken))
        except Exception as error:
            if not documented(error):
                note(place_of(error), f"{type(error).__name__}: {error}", data)

    def mutator(data: bytes, max_size: int, seed: int) -> bytes:
        rng = np.random.default_rng(seed)
        turn = rng.random()
        try:
            changed = (
                mutate(data, rng)
                if turn < 0.35
                else mutate_xml(data, rng)
                if turn < 0.5
                else atheris.Mutate(data, len(data))
            )
        except Exception:
            changed = atheris.Mutate(data, len(data))
        return changed[:max_size]

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + LIMIT
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    atheris.Setup([sys.argv[0], *sys.argv[2:]], one_input, custom_mutator=mutator)
    atheris.Fuzz()


def _check(index: Any, size: int, np: Any) -> None:
    from faults import Fault

    levels = index.levels()
    if not levels:
        raise Fault("an index without levels")
    widths = [level.shape[1] for level in levels]
    if sorted(set(widths), reverse=True) != widths:
        raise Fault("levels are not in order", str(widths))
    for level in index.pyramid:
        if len(level.offsets) != level.rows * level.columns or len(level.counts) != len(level.offsets):
            raise Fault("tiles are missing in the index")
        if (level.offsets < 0).any() or (level.offsets + level.counts > size).any():
            raise Fault("a tile beyond the end of the file")
    for name in ("mpp", "magnification"):
        value = getattr(index, name, None)
        if value is not None and not (np.isfinite(value).all() and (np.array(value) > 0).all()):
            raise Fault(f"{name} makes no sense", str(value))


if __name__ == "__main__":
    _main()
