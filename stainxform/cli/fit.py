"""``stainxform fit``: from a folder of tiles to a model file."""

from __future__ import annotations

import inspect
import json
import os
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stainxform.cli import text
from stainxform.errors import ParameterError

if TYPE_CHECKING:
    from stainxform.normalizers.base import Normalizer

__all__ = ["QC", "fit"]

_SUFFIX = ".safetensors"


class QC(StrEnum):
    """What happens to tiles that quality control flags."""

    warn = "warn"
    drop = "drop"
    off = "off"


def fit(
    images: Annotated[
        list[str],
        typer.Argument(
            help="The center's tiles, or its slides with --slides: a folder (searched recursively), files, glob patterns.",
            metavar="IMAGES",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The model file to write.", metavar="FILE.safetensors")
    ],
    method: Annotated[str, typer.Option(help="A method; list them with: stainxform methods.")] = "transport",
    center: Annotated[str, typer.Option(help="Name of the center, stored in the model file.")] = "",
    license: Annotated[str, typer.Option(help="License of the model, stored in the model file.")] = "",
    min_tissue: Annotated[
        float | None, typer.Option(help="Skip tiles with a smaller fraction of tissue, 0..1.", show_default="0.01")
    ] = None,
    qc: Annotated[
        QC, typer.Option(help="Quality control of the tiles: say what it finds, also drop these tiles, or do not look.")
    ] = QC.warn,
    slides: Annotated[
        bool, typer.Option("--slides", help="IMAGES are whole slides: draw tissue tiles from them.")
    ] = False,
    per_slide: Annotated[
        int | None, typer.Option(min=1, help="With --slides: tiles drawn from each.", show_default="64")
    ] = None,
    size: Annotated[
        int | None, typer.Option(min=1, help="With --slides: side of a tile in pixels.", show_default="512")
    ] = None,
    mpp: Annotated[
        float | None, typer.Option(help="With --slides: micrometers per pixel of the tiles.", show_default="level 0")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of the method; may be given many times.", metavar="KEY=VALUE"),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Training steps (methods that train).")] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same model (methods that train).")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, ... (methods that train).")] = None,
    workdir: Annotated[
        str | None, typer.Option(help="Folder for checkpoint and log (methods that train).", metavar="DIR")
    ] = None,
    resume: Annotated[
        bool | None,
        typer.Option(
            "--resume/--no-resume", help="Continue from the checkpoint in the work folder.", show_default="resume"
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite an existing output.")] = False,
) -> None:
    """Fit a model of one center on its tiles, or its slides. Other centers' images are not needed."""
    from stainxform.io.sources import Tiles

    _check_output(output, force)
    given = {"steps": steps, "seed": seed, "device": device, "workdir": workdir, "resume": resume}
    parameters = _parameters(settings or [], {name: value for name, value in given.items() if value is not None})
    about: dict[str, Any] = {"center": center, "license": license, "qc": qc.value}
    if min_tissue is not None:
        about["min_tissue"] = min_tissue
    sampling = {
        name: value for name, value in (("per_slide", per_slide), ("size", size), ("mpp", mpp)) if value is not None
    }
    start = time.perf_counter()
    with text.plain_warnings():
        tiles = Tiles(_tiles(images, slides, sampling))
        normalizer = _fit(tiles, method, about, parameters)
    total = len(tiles)
    normalizer.save(output)
    seconds, used = time.perf_counter() - start, normalizer.info.tiles
    text.say(
        f"fitted {method} on {used} of {total} tiles ({total - used} skipped) in {seconds:.1f} s, written to {output}"
    )


def _tiles(images: list[str], slides: bool, sampling: dict[str, Any]) -> Sequence[Any]:
    if slides:
        from stainxform.slides import SlideTiles

        return SlideTiles(images, **sampling)
    if sampling:
        raise ParameterError(f"--{next(iter(sampling)).replace('_', '-')} is for slides; pass --slides, too")
    return images


def _check_output(output: Path, force: bool) -> None:
    """Whatever could keep the model from being saved is said before the work, not after it."""
    if output.suffix != _SUFFIX:
        raise ParameterError(f"the output {output} must end in {_SUFFIX}")
    if output.is_dir():
        raise ParameterError(f"the output {output} is a folder; give a file name")
    if os.path.lexists(output) and not force:
        raise ParameterError(f"{output} exists; pass --force to overwrite it")
    output.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(output.parent, os.W_OK):
        raise ParameterError(f"the folder {output.parent} cannot be written to; choose another one")


def _parameters(settings: Sequence[str], given: dict[str, Any]) -> dict[str, Any]:
    """Settings of the method, from ``--set`` and from the options that have a name of their own."""
    from stainxform import fit_center

    parameters = dict(given)
    for setting in settings:
        name, separator, value = setting.partition("=")
        if not (name and separator):
            raise ParameterError(f"--set takes KEY=VALUE, got {setting!r}")
        if name in parameters:
            raise ParameterError(f"the setting {name!r} is given twice")
        if name in inspect.signature(fit_center).parameters:
            raise ParameterError(f"{name!r} is no setting of a method; see: stainxform fit --help")
        parameters[name] = _json_or_text(value)
    return parameters


def _json_or_text(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _fit(images: Sequence[Any], method: str, about: dict[str, Any], parameters: dict[str, Any]) -> Normalizer:
    from stainxform import fit_center

    try:
        return fit_center(images, method, **about, **parameters)
    except TypeError as error:
        if not parameters:
            raise
        raise ParameterError(f"a setting of {method} has a value of the wrong type ({error})") from error
