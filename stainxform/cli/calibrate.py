"""``stainxform calibrate``: from a model of our center and another center's tiles to the map between them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stainxform.cli import text
from stainxform.cli import tiles_of_center as shared
from stainxform.cli.path import path
from stainxform.errors import NotEnoughTissueError, ParameterError

if TYPE_CHECKING:
    from stainxform.normalizers.calibration import Calibration

__all__ = ["Groups", "calibrate"]

Groups = Annotated[
    str | None,
    typer.Option(
        help='Slide or patient of each file: folder (that it is in), file (its name), or a pattern: "{group}_*.png".',
        metavar="folder|file|PATTERN",
        show_default=False,
    ),
]


def calibrate(
    model: Annotated[
        Path,
        typer.Argument(parser=path, help="The model file of our center, made with: stainxform fit.", metavar="MODEL"),
    ],
    images: shared.Images,
    output: shared.Output,
    groups: Groups = None,
    center_weight: Annotated[
        str | None,
        typer.Option(
            help="How much the map of a group is that of the center (1) or of the group alone (0), or auto.",
            metavar="auto|0..1",
            show_default="auto",
        ),
    ] = None,
    strength: Annotated[
        float | None,
        typer.Option(help="How far to go from the image (0) to the normalized image (1).", show_default="1"),
    ] = None,
    keep_groups: Annotated[
        bool,
        typer.Option(
            "--keep-groups", help="Write names and maps of the groups into the file; names may identify patients."
        ),
    ] = False,
    keep_colors: Annotated[
        bool,
        typer.Option(
            "--keep-colors", help="Write the counted colors of the tiles into the file: more tiles can be added later."
        ),
    ] = False,
    center: Annotated[str, typer.Option(help="Name of the other center, stored in the file.")] = "",
    license: Annotated[str, typer.Option(help="License of the calibration, stored in the file.")] = "",
    min_tissue: Annotated[
        float | None,
        typer.Option(help="Skip tiles with a smaller fraction of tissue, 0..1.", show_default="the model's"),
    ] = None,
    qc: shared.QCOption = shared.QC.warn,
    slides: Annotated[
        bool, typer.Option("--slides", help="IMAGES are whole slides, each a group: draw tissue tiles from them.")
    ] = False,
    per_slide: shared.PerSlide = None,
    size: shared.Size = None,
    mpp: shared.Mpp = None,
    mpp_tolerance: shared.MppTolerance = None,
    mpp_of_slide: shared.MppOfSlide = None,
    missing: shared.Missing = None,
    add_to: Annotated[
        Path | None,
        typer.Option(
            parser=path,
            help="A calibration of the same model, to which these tiles are added.",
            metavar="FILE.safetensors",
        ),
    ] = None,
    force: shared.Force = False,
) -> None:
    """Calibrate another center: read its tiles once, and write the map that makes them look like ours.

    The file is used like any model: stainxform apply, slide, evaluate, and the transforms of all hosts.
    """
    import stainxform as sx
    from stainxform.normalizers.calibration import CalibrationSettings
    from stainxform.normalizers.calibration.groups import check_groups

    with shared.model_file(output, force):
        if center_weight is not None:
            center_weight = _number_or_text(center_weight)
        made = shared.given(center_weight=center_weight, strength=strength)
        made |= {name: True for name, flag in (("keep_groups", keep_groups), ("keep_colors", keep_colors)) if flag}
        CalibrationSettings.of("calibrate", made)
        check_groups(groups)
        made |= {name: value for name, value in (("center", center), ("license", license)) if value}
        read = {"groups": groups or ("file" if slides else None), "qc": qc.value, **shared.given(min_tissue=min_tissue)}
        sampling = shared.given(
            per_slide=per_slide,
            size=size,
            mpp=mpp,
            mpp_tolerance=mpp_tolerance,
            mpp_of_slide=mpp_of_slide,
            missing=missing,
        )
        start = time.perf_counter()
        target = sx.load(model)
        grown = None if add_to is None else _grown(add_to, model, target, made)
        tiles = shared.tiles_of(images, slides, sampling)
        found = target.calibrate(tiles, **made, **read) if grown is None else grown.add(tiles, **read)
        found.save(output)
        used = found.info.tiles - (0 if grown is None else grown.info.tiles)
        text.say(
            f"calibrated {_named(found)} on {used} of {len(tiles)} tiles ({len(tiles) - used} skipped){_added(grown, found)}, "
            f"{_facts(found)}, in {time.perf_counter() - start:.1f} s, written to {output}"
        )
        if found.groups and not found.settings.keep_groups:
            text.say(
                "the file holds the center's map alone; with --keep-groups also the names and the maps of the groups"
            )
        if found.colors:
            text.say(f"the file holds {found.colors:,} colors of the other center; without --keep-colors it holds none")


def _number_or_text(value: str) -> Any:
    try:
        return float(value)
    except ValueError:
        return value


def _grown(path: Path, model: Path, target: Any, made: dict[str, Any]) -> Calibration:
    """The calibration to add to, which must be of this model, and whose settings stay."""
    from stainxform.normalizers.calibration import Calibration

    if made:
        raise ParameterError(
            f"--{next(iter(made)).replace('_', '-')} was decided when {path} was made, and --add-to keeps it"
        )
    grown = Calibration.load(path)
    if not grown.is_of(target):
        raise ParameterError(f"{path} is a calibration of another model than {model}; calibrate anew")
    return grown


def _named(found: Calibration) -> str:
    ours, theirs = found.target_state.center, found.info.name
    return f"{theirs or 'the other center'} for {found.model_method}" + (f" of {ours}" if ours else "")


def _added(grown: Calibration | None, found: Calibration) -> str:
    return "" if grown is None else f", {found.info.tiles} in all"


def _facts(found: Calibration) -> str:
    """Groups, their weight, how far colors move, and how sure that is."""
    from stainxform.maps import IdentityMap
    from stainxform.normalizers.calibration.certainty import difference, tissue_colors

    colors = tissue_colors(found.center.tissue.pixels)
    moved = difference(IdentityMap(), found.closed_map_of(None), colors)
    groups = f"{len(found.groups)} groups" if found.groups else "no groups"
    text = f"{groups}, center weight {found.center_weight:.2f}, changes tissue by {moved:.1f} CIEDE2000"
    try:
        return f"{text}, give or take {found.uncertainty():.1f}"
    except (ParameterError, NotEnoughTissueError):  # too little is known to say
        return text
