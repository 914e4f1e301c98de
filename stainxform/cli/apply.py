"""``stainxform apply``: normalize files and folders with a model file."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stainxform.cli import text

if TYPE_CHECKING:
    from rich.console import Console

    from stainxform.cli.batch import FileOutcome
    from stainxform.io.modelfile import ModelState
    from stainxform.io.outputs import Job

__all__ = ["Format", "OnBlank", "apply"]

_SHOWN = 10
"""Existing outputs that are named one by one."""


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
    model: Annotated[Path, typer.Option("--model", "-m", help="A model file, made with: stainxform fit.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the normalized images.", metavar="DIR")],
    format: Annotated[
        Format, typer.Option(help="keep: png, jpg and tif stay what they are, others become png.")
    ] = Format.keep,
    workers: Annotated[
        int | None,
        typer.Option("--workers", "-j", min=1, help="Processes, one thread each.", show_default="one per CPU"),
    ] = None,
    on_blank: Annotated[
        OnBlank, typer.Option(help="A tile without tissue: write it unchanged, also say so, or count it as failed.")
    ] = OnBlank.keep,
    force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite existing outputs.")] = False,
) -> None:
    """Normalize images: make them look like the center that the model was fitted on.

    A file that cannot be read or written is reported, the others are still done, and the exit code is 1.
    """
    from stainxform._native.native import available_cpus
    from stainxform.cli.batch import MAX_WORKERS, plan_images
    from stainxform.io.modelfile import read_model

    state = read_model(model)
    planned = plan_images(inputs, output, "" if format is Format.keep else f".{format}")
    jobs = planned if force else _without_existing(planned)
    output.mkdir(parents=True, exist_ok=True)
    count = min(workers or min(available_cpus(), MAX_WORKERS), len(jobs))
    failed = len(planned) - len(jobs)
    if jobs:
        failed += _work(jobs, state, count, on_blank, output, failed)
    if failed:
        raise typer.Exit(1)


def _without_existing(jobs: Sequence[Job]) -> list[Job]:
    """The jobs whose output does not exist; the others are reported."""
    existing = [job for job in jobs if os.path.lexists(job.target)]
    for job in existing[:_SHOWN]:
        text.complain("error", f"{job.target} exists; pass --force to overwrite it")
    if len(existing) > _SHOWN:
        text.complain("error", f"... and {len(existing) - _SHOWN} more outputs exist")
    known = set(existing)
    return [job for job in jobs if job not in known]


def _work(
    jobs: Sequence[Job], state: ModelState, workers: int, on_blank: OnBlank, output: Path, failed_before: int
) -> int:
    """Do the jobs, show how they go, and sum up; the number that failed."""
    from stainxform.cli.batch import normalize_files

    counts: Counter[str] = Counter()
    megapixels, start = 0.0, time.perf_counter()
    with (
        text.progress("{task.completed}/{task.total} files", "{task.fields[speed]}") as bar,
        closing(normalize_files(jobs, state, workers, strict=on_blank is OnBlank.error)) as outcomes,
    ):
        task = bar.add_task("normalizing", total=len(jobs), speed="")
        for outcome in outcomes:
            counts[outcome.status] += 1
            megapixels += outcome.pixels / 1e6
            _report(outcome, on_blank, bar.console)
            speed = megapixels / (time.perf_counter() - start)
            bar.update(task, advance=1, speed=f"{speed:.2f} MP/s")
    seconds = time.perf_counter() - start
    text.say(
        f"{counts['normalized']} normalized, {counts['blank']} unchanged because blank, "
        f"{counts['failed'] + failed_before} failed: {megapixels:.1f} MP in {seconds:.1f} s, written to {output}"
    )
    return counts["failed"]


def _report(outcome: FileOutcome, on_blank: OnBlank, console: Console) -> None:
    if outcome.status == "failed":
        text.complain("error", outcome.message, console)
    elif outcome.status == "blank" and on_blank is OnBlank.warn:
        text.complain("warning", f"unchanged: {outcome.message}", console)
