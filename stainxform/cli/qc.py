"""``stainxform qc``: which tiles of a center are unfit to fit on, and why."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from stainxform.cli import text
from stainxform.cli.new_file import new_file
from stainxform.errors import ParameterError

__all__ = ["qc"]


def qc(
    images: Annotated[
        list[str],
        typer.Argument(
            help="The center's tiles: a folder (searched recursively), files, glob patterns.", metavar="IMAGES"
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write a contact sheet of the flagged tiles.", metavar="SHEET.png"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON instead.")] = False,
    force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite an existing sheet.")] = False,
) -> None:
    """Look for unfit tiles: blank, black, inked, saturated, blurred, folded, stained unlike the rest of the center.

    Nothing is deleted or moved. On the sheet are numbers and reasons, no names of files.
    """
    from stainxform.io.sources import Tiles, files_of
    from stainxform.quality import check_quality, write_sheet

    if output is not None:
        _check_sheet(output)
    with new_file(output, force) if output is not None else nullcontext():
        files = [file for where in images for file in files_of(where)]
        tiles = Tiles(files)
        report = check_quality(tiles)
        if as_json:
            named = [{"file": str(files[tile.index])} | asdict(tile) for tile in report.tiles]
            typer.echo(json.dumps({"limits": asdict(report.limits), "tiles": named}, indent=1, allow_nan=False))
        else:
            for tile in report.flagged:
                for fault, reason in tile.reasons.items():
                    text.say(f"{tile.index}  {files[tile.index]}  {fault}: {reason}")
            text.say(report.summary)
        if output is not None:
            shown = write_sheet(output, tiles, report)
            told = f"{shown} of {len(report.flagged)} flagged tiles" if shown else "nothing was flagged: no sheet"
            text.say(f"{told} written to {output}" if shown else told, text.err())


def _check_sheet(output: Path) -> None:
    if output.suffix.lower() not in (".png", ".jpg", ".tif"):
        raise ParameterError(f"the sheet {output} must end in .png, .jpg or .tif")
    if not output.parent.is_dir():
        raise ParameterError(f"the folder {output.parent} does not exist")
