"""``stainxform slide``: whole slides in, normalized pyramids out."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stainxform.cli.path import path
from stainxform.cli.slides import options
from stainxform.cli.slides.run import recipe_of, run_and_show

if TYPE_CHECKING:
    from stainxform.pipeline.output import OutputKind

__all__ = ["Background", "Layout", "Subsampling", "TileSet", "slide"]


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


class TileSet(StrEnum):
    """Tiles instead of a pyramid."""

    png = "png"
    zarr = "zarr"


def slide(
    inputs: options.Inputs,
    model: Annotated[
        Path, typer.Option("--model", "-m", parser=path, help="A model file of stainxform fit or calibrate.")
    ],
    output: options.Output,
    layout: Annotated[
        Layout, typer.Option(help="dual: OME-TIFF, all levels in every reader. svs: claims Aperio as maker.")
    ] = Layout.dual,
    quality: Annotated[int, typer.Option(min=1, max=100, help="Quality of JPEG.")] = 90,
    subsampling: Annotated[
        Subsampling, typer.Option(help="Of JPEG's colors; 4:2:0 is smaller, and less faithful.")
    ] = Subsampling.none,
    lossless: Annotated[
        bool, typer.Option("--lossless", help="Deflate instead of JPEG: several times larger.")
    ] = False,
    background: Annotated[
        Background, typer.Option(help="keep: tiles without tissue stay as they are; their borders may show.")
    ] = Background.normalize,
    statistics: options.StatisticsOption = options.Statistics.slide,
    tiles: Annotated[
        TileSet | None, typer.Option(help="Tissue tiles of 512 pixels instead of a pyramid; see: stainxform tiles.")
    ] = None,
    reader: options.Reader = "auto",
    device: options.Device = "auto",
    workers: options.Workers = None,
    mpp_of_slide: options.MppOfSlide = None,
    missing: options.MissingOption = options.Missing.fail,
    names: options.Names = False,
    group: options.Group = None,
    resume: options.Resume = False,
    force: options.Force = False,
    shard: options.Shard = "1/1",
    scheduler: options.Scheduler = "",
    resource: options.Resources = None,
) -> None:
    """Normalize whole slides: a pyramid of each, and a JSON record beside it.

    A slide that fails is reported, the others are still done, and the exit code is 1. After an interruption the same
    command continues where it stopped; with --resume it also passes over what is complete.
    """
    from stainxform.pipeline import Pyramid, TissueTiles
    from stainxform.slides import PyramidOptions

    kind: OutputKind = (
        TissueTiles(format=tiles)
        if tiles
        else Pyramid(PyramidOptions(str(layout), None, quality, str(subsampling), lossless), str(background))
    )
    recipe = recipe_of(
        kind, model, statistics, reader, device, workers, names, scheduler, group, mpp_of_slide, str(missing)
    )
    run_and_show(inputs, output, recipe, shard, resume, force, scheduler, resource)
