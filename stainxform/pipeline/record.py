"""What an output was made of, as a JSON file beside it: hashes, settings and versions, no names unless asked for."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from stainxform._version import __version__
from stainxform.errors import StainXformError
from stainxform.io.atomic import atomic_write

__all__ = ["PACKAGES", "fingerprint_of", "path_of", "read", "versions", "write"]

PACKAGES = ("numpy", "tifffile", "imagecodecs", "openslide-python", "cucim-cu12", "torch")
"""Packages whose versions are recorded, where they are installed."""


def path_of(target: Path) -> Path:
    """Where the record of an output is."""
    return target.with_name(target.name + ".json")


def fingerprint_of(facts: dict[str, Any]) -> str:
    """SHA-256 of what decides an output: its source, model, settings and version."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def versions() -> dict[str, str]:
    """Versions of this package and of those that read, map and write."""
    found = {"stainxform": __version__}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def write(target: Path, record: dict[str, Any]) -> None:
    """Write the record of an output, atomically."""
    atomic_write(path_of(target), (json.dumps(record, indent=2, sort_keys=True) + "\n").encode())


def read(target: Path) -> dict[str, Any] | None:
    """The record of an output; None if there is none. StainXformError if the file beside the output is no record."""
    path = path_of(target)
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        found = None
    if not isinstance(found, dict) or "fingerprint" not in found:
        raise StainXformError(f"{path} is no record of stainxform; move it away, or use another output folder")
    return found
