"""The files behind a path: a folder is searched through, links included, and what is left out is counted and said."""

from __future__ import annotations

import fnmatch
import glob
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stainxform.errors import InvalidImageError, StainXformWarning
from stainxform.io.images import SUFFIXES
from stainxform.io.paths import as_path

__all__ = ["ARRAYS", "FOR_TILES", "SLIDES", "Found", "files_of", "find", "image_files"]

SLIDES = (
    ".svs", ".tif", ".tiff", ".ndpi", ".mrxs", ".scn", ".bif", ".vms", ".vmu", ".svslide", ".czi", ".dcm",
)  # fmt: skip
"""File types of whole slides, lower case."""

ARRAYS = (".npy", ".npz", ".h5", ".hdf5", ".zarr")
"""File types that hold arrays, lower case: there is no telling which of them are tiles."""

FOR_TILES = "whole slides are given as slides=..., or cut with: stainxform tiles"
"""What to do with whole slides where tiles are looked for."""

_SHOWN = 5
"""Types of files left out that are named one by one."""

_MAGIC = "*?["

_PLURAL = {
    "broken link": "broken links",
    "pipe or device": "pipes or devices",
    "link to a folder around it": "links to folders around them",
    "link to a folder that is searched anyway": "links to folders that are searched anyway",
}


@dataclass(frozen=True)
class Found:
    """One file."""

    path: Path
    relative: Path
    """Where it lies below the folder that was searched; of a file that was named or matched, its name."""
    below: Path | None = None
    """The folder that was searched, or from which a pattern led to that."""


def files_of(where: Any, suffixes: Sequence[str] = SUFFIXES, hint: str = FOR_TILES) -> list[Path]:
    """Files of a folder (those of these types, all below it), a file, or a glob pattern, sorted; see :func:`find`."""
    return [found.path for found in find([where], suffixes, hint)[0]]


