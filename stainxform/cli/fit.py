"""``stainxform fit``: from a folder of tiles to a model file."""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stainxform.cli import text
from stainxform.cli import tiles_of_center as shared
from stainxform.cli.path import path
from stainxform.errors import ParameterError

if TYPE_CHECKING:
    from stainxform.normalizers.base import Normalizer

__all__ = ["fit"]


def fit(
    images: shared.Images,
    output: shared.Output,
    method: Annotated[str, typer.Option(help="A method; stainxform methods lists them.")] = "transport",
    center: shared.Center = "",
    license: shared.License = "",
    min_tissue: shared.MinTissue = None,
    qc: shared.QCOption = shared.QC.warn,
    slides: shared.Slides = False,
    per_slide: shared.PerSlide = None,
    size: shared.Size = None,
    mpp: shared.Mpp = None,
    mpp_tolerance: shared.MppTolerance = None,
    mpp_of_slide: shared.MppOfSlide = None,
    missing: shared.Missing = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of the method; may be given many times.", metavar="KEY=VALUE"),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Training steps (methods that train).")] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same model (methods that train).")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, ... (methods that train).")] = None,
    workdir: Annotated[
        Path | None,
        typer.Option(parser=path, help="Folder for checkpoint and log (methods that train).", metavar="DIR"),
    ] = None,
    resume: Annotated[
        bool | None,
        typer.Option(
            "--resume/--no-resume", help="Continue from the checkpoint in the work folder.", show_default="resume"
        ),
    ] = None,
    force: shared.Force = False,
) -> None:
    """Fit a model of one center on its tiles, or its slides. Other centers' images are not needed."""
    with shared.model_file(output, force):
        folder = None if workdir is None else str(workdir)
        named = shared.given(steps=steps, seed=seed, device=device, workdir=folder, resume=resume)
        parameters = _parameters(settings or [], named)
        about = {"center": center, "license": license, "qc": qc.value, **shared.given(min_tissue=min_tissue)}
        sampling = shared.given(
            per_slide=per_slide,
            size=size,
            mpp=mpp,
            mpp_tolerance=mpp_tolerance,
            mpp_of_slide=mpp_of_slide,
            missing=missing,
        )
        start = time.perf_counter()
        tiles = shared.tiles_of(images, slides, sampling)
        normalizer = _fit(tiles, method, about, parameters)
        total = len(tiles)
        normalizer.save(output)
        seconds, used = time.perf_counter() - start, normalizer.info.tiles
        text.say(
            f"fitted {method} on {used} of {total} tiles ({total - used} skipped) in {seconds:.1f} s, written to {output}"
        )


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
