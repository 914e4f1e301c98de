"""Many files in, as many out: which output each input has, decided before anything is written."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stainxform.errors import ParameterError, StainXformError
from stainxform.io.images import SUFFIXES
from stainxform.io.search import FOR_TILES, Found, find

__all__ = ["Job", "plan", "reason"]


@dataclass(frozen=True)
class Job:
    """One file to read and the file to write."""

    source: Path
    target: Path


def plan(
    inputs: Sequence[str | Path],
    folder: Path,
    rename: Callable[[Path], Path],
    suffixes: Sequence[str] = SUFFIXES,
    hint: str = FOR_TILES,
) -> list[Job]:
    """Decide the output file of every input, without writing anything.

    Parameters
    ----------
    inputs : sequence of (str or Path)
        Folders, whose structure is kept below ``folder``; files, and those that a glob pattern matches, which go right
        into it; folders that a pattern matches, which keep their names.
    folder : Path
        Where the outputs go. What it holds already is no input.
    rename : callable
        Rename from the path of an input, relative, to that of its output.
    suffixes : sequence of str, optional
        File types that a folder is searched for, lower case.
    hint : str, optional
        What to do with whole slides that are not searched for.

    Raises
    ------
    InvalidImageError
        An input matches nothing.
    ParameterError
        A path is empty, two inputs have the same output (in a file system that ignores case, names that differ by
        nothing else are the same), an output lies outside ``folder`` or would replace an input.
    """
    root = folder.resolve()
    jobs: dict[tuple[Path, Path], Job] = {}
    for files in find(inputs, suffixes, hint, apart=root):
        for file in files:
            if not _is_own_output(file, root):
                job = Job(file.path, folder / rename(file.relative))
                jobs.setdefault((file.path.resolve(), job.target), job)
    if not inputs:
        raise ParameterError("no inputs were given; pass files, folders or glob patterns")
    if not jobs:
        raise ParameterError(f"every input lies in the output folder {folder}; choose another one")
    _check_targets(list(jobs.values()), root)
    return list(jobs.values())


def _is_own_output(file: Found, root: Path) -> bool:
    """Whether a search through a folder came upon the outputs of an earlier run."""
    return file.below is not None and file.below.resolve() in root.parents and root in file.path.resolve().parents


def _check_targets(jobs: Sequence[Job], root: Path) -> None:
    inputs = {job.source.resolve() for job in jobs}
    taken: dict[str, Job] = {}
    same = _as_one if _ignores_case(root) else str
    for job in jobs:
        target = job.target.resolve()
        other = taken.setdefault(same(str(target)), job)
        if other is not job:
            raise ParameterError(
                f"{other.source} and {job.source} would both be written to {job.target}; "
                "rename one, pass their common folder, or use two output folders"
            )
        if root not in target.parents:
            raise ParameterError(f"{job.target} leads out of the output folder through a link; remove the link")
        if target in inputs:
            raise ParameterError(f"{job.target} is itself an input; choose another output folder")


def _as_one(name: str) -> str:
    """What file systems that ignore case (of Windows, of macOS) make of a name; the latter ignore how accents are stored."""
    return unicodedata.normalize("NFC", name).casefold()


def _ignores_case(folder: Path) -> bool:
    """Whether a file system finds its folders by names in other case, told without writing to it."""
    for place in (folder, *folder.parents):
        other = place.with_name(place.name.swapcase()) if place.name else place
        if place.exists() and other != place:
            return other.exists() and other.samefile(place)
    return os.name == "nt"


def reason(job: Job, error: Exception) -> str:
    """One sentence on why a job failed, which names its source."""
    known = isinstance(error, StainXformError | OSError)
    message = str(error) if known else f"{type(error).__name__}: {error}"
    return message if str(job.source) in message else f"{job.source}: {message}"
