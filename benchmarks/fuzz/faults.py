"""What counts as a fault, where it happened, and where faults are kept: one JSON file for each place."""

from __future__ import annotations

import hashlib
import json
import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stainxform.errors import StainXformError

ROOT = Path(__file__).parents[2]
OURS = str(ROOT / "stainxform")
HOSTS = ("monai", "albumentations", "torchvision", "albucore", "pydantic")
EXAMPLES = 5
"""Inputs kept of each fault."""


class Fault(Exception):  # noqa: N818 (what it is called everywhere here)
    """A rule that was broken: ``place`` says which and where, in words that do not depend on the input."""

    def __init__(self, place: str, message: str = ""):
        super().__init__(f"{place}: {message}" if message else place)
        self.place = place


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error, and what it was raised from."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__


def documented(error: BaseException) -> bool:
    """Whether an exception is one that users are told of.

    That is one of stainxform's errors, one of a host that was raised from it, or one that a host raised by itself about
    its own arguments. Out of memory is none, wherever it was caught.
    """
    found = list(causes(error))
    if any(isinstance(one, MemoryError) for one in (*found, error.__context__)):
        return False
    return any(isinstance(one, StainXformError) for one in found) or _raised_by_host(error)


def _raised_by_host(error: BaseException) -> bool:
    frames = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    ours = [i for i, name in enumerate(frames) if name.startswith(OURS)]
    theirs = [i for i, name in enumerate(frames) if any(f"/{host}/" in name for host in HOSTS) and i not in ours]
    return bool(theirs) and theirs[-1] > max(ours, default=-1)


def place_of(error: BaseException) -> str:
    """The kind of an exception, and the innermost function of ours that it passed."""
    if isinstance(error, Fault):
        return error.place
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if frame.filename.startswith(OURS)]
    frame = (ours or frames)[-1]
    return f"{type(error).__name__} in {Path(frame.filename).stem}.{frame.name}"


class Faults:
    """The faults of a campaign, told apart by kind and place; the first inputs of each are kept."""

    def __init__(self, folder: Path):
        self._folder = folder

    def add(self, kind: str, place: str, message: str, example: Any, data: bytes | None = None) -> bool:
        """Count a fault; True if it is a new one. ``example`` makes the same input again, ``data`` is the input."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(kind, place)
        found = self._read(path)
        new = found is None
        found = found or {"kind": kind, "place": place, "message": message, "times": 0, "examples": []}
        found["times"] += 1
        if len(found["examples"]) < EXAMPLES and example not in found["examples"]:
            found["examples"].append(example)
        if data is not None and new:
            path.with_suffix(".bin").write_bytes(data)
        path.write_text(json.dumps(found, indent=1) + "\n")
        return new

    def all(self) -> list[dict[str, Any]]:
        """All of them."""
        return [json.loads(path.read_text()) for path in sorted(self._folder.glob("*.json"))]

    def _path(self, kind: str, place: str) -> Path:
        words = re.sub(r"[^A-Za-z0-9]+", "_", place)[:60].strip("_")
        return self._folder / f"{kind}_{words}_{hashlib.sha256(place.encode()).hexdigest()[:6]}.json"

    @staticmethod
    def _read(path: Path) -> dict[str, Any] | None:
        return json.loads(path.read_text()) if path.exists() else None
