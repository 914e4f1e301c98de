"""``stainxform tiles``: whole slides in, tiles with tissue out."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from stainxform.cli.path import path
from stainxform.cli.slides import options
from stainxform.cli.slides.run import recipe_of, run_and_show
from stainxform.cli.tiles_of_center import given

__all__ = ["TileFormat", "tiles"]


class TileFormat(StrEnum):
    """File type of tiles."""

    png = "png"
    jpg = "jpg"
    zarr = "zarr"


def tiles(
    inputs: options.Inputs,
    output: options.Output,
    model: Annotated[
        Path | None, typer.Option("--model", "-m", parser=path, help="A model file.", show_default="not normalized")
    ] = None,
    size: Annotated[int, typer.Option(min=1, help="Side of a tile, in pixels.")] = 512,
    mpp: Annotated[
        float | None,
        typer.Option(
            help="Micrometers per pixel of the tiles; they are reduced from the next finer level.",
            show_default="level 0",
        ),
    ] = None,
    mpp_tolerance: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="How much coarser than --mpp a slide may be, as a fraction.", show_default="0.1"
        ),
    ] = None,
    level: Annotated[
        int | None, typer.Option(min=0, help="Level of the slide, instead of --mpp.", show_default="0")
    ] = None,
    min_tissue: Annotated[float, typer.Option(min=0, max=1, help="Smallest fraction of tissue in a tile, 0..1.")] = 0.5,
    format: Annotated[TileFormat, typer.Option(help="zarr: one array for each slide.")] = TileFormat.png,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many tiles of a slide, drawn at random.", show_default="all")
    ] = None,
    statistics: options.StatisticsOption = options.Statistics.slide,
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
    """Cut tissue tiles out of whole slides, for training, normalized if a model is given.

    A folder for each slide, with a table of where its tiles are from (tiles.csv, in pixels of level 0). After an
    interruption the same command continues with the tiles that are missing.
    """
    from stainxform.pipeline import TissueTiles

    kind = TissueTiles(size, mpp, level, min_tissue, str(format), limit, **given(mpp_tolerance=mpp_tolerance))
    recipe = recipe_of(
        kind, model, statistics, reader, device, workers, names, scheduler, group, mpp_of_slide, str(missing)
    )
    run_and_show(inputs, output, recipe, shard, resume, force, scheduler, resource)
