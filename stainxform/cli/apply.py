"""``stainxform apply``: normalize files and folders with a model file."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stainxform.cli import text
from stainxform.cli.calibrate import Groups
from stainxform.cli.path import path
from stainxform.errors import ParameterError

if TYPE_CHECKING:
    from rich.console import Console

    from stainxform.cli.file_work import FileOutcome, FileWork
    from stainxform.io.modelfile import ModelState
    from stainxform.io.outputs import Job

__all__ = ["Format", "OnBlank", "apply"]

_SHOWN = 10
"""Existing outputs that are named one by one."""

_NAMED = 3
"""Groups that are named one by one."""

_LOCK = ".stainxform.lock"
"""What is locked in a folder that is written to; it is there no longer than the work."""


class Format(StrEnum):
    """File type of the outputs."""

    keep = "keep"
    png = "png"
    jpg = "jpg"
    tif = "tif"


class OnBlank(StrEnum):
    """What to do with a tile that holds too little tissue."""

    keep = "keep"
    warn = "warn"
    error = "raise"


def apply(
    inputs: Annotated[
        list[str],
        typer.Argument(help="Image files, folders (their structure is kept), glob patterns.", metavar="IN"),
    ],
    model: Annotated[
        Path, typer.Option("--model", "-m", parser=path, help="A model file of stainxform fit or calibrate.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", parser=path, help="Folder for the normalized images.", metavar="DIR")
    ],
    format: Annotated[
        Format, typer.Option(help="keep: png, jpg and tif stay what they are, others become png.")
    ] = Format.keep,
    workers: Annotated[
        int | None,
        typer.Option("--workers", "-j", min=1, help="Processes, one thread each.", show_default="one per CPU"),
    ] = None,
    on_blank: Annotated[
        OnBlank,
        typer.Option(
            help="A tile without tissue. keep: write it unchanged (a calibration maps it); warn: say so, too; raise: it fails."
        ),
    ] = OnBlank.keep,
    group: Annotated[
        str | None,
        typer.Option(help="The group of the calibration that all images are from.", show_default="the center"),
    ] = None,
    groups: Groups = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Keep outputs that were made from the same files, model and settings; refuse others."
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite existing outputs.")] = False,
) -> None:
    """Normalize images: make them look like the center that the model was fitted on.

    A file that cannot be read or written is reported. The others are still done, and the exit code is 1. After an
    interruption, the same command with --resume does the rest.
    """
    from stainxform._native.native import available_cpus
    from stainxform.cli.batch import MAX_WORKERS, plan_images
    from stainxform.cli.file_work import FileWork
    from stainxform.io.modelfile import read_model

    if resume and force:
        raise ParameterError("--resume keeps complete outputs, --force makes them again: give one of them")
    state = read_model(model)
    _check_groups(group, groups, state, model)
    planned = plan_images(inputs, output, "" if format is Format.keep else f".{format}")
    by_job = _groups(planned, group, groups, state)
    with _only_writer(output):
        jobs = planned if force or resume else _without_existing(planned)
        count = min(workers or min(available_cpus(), MAX_WORKERS), len(jobs))
        failed = len(planned) - len(jobs)
        if jobs:
            failed += _work(jobs, FileWork(state, on_blank.value, resume), by_job, count, output, failed)
    if failed:
        raise typer.Exit(1)


@contextmanager
def _only_writer(output: Path) -> Iterator[None]:
    """A block in which no other program writes to this folder; the lock is inside: the folder alone may be ours."""
    from stainxform.io.atomic import make_folder
    from stainxform.io.lock import FileLock

    make_folder(output)
    lock = FileLock(output / _LOCK, output)
    try:
        yield
    finally:
        lock.release(remove=True)


def _check_groups(group: str | None, groups: str | None, state: ModelState, model: Path) -> None:
    """Whether groups can be told, and the model has maps of them."""
    from stainxform.normalizers.calibration.groups import check_groups

    if group is not None and groups is not None:
        raise ParameterError("--group is for all images, --groups tells them apart: give one of them")
    if not (group is None and groups is None) and state.method != "calibration":
        raise ParameterError(
            f"{model} is a {state.method} model and knows no groups; make a calibration with: stainxform calibrate"
        )
    check_groups(groups)


def _groups(jobs: Sequence[Job], group: str | None, groups: str | None, state: ModelState) -> dict[Job, str]:
    """The group of each image; those that the calibration does not know are warned of once."""
    from stainxform.normalizers.calibration import Calibration
    from stainxform.normalizers.calibration.groups import of_paths

    if group is None and groups is None:
        return {}
    names = [group] * len(jobs) if groups is None else of_paths([job.source for job in jobs], groups)
    found = {job: name for job, name in zip(jobs, names) if name is not None}
    if strange := sorted({*found.values()} - {*Calibration.from_state(state).groups}):
        named = ", ".join(strange[:_NAMED]) + (", ..." if len(strange) > _NAMED else "")
        count = "1 group" if len(strange) == 1 else f"{len(strange)} groups"
        text.complain("warning", f"the calibration holds no map of {count} ({named}): the center's is used")
    return found


def _without_existing(jobs: Sequence[Job]) -> list[Job]:
    """The jobs whose output does not exist; the others are reported."""
    existing = [job for job in jobs if os.path.lexists(job.target)]
    for job in existing[:_SHOWN]:
        text.complain("error", f"{job.target} exists; pass --force to overwrite it, --resume to keep what is complete")
    if len(existing) > _SHOWN:
        text.complain("error", f"... and {len(existing) - _SHOWN} more outputs exist")
    known = set(existing)
    return [job for job in jobs if job not in known]


def _work(
    jobs: Sequence[Job], work: FileWork, groups: dict[Job, str], workers: int, output: Path, failed_before: int
) -> int:
    """Do the jobs, show how they go, and sum up; the number that failed."""
    from stainxform.cli.batch import normalize_files

    counts: Counter[str] = Counter()
    megapixels, start = 0.0, time.perf_counter()
    with (
        text.progress("{task.completed}/{task.total} files", "{task.fields[speed]}") as bar,
        closing(normalize_files(jobs, work, workers, groups)) as outcomes,
    ):
        task = bar.add_task("normalizing", total=len(jobs), speed="")
        for outcome in outcomes:
            counts[outcome.status] += 1
            megapixels += outcome.pixels / 1e6
            _report(outcome, work.on_blank, bar.console)
            speed = megapixels / (time.perf_counter() - start)
            bar.update(task, advance=1, speed=f"{speed:.2f} MP/s")
    seconds = time.perf_counter() - start
    before = f", {counts['complete']} complete before" if work.resume else ""
    text.say(
        f"{counts['normalized']} normalized, {counts['blank']} unchanged because blank, "
        f"{counts['failed'] + failed_before} failed{before}: {megapixels:.1f} MP in {seconds:.1f} s, written to {output}"
    )
    return counts["failed"]


def _report(outcome: FileOutcome, on_blank: str, console: Console) -> None:
    if outcome.status == "failed":
        text.complain("error", outcome.message, console)
    elif outcome.status == "blank" and on_blank == OnBlank.warn:
        text.complain("warning", f"unchanged: {outcome.message}", console)
