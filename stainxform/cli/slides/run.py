"""The work of the commands for whole slides, and how it is shown."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from stainxform.cli import text
from stainxform.cli.kinds import only_slides, types_of_images_alone
from stainxform.errors import ParameterError

if TYPE_CHECKING:
    from stainxform.io.outputs import Job
    from stainxform.pipeline import Recipe
    from stainxform.pipeline.output import OutputKind

__all__ = ["CLUSTER_THREADS", "recipe_of", "run_and_show"]

_IMAGES = "image files are normalized with: stainxform apply"
CLUSTER_THREADS = 2
"""Threads for a slide on a cluster, whose machines we do not know."""


def recipe_of(
    kind: OutputKind,
    model: Path | None,
    statistics: str,
    reader: str,
    device: str,
    workers: int | None,
    names: bool,
    scheduler: str,
    group: str | None,
    mpp_of_slide: float | None,
    missing: str,
) -> Recipe:
    """The recipe that the options stand for."""
    from stainxform._native.native import available_cpus
    from stainxform.pipeline import ModelFile, Recipe

    threads = workers or (CLUSTER_THREADS if scheduler else available_cpus())
    found = None if model is None else ModelFile.at(model)
    return Recipe(kind, found, str(statistics), reader, device, threads, names, group, mpp_of_slide, missing)


def run_and_show(
    inputs: list[str],
    output: Path,
    recipe: Recipe,
    shard: str,
    resume: bool,
    force: bool,
    scheduler: str,
    resource: Sequence[str] | None,
) -> None:
    """Plan, work, show how it goes, and sum up; exit code 1 if a slide failed."""
    from stainxform.io.atomic import check_writable, make_folder
    from stainxform.pipeline import plan_slides, run

    resources = _amounts(resource)
    logging.getLogger("tifffile").addHandler(logging.NullHandler())  # our errors say the same, with the slide
    with only_slides(inputs, _IMAGES):
        jobs = plan_slides(inputs, output, recipe.output, shard)
    make_folder(output)
    check_writable(output / "record.json")
    counts: Counter[str] = Counter()
    records: list[dict[str, Any]] = []
    start = time.perf_counter()
    with text.progress("{task.fields[slides]}", "{task.fields[speed]}") as bar:
        shown = _Shown(bar, jobs)
        options: dict[str, Any] = {"resume": resume, "force": force, "scheduler": scheduler, "resources": resources}
        with closing(run(jobs, recipe, progress=shown.progress, **options)) as outcomes, _told_what_next():
            for outcome in outcomes:
                counts[outcome.status] += 1
                if outcome.record:
                    records.append(outcome.record)
                shown.done(outcome.job, outcome.pixels)
                if outcome.status == "failed":
                    image = outcome.job.source.suffix.lower() in types_of_images_alone()
                    text.complain("error", f"{outcome.message}{f'; {_IMAGES}' if image else ''}", bar.console)
    seconds = time.perf_counter() - start
    text.say(
        f"{counts['written']} written, {counts['complete']} complete before, {counts['failed']} failed: "
        f"{shown.pixels / 1e6:.1f} MP in {seconds:.1f} s, written to {output}"
    )
    for remark in _remarks(records):
        text.complain("warning", remark)
    if counts["failed"]:
        raise typer.Exit(1)


@contextmanager
def _told_what_next() -> Iterator[None]:
    """A block after whose interruption the user is told how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            "interrupted; what is done is kept, and the same command with --resume goes on"
        ) from None


def _remarks(records: Sequence[dict[str, Any]]) -> list[str]:
    """What the user should know of the slides that were written, or complete before."""
    from stainxform.slides.sampling import remarks

    if not records:
        return []
    settings = records[0]["settings"]
    coarser = [record["made_from"].get("coarser", 0.0) for record in records]
    lacking = [record["source"]["missing_tiles"] or 0 for record in records] if settings["missing"] == "white" else []
    return remarks(coarser, settings.get("mpp"), lacking)


def _amounts(given: Sequence[str] | None) -> dict[str, float] | None:
    amounts = {}
    for entry in given or ():
        name, _, amount = entry.partition("=")
        try:
            amounts[name] = float(amount)
        except ValueError:
            raise ParameterError(f"--resource takes NAME=NUMBER, got {entry!r}") from None
    return amounts or None


class _Shown:
    """The progress bar: bytes of the slides that are done, so that none has to be opened to know how long it takes."""

    def __init__(self, bar: Any, jobs: Sequence[Job]):
        self.pixels = 0
        self._bar, self._start = bar, time.perf_counter()
        self._bytes = {job: max(1, job.source.stat().st_size) for job in jobs}
        self._slides = self._finished = 0
        self._task = bar.add_task("normalizing", total=sum(self._bytes.values()), speed="", slides=self._count())

    def progress(self, job: Job, done: int, pixels: int) -> None:
        """A slide has come so far."""
        self._show(self._bytes[job] * done / pixels, done)

    def done(self, job: Job, pixels: int) -> None:
        """A slide has ended, well or not."""
        self.pixels += pixels
        self._slides += 1
        self._finished += self._bytes[job]
        self._show(0, 0)

    def _show(self, partly: float, pixels: int) -> None:
        speed = (self.pixels + pixels) / 1e6 / (time.perf_counter() - self._start)
        self._bar.update(self._task, completed=self._finished + partly, speed=f"{speed:.1f} MP/s", slides=self._count())

    def _count(self) -> str:
        return f"{self._slides}/{len(self._bytes)} slides"
