"""``stainxform slide`` and ``stainxform tiles``: whole slides in; normalized pyramids, or tiles, out."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stainxform.cli import text
from stainxform.errors import ParameterError

if TYPE_CHECKING:
    from stainxform.io.outputs import Job
    from stainxform.pipeline import Work
    from stainxform.pipeline.product import Product

THREADS = 2
"""Threads for a slide on a cluster, whose machines we do not know."""


class Layout(StrEnum):
    """How levels are stored."""

    dual = "dual"
    ome = "ome"
    generic = "generic"
    svs = "svs"


class Subsampling(StrEnum):
    """Of JPEG's color differences."""

    none = "4:4:4"
    half = "4:2:2"
    quarter = "4:2:0"


class Background(StrEnum):
    """What becomes of tiles without tissue."""

    keep = "keep"
    normalize = "normalize"


class Statistics(StrEnum):
    """What a map is estimated from."""

    slide = "slide"
    tile = "tile"


class Reader(StrEnum):
    """Packages that read pixels."""

    auto = "auto"
    tifffile = "tifffile"
    cucim = "cucim"
    openslide = "openslide"


class TileSet(StrEnum):
    """Tiles instead of a pyramid."""

    png = "png"
    zarr = "zarr"


class TileFormat(StrEnum):
    """File type of tiles."""

    png = "png"
    jpg = "jpg"
    zarr = "zarr"


Inputs = Annotated[
    list[str],
    typer.Argument(help="Slides, folders to search for them (their structure is kept), glob patterns.", metavar="IN"),
]
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for the outputs.", metavar="DIR")]
ReaderOption = Annotated[Reader, typer.Option(help="Package that reads the pixels.")]
Device = Annotated[str, typer.Option(help="For networks: auto, cpu, cuda.")]
StatisticsOption = Annotated[
    Statistics, typer.Option(help="slide: one map, no seams. tile: each tile of 512 pixels its own, as papers do it.")
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", "-j", min=1, help="Threads that work on one slide.", show_default="one per CPU; 2 with a scheduler"
    ),
]
Names = Annotated[
    bool, typer.Option("--names", help="Names of files into the records, too; they may identify patients.")
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Keep complete outputs; refuse partial ones of another model or settings.")
]
Force = Annotated[bool, typer.Option("--force", "-f", help="Remove complete outputs and make them again.")]
Scheduler = Annotated[
    str, typer.Option(help="Address of a Dask scheduler, or: local.", metavar="tcp://HOST:PORT", show_default="none")
]
Resources = Annotated[
    list[str] | None,
    typer.Option("--resource", help="What a slide takes of a Dask worker, such as GPU=1.", metavar="NAME=NUMBER"),
]
Shard = Annotated[str, typer.Option(help="Only every n-th slide, from the i-th: for job arrays.", metavar="i/n")]


def slide(
    inputs: Inputs,
    model: Annotated[Path, typer.Option("--model", "-m", help="A model file, made with: stainxform fit.")],
    output: Output,
    layout: Annotated[
        Layout, typer.Option(help="dual: OME-TIFF that every reader sees all levels of. svs claims Aperio as maker.")
    ] = Layout.dual,
    quality: Annotated[int, typer.Option(min=1, max=100, help="Of JPEG.")] = 90,
    subsampling: Annotated[Subsampling, typer.Option(help="4:2:0 is smaller, and less faithful.")] = Subsampling.none,
    lossless: Annotated[
        bool, typer.Option("--lossless", help="Deflate instead of JPEG: several times larger.")
    ] = False,
    background: Annotated[
        Background, typer.Option(help="keep: tiles without tissue stay as they are; their borders may show.")
    ] = Background.normalize,
    statistics: StatisticsOption = Statistics.slide,
    tiles: Annotated[
        TileSet | None, typer.Option(help="Tissue tiles of 512 pixels instead of a pyramid; see: stainxform tiles.")
    ] = None,
    reader: ReaderOption = Reader.auto,
    device: Device = "auto",
    workers: Workers = None,
    names: Names = False,
    resume: Resume = False,
    force: Force = False,
    shard: Shard = "1/1",
    scheduler: Scheduler = "",
    resource: Resources = None,
) -> None:
    """Normalize whole slides: a pyramid of each, and a JSON record beside it.

    A slide that fails is reported and the others go on; the exit code is then 1. After an interruption the same command
    goes on where it was; with --resume it also passes over what is complete.
    """
    from stainxform.pipeline import Pyramid, TissueTiles
    from stainxform.slides import PyramidOptions

    product: Product = (
        TissueTiles(format=tiles)
        if tiles
        else Pyramid(PyramidOptions(str(layout), None, quality, str(subsampling), lossless), str(background))
    )
    work = _work(product, model, statistics, reader, device, workers or (THREADS if scheduler else 0), names)
    _do(inputs, output, work, shard, resume=resume, force=force, scheduler=scheduler, resources=_amounts(resource))


