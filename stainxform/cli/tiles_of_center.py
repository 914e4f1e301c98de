"""What ``stainxform fit`` and ``stainxform calibrate`` share: the tiles of a center, and the file that is written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stainxform.cli.kinds import only_images, only_slides
from stainxform.cli.new_file import new_file
from stainxform.cli.path import path
from stainxform.cli.slides.options import Missing as MissingTiles
from stainxform.errors import ParameterError

if TYPE_CHECKING:
    from stainxform.io.sources import Tiles

__all__ = [
    "QC",
    "Center",
    "Force",
    "Images",
    "License",
    "MinTissue",
    "Missing",
    "Mpp",
    "MppOfSlide",
    "MppTolerance",
    "Output",
    "PerSlide",
    "QCOption",
    "Size",
    "Slides",
    "given",
    "model_file",
    "tiles_of",
]

_SUFFIX = ".safetensors"


class QC(StrEnum):
    """What happens to tiles that quality control flags."""

    warn = "warn"
    drop = "drop"
    off = "off"


Images = Annotated[
    list[str],
    typer.Argument(
        help="The center's tiles, or its slides with --slides: a folder (searched recursively), files, glob patterns.",
        metavar="IMAGES",
    ),
]
Output = Annotated[
    Path, typer.Option("--output", "-o", parser=path, help="The model file to write.", metavar="FILE.safetensors")
]
Center = Annotated[str, typer.Option(help="Name of the center, stored in the model file.")]
License = Annotated[str, typer.Option(help="License of the model, stored in the model file.")]
MinTissue = Annotated[
    float | None, typer.Option(help="Skip tiles with a smaller fraction of tissue, 0..1.", show_default="0.01")
]
QCOption = Annotated[
    QC, typer.Option(help="Quality control. warn: name unfit tiles; drop: leave them out, too; off: do not look.")
]
Slides = Annotated[bool, typer.Option("--slides", help="IMAGES are whole slides: draw tissue tiles from them.")]
PerSlide = Annotated[
    int | None, typer.Option(min=1, help="With --slides: tiles drawn from each slide.", show_default="64")
]
Size = Annotated[int | None, typer.Option(min=1, help="With --slides: side of a tile in pixels.", show_default="512")]
Mpp = Annotated[
    float | None, typer.Option(help="With --slides: micrometers per pixel of the tiles.", show_default="level 0")
]
MppTolerance = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="With --mpp: how much coarser a slide may be, as a fraction.", show_default="0.1"),
]
MppOfSlide = Annotated[
    float | None,
    typer.Option(
        help="With --slides: micrometers per pixel of level 0, if the files do not say, or are wrong.",
        show_default="what each file says",
    ),
]
Missing = Annotated[
    MissingTiles | None,
    typer.Option(
        help="With --slides: tiles that a file lacks. fail: the slide fails. white: they are glass.",
        show_default="fail",
    ),
]
Force = Annotated[bool, typer.Option("--force", "-f", help="Overwrite an existing output.")]


def given(**options: Any) -> dict[str, Any]:
    """The options that are not None: the others keep the library's default."""
    return {name: value for name, value in options.items() if value is not None}


def tiles_of(images: list[str], slides: bool, sampling: dict[str, Any]) -> Tiles:
    """The tiles of a center, or tiles drawn from its slides."""
    from stainxform.io.sources import Tiles

    if slides:
        from stainxform.slides import SlideTiles

        with only_slides(images, "leave out --slides"):
            return Tiles(SlideTiles(images, **sampling))
    if sampling:
        raise ParameterError(f"--{next(iter(sampling)).replace('_', '-')} is for slides; pass --slides, too")
    with only_images(images, "pass --slides"):
        return Tiles(images)


@contextmanager
def model_file(output: Path, force: bool) -> Iterator[None]:
    """A block in which a model file is made: :func:`stainxform.cli.new_file.new_file`."""
    if output.suffix != _SUFFIX:
        raise ParameterError(f"the output {output} must end in {_SUFFIX}")
    with new_file(output, force):
        yield