def image_files(folder: Path, suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    """All files of these types below ``folder``, sorted, possibly none; see :func:`find` for what is left out."""
    search = _Search(suffixes, "")
    files = search.below(as_path(folder))
    search.tell()
    return files


def find(
    entries: Iterable[Any], suffixes: Sequence[str] = SUFFIXES, hint: str = FOR_TILES, apart: Path | None = None
) -> list[list[Found]]:
    """The files that each entry stands for; one StainXformWarning counts what was left out.

    Links to folders are followed, each real folder is searched once, and a link that leads to a folder around it is not
    followed. Hidden files and folders, broken links and other file types are left out. A path that exists is never taken
    for a pattern. Folders that a pattern matches are searched.

    Parameters
    ----------
    entries : iterable of (str or Path)
        Folders, files and glob patterns.
    suffixes : sequence of str, optional
        File types that are looked for, lower case.
    hint : str, optional
        What to do with whole slides that were left out.
    apart : Path, optional
        A folder in which nothing is missed: what is left out there is not counted.

    Returns
    -------
    list of list of Found
        Files for each entry, sorted.

    Raises
    ------
    ParameterError
        A path that is empty or makes no sense.
    InvalidImageError
        Nothing was found, or a folder cannot be searched.
    """
    search = _Search(suffixes, hint, apart)
    found = [search.look(entry) for entry in entries]
    search.tell()
    return found


class _Search:
    """One search, through any number of folders."""

    def __init__(self, suffixes: Sequence[str], hint: str, apart: Path | None = None):
        self._suffixes, self._hint = suffixes, hint
        self._apart = None if apart is None else Path(os.path.realpath(apart))
        self._left: Counter[str] = Counter()

    def look(self, where: Any) -> list[Found]:
        """The files that one entry stands for."""
        path = as_path(where)
        if path.is_dir():
            below = self.below(path)
            if not below:
                raise InvalidImageError(f"the folder {path} holds no {self._wanted()}{self._instead()}")
            return [Found(file, file.relative_to(path), path) for file in below]
        if path.is_file():
            return [Found(path, Path(path.name))]
        if path.exists():
            raise InvalidImageError(f"{path} is a pipe or a device; pass a file or a folder")
        if path.is_symlink():
            raise InvalidImageError(f"{path} is a broken link, to {os.readlink(path)}; mend or remove it")
        files = self._matching(str(path))
        if not files:
            raise InvalidImageError(f"no file, folder or glob pattern matches {str(where)!r}{self._instead()}")
        return files

    def below(self, root: Path) -> list[Path]:
        """Files of these types below a folder, sorted."""
        return sorted(self._chosen(walk(root)))

    def tell(self) -> None:
        """One warning of all that was left out."""
        if self._left:
            one = self._left.total() == 1
            counted = f"{self._left.total():,} {'file was' if one else 'files were'} left out: {self._counted()}"
            warnings.warn(counted + self._advice(), StainXformWarning, stacklevel=4)

    def _matching(self, pattern: str) -> list[Found]:
        base, matches = _matches(pattern)
        ending = os.path.splitext(pattern)[1]
        named = bool(ending) and not any(letter in ending for letter in _MAGIC)
        seen: set[tuple[int, int]] = set()
        found: dict[Path, Found] = {}
        for match in sorted(matches, key=lambda path: (path.is_symlink(), path)):  # a link never hides the real place
            if match.is_dir():
                for path in self._below_new(match, seen):
                    found.setdefault(path, Found(path, path.relative_to(base), base))
            else:
                why = "" if match.is_file() else "broken link" if match.is_symlink() else "pipe or device"
                for path in [match] if named and not why else self._chosen([(match, why)]):
                    found.setdefault(path, Found(path, Path(path.name)))
        return sorted(found.values(), key=lambda one: one.path)

    def _below_new(self, folder: Path, seen: set[tuple[int, int]]) -> Iterable[Path]:
        """Files of these types below one of several folders."""
        if _identity(folder) in seen:
            self._leave(folder, "link to a folder that is searched anyway")
            return []
        return self._chosen(walk(folder, seen))

    def _chosen(self, entries: Iterable[tuple[Path, str]]) -> Iterator[Path]:
        """Those of the wanted types; the others are counted."""
        for path, why in entries:
            if not why and path.suffix.lower() in self._suffixes:
                yield path
            else:
                self._leave(path, why or path.suffix.lower() or "without a suffix")

    def _leave(self, path: Path, why: str) -> None:
        if self._apart is None or self._apart not in Path(os.path.realpath(path)).parents:
            self._left[why] += 1

    def _wanted(self) -> str:
        short = {".jpeg": ".jpg", ".tiff": ".tif"}
        *most, last = dict.fromkeys(short.get(suffix, suffix).removeprefix(".") for suffix in self._suffixes)
        kinds = f"{', '.join(most)} or {last}" if most else last
        return f"{kinds} images" if self._suffixes is SUFFIXES else f"files of type {kinds}"

    def _instead(self) -> str:
        return f" ({self._counted()} left out{self._advice()})" if self._left else ""

    def _counted(self) -> str:
        most = self._left.most_common(_SHOWN)
        rest = self._left.total() - sum(count for _, count in most)
        listed = [f"{count:,} {kind if count == 1 else _PLURAL.get(kind, kind)}" for kind, count in most]
        return ", ".join(listed + [f"{rest:,} of other types"] * (rest > 0))

    def _advice(self) -> str:
        slides = self._hint and any(kind in SLIDES and kind not in self._suffixes for kind in self._left)
        arrays = any(kind in ARRAYS for kind in self._left)
        advice = [self._hint] * bool(slides) + ["arrays are opened first, and passed as they are"] * arrays
        return "".join(f"; {one}" for one in advice)


def walk(root: Path, seen: set[tuple[int, int]] | None = None) -> Iterator[tuple[Path, str]]:
    """Everything below a folder but folders, and why it is no file to read: "" if it is one.

    Real folders come first, then those that links lead to, so that a link never hides the real place. ``seen`` are the
    folders that have been searched, which grows.
    """
    seen = set() if seen is None else seen
    seen.add(_identity(root))
    folders, links = [root], list[Path]()
    while folders or links:
        if not folders:
            links.sort()
            link = links.pop(0)
            if why := _why_not(link, root, seen):
                yield link, why
                continue
            seen.add(_identity(link))
            folders.append(link)
        entries = _listed(folders.pop())
        mirax = {entry.name[:-5] for entry in entries if entry.name.lower().endswith(".mrxs")}  # their folders of data
        for entry in entries:
            path = Path(entry.path)
            if entry.name.startswith("."):
                yield path, "hidden"
            elif not path.is_dir():
                yield path, "" if path.is_file() else "broken link" if entry.is_symlink() else "pipe or device"
            elif entry.is_symlink():
                links.append(path)
            elif entry.name not in mirax and _identity(path) not in seen:
                seen.add(_identity(path))
                folders.append(path)


def _why_not(link: Path, root: Path, seen: set[tuple[int, int]]) -> str:
    """Why a link to a folder is not followed."""
    if _identity(link) in seen:
        return "link to a folder that is searched anyway"
    there = Path(os.path.realpath(link))
    around = (Path(os.path.realpath(place)) for place in (root, link.parent))
    return "link to a folder around it" if any(there in place.parents for place in around) else ""


def _matches(pattern: str) -> tuple[Path, list[Path]]:
    """The folder that a pattern starts from, and what matches. A part of it that exists is no pattern."""
    parts = Path(pattern).parts
    fixed = 0
    while fixed < len(parts) - 1 and os.path.lexists(os.path.join(*parts[: fixed + 1])):
        fixed += 1
    base, rest = Path(*parts[:fixed]), list(parts[fixed:])
    if "**" in rest:
        return base, _deep_matches(base, rest)
    tries = [rest, [part.replace("[", "[[]") for part in rest]]  # names may hold brackets
    for names in tries if "[" in pattern else tries[:1]:
        try:
            found = glob.glob(os.path.join(glob.escape(str(base)), *names))
        except (OSError, ValueError) as error:
            raise InvalidImageError(f"{pattern!r} cannot be searched for ({error}); pass a folder") from error
        if found:
            return base, [Path(name) for name in found]
    return base, []


def _deep_matches(base: Path, rest: Sequence[str]) -> list[Path]:
    """Matches of a pattern with ``**``, which goes through links as a search does: each real folder once."""
    found = (path for path, why in walk(base) if why in ("", "broken link"))
    return [path for path in found if _fits(path.relative_to(base).parts, rest)]


def _fits(parts: Sequence[str], steps: Sequence[str]) -> bool:
    """Whether a path, or a folder above it, is what the steps of a pattern lead to."""
    if not steps:
        return True
    if steps[0] == "**":
        return any(_fits(parts[skipped:], steps[1:]) for skipped in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatch(parts[0], steps[0]) and _fits(parts[1:], steps[1:])


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise _unsearchable(folder, error) from error


def _identity(folder: Path) -> tuple[int, int]:
    try:
        found = folder.stat()
    except OSError as error:
        raise _unsearchable(folder, error) from error
    return found.st_dev, found.st_ino


def _unsearchable(folder: Path, error: OSError) -> InvalidImageError:
    return InvalidImageError(f"the folder {folder} cannot be searched ({error.strerror or error}); mend or remove it")