def tiles(
    inputs: Inputs,
    output: Output,
    model: Annotated[
        Path | None, typer.Option("--model", "-m", help="A model file.", show_default="not normalized")
    ] = None,
    size: Annotated[int, typer.Option(min=1, help="Side of a tile, in pixels.")] = 512,
    mpp: Annotated[
        float | None,
        typer.Option(help="Micrometers per pixel; reduced from the next finer level.", show_default="level 0"),
    ] = None,
    level: Annotated[int | None, typer.Option(min=0, help="Level of the slide instead.", show_default="0")] = None,
    min_tissue: Annotated[float, typer.Option(min=0, max=1, help="Least fraction of tissue in a tile.")] = 0.5,
    format: Annotated[TileFormat, typer.Option(help="zarr: one array for each slide.")] = TileFormat.png,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many of a slide, drawn at random.", show_default="all")
    ] = None,
    statistics: StatisticsOption = Statistics.slide,
    reader: ReaderOption = Reader.auto,
    device: Device = "auto",
    workers: Workers = None,
    names: Names = False,
    resume: Resume = False,
    force: Force = False,
    shard: Shard = "1/1",
    scheduler: Scheduler = "",
    resource: Resources = None,
) -> None:
    """Cut tissue tiles out of whole slides, for training, normalized if a model is given.

    A folder for each slide, with a table of where its tiles are from (tiles.csv, in pixels of level 0). After an
    interruption the same command goes on with the tiles that are missing.
    """
    from stainxform.pipeline import TissueTiles

    product = TissueTiles(size, mpp, level, min_tissue, str(format), limit)
    work = _work(product, model, statistics, reader, device, workers or (THREADS if scheduler else 0), names)
    _do(inputs, output, work, shard, resume=resume, force=force, scheduler=scheduler, resources=_amounts(resource))


def _work(
    product: Product,
    model: Path | None,
    statistics: Statistics,
    reader: Reader,
    device: str,
    workers: int,
    names: bool,
) -> Work:
    from stainxform._native.native import available_cpus
    from stainxform.pipeline import ModelFile, Work

    found = None if model is None else ModelFile.at(model)
    return Work(product, found, str(statistics), str(reader), device, workers or available_cpus(), names)


def _amounts(given: Sequence[str] | None) -> dict[str, float] | None:
    amounts = {}
    for entry in given or ():
        name, _, amount = entry.partition("=")
        try:
            amounts[name] = float(amount)
        except ValueError:
            raise ParameterError(f"--resource takes NAME=NUMBER, got {entry!r}") from None
    return amounts or None


def _do(inputs: list[str], output: Path, work: Work, shard: str, **options: Any) -> None:
    """Plan, work, show how it goes, and sum up; exit code 1 if a slide failed."""
    from stainxform.pipeline import plan_slides, run

    logging.getLogger("tifffile").addHandler(logging.NullHandler())  # our errors say the same, with the slide
    jobs = plan_slides(inputs, output, work.product, shard)
    output.mkdir(parents=True, exist_ok=True)
    counts: Counter[str] = Counter()
    start = time.perf_counter()
    with text.progress("{task.fields[slides]}", "{task.fields[speed]}") as bar, text.plain_warnings():
        shown = _Shown(bar, jobs)
        with closing(run(jobs, work, progress=shown.progress, **options)) as outcomes:
            for outcome in outcomes:
                counts[outcome.status] += 1
                shown.done(outcome.job, outcome.pixels)
                if outcome.status == "failed":
                    text.complain("error", outcome.message, bar.console)
    seconds = time.perf_counter() - start
    text.say(
        f"{counts['written']} written, {counts['complete']} complete before, {counts['failed']} failed: "
        f"{shown.pixels / 1e6:.1f} MP in {seconds:.1f} s, written to {output}"
    )
    if counts["failed"]:
        raise typer.Exit(1)


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
