"""The options that ``stainxform slide`` and ``stainxform tiles`` share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from stainxform.cli.path import path

__all__ = [
    "Device",
    "Force",
    "Group",
    "Inputs",
    "Missing",
    "MissingOption",
    "MppOfSlide",
    "Names",
    "Output",
    "Reader",
    "Resources",
    "Resume",
    "Scheduler",
    "Shard",
    "Statistics",
    "StatisticsOption",
    "Workers",
]


class Statistics(StrEnum):
    """What a map is estimated from."""

    slide = "slide"
    tile = "tile"


class Missing(StrEnum):
    """What is done with tiles that a file does not hold."""

    fail = "fail"
    white = "white"


MppOfSlide = Annotated[
    float | None,
    typer.Option(
        help="Micrometers per pixel of level 0, if the files do not say, or are wrong.",
        show_default="what each file says",
    ),
]
MissingOption = Annotated[
    Missing,
    typer.Option(
        "--missing", help="Tiles that a file lacks. fail: the slide fails. white: they are glass, and counted."
    ),
]
Inputs = Annotated[
    list[str],
    typer.Argument(help="Slides, folders to search for them (their structure is kept), glob patterns.", metavar="IN"),
]
Output = Annotated[Path, typer.Option("--output", "-o", parser=path, help="Folder for the outputs.", metavar="DIR")]
Reader = Annotated[
    str,
    typer.Option(help="auto, or the name of a reader; a wrong name is answered with all names.", metavar="NAME"),
]
Device = Annotated[str, typer.Option(help="For networks: auto, cpu, cuda.")]
StatisticsOption = Annotated[
    Statistics,
    typer.Option(help="slide: one map, no seams. tile: a map for each tile of 512 pixels, as in most papers."),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", "-j", min=1, help="Threads that work on one slide.", show_default="one per CPU; 2 with a scheduler"
    ),
]
Names = Annotated[
    bool, typer.Option("--names", help="Write names of files into the records; they may identify patients.")
]
Group = Annotated[
    str | None,
    typer.Option(
        help="The group of the calibration that all slides are from.",
        show_default="that of each slide's file name, or the center",
    ),
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
    typer.Option("--resource", help="What one slide takes of a Dask worker, such as GPU=1.", metavar="NAME=NUMBER"),
]
Shard = Annotated[str, typer.Option(help="Only every n-th slide, from the i-th: for job arrays.", metavar="i/n")]
