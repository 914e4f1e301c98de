"""Which files are slides, which of them belong together, and the hash of what they hold."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from stainxform.io.search import SLIDES as SUFFIXES

__all__ = ["CHUNK", "DICOM_HEAD", "SUFFIXES", "digest", "digest_of", "first_of_series", "parts", "series", "stamp"]

CHUNK = 1 << 20
DICOM_HEAD = 1 << 14
"""Bytes at the start of a DICOM file in which its series is named."""


def first_of_series(paths: Iterable[Path]) -> list[Path]:
    """The files without those that are part of a slide named before: a DICOM slide is a series of files in a folder."""
    kept: dict[object, Path] = {}
    for path in paths:
        name = series(path)
        kept.setdefault((path.parent, name) if name else path, path)
    return list(kept.values())


def parts(path: Path) -> list[Path]:
    """All files of a slide: itself, and what MIRAX keeps in a folder of the same name, or DICOM in the same series."""
    name = series(path)
    if name:
        return sorted(other for other in path.parent.iterdir() if series(other) == name)
    companions = path.with_suffix("") if path.suffix.lower() == ".mrxs" else None
    return (
        [path, *sorted(file for file in companions.rglob("*") if file.is_file())]
        if companions and companions.is_dir()
        else [path]
    )


def stamp(path: Path) -> list[tuple[str, int, int]]:
    """Name, bytes and time of the last change of all files of a slide: what changes when somebody writes to it."""
    return [(str(part), (known := part.stat()).st_size, known.st_mtime_ns) for part in parts(path)]


def digest(path: Path) -> str:
    """SHA-256 of the bytes of a slide, of all its files."""
    return digest_of(parts(path))


def digest_of(files: Iterable[Path]) -> str:
    """SHA-256 of the bytes of files, one after the other."""
    sha = hashlib.sha256()
    for part in files:
        with part.open("rb") as file:
            while data := file.read(CHUNK):
                sha.update(data)
    return sha.hexdigest()


def series(path: Path) -> str:
    """Series UID of a DICOM file; empty for what is none."""
    if path.suffix.lower() != ".dcm":
        return ""
    with path.open("rb") as file:
        found = re.search(rb"\x20\x00\x0e\x00UI..([0-9.]+)", file.read(DICOM_HEAD), re.DOTALL)
    return found[1].decode() if found else ""
