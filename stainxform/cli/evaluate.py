"""``stainxform evaluate``: does a normalizer help on your own centers? A report to look at."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from stainxform.cli import text
from stainxform.cli.new_file import new_file
from stainxform.errors import ParameterError

if TYPE_CHECKING:
    from stainxform.normalizers.base import Normalizer

__all__ = ["SeveralValues", "evaluate"]

_SEVERAL = ("--centers", "--masks", "--model", "-m")


class SeveralValues(TyperCommand):
    """Options that take all words up to the next option: ``--centers A=a/ B=b/``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat the option before each of its values, which is how click takes several."""
        spread: list[str] = []
        option = ""
        for word in args:
            if word.startswith("-"):
                option = word if word in _SEVERAL else ""
                spread += [] if option else [word]
            else:
                spread += [option, word] if option else [word]
        if option and args[-1] == option:
            spread.append(option)  # without a value: click says so
        return super().parse_args(ctx, spread)


def evaluate(
    centers: Annotated[
        list[str],
        typer.Option("--centers", help="Two centers or more: a name and where its tiles are.", metavar="NAME=DIR ..."),
    ],
    model: Annotated[
        list[Path], typer.Option("--model", "-m", help="Model files to compare.", metavar="FILE.safetensors ...")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The report to write.", metavar="REPORT.html")],
    target: Annotated[
        str | None,
        typer.Option(
            help="The center that the models were fitted on.", show_default="the center of that name in the models"
        ),
    ] = None,
    masks: Annotated[
        list[str] | None,
        typer.Option(
            "--masks",
            help="Nuclei of a center's tiles: images of the same names, above 0 inside.",
            metavar="NAME=DIR ...",
        ),
    ] = None,
    slides: Annotated[
        str,
        typer.Option(
            help="Which tiles are of one slide or patient: folder (the folder that a tile is in), tile (each by itself), "
            "or a regular expression, the part of the file's path that it finds, or its first group.",
        ),
    ] = "folder",
    aligned: Annotated[
        bool, typer.Option(help="File by file, all centers show the same tissue: adds PSNR, SSIM, CIEDE2000.")
    ] = False,
    projection: Annotated[str, typer.Option(help="Of the map of colors: pca or umap.")] = "pca",
    threshold: Annotated[float, typer.Option(help="Count tiles whose luminance SSIM falls below this.")] = 0.9,
    panels: Annotated[int, typer.Option(min=1, help="Tiles shown for each model.")] = 6,
    title: Annotated[str, typer.Option(help="Heading of the report.")] = "Normalization of centers",
    json: Annotated[Path | None, typer.Option(help="Also write the numbers, as JSON.", metavar="FILE.json")] = None,
    seed: Annotated[int, typer.Option(help="Of the intervals and folds.")] = 0,
    force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite existing outputs.")] = False,
) -> None:
    """Compare normalizers on tiles of your own centers: one HTML page with pictures, tables and a verdict in words."""
    from stainxform._optional import require
    from stainxform.evaluate import evaluate_centers
    from stainxform.io.atomic import atomic_write
    from stainxform.io.sources import files_of
    from stainxform.normalizers.base import Normalizer
    from stainxform.report import write_report

    if json and json.resolve() == output.resolve():
        raise ParameterError(f"the report and its numbers would both be written to {output}; give two files")
    with ExitStack() as files:
        for path in [output, *([json] if json else [])]:
            files.enter_context(new_file(path, force))
        require("jinja2", "report")
        folders = _named("--centers", centers)
        given = _named("--masks", masks or [])
        if unknown := set(given) - set(folders):
            raise ParameterError(f"--masks names {unknown.pop()!r}, which is none of {', '.join(folders)}")
        for folder in (*folders.values(), *given.values()):
            if not folder.is_dir():
                raise ParameterError(f"{folder} is no folder")
        tiles = {name: files_of(where) for name, where in folders.items()}
        normalizers = {name: Normalizer.load(path) for name, path in _names_of(model).items()}
        goal = target or _only_center({_center_of(one) for one in normalizers.values()}, list(tiles))
        evaluation = evaluate_centers(
            tiles,
            normalizers,
            target=goal,
            groups=_groups(slides, folders, tiles),
            masks={name: _masks(where, folders[name], tiles[name]) for name, where in given.items()},
            aligned=aligned,
            threshold=threshold,
            projection=projection,
            seed=seed,
        )
        if json:
            atomic_write(json, evaluation.to_json(indent=1).encode())
        write_report(output, evaluation, tiles, normalizers, title=title, panels=panels)
        for warning in evaluation.warnings:
            text.complain("warning", warning)
        for finding in evaluation.findings:
            text.say(finding)
        text.say(f"written to {output}")


def _named(option: str, entries: Sequence[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for entry in entries:
        name, separator, where = entry.partition("=")
        if not (name and separator and where):
            raise ParameterError(f"{option} takes NAME=DIR, got {entry!r}")
        if name in found:
            raise ParameterError(f"{option} names {name!r} twice")
        found[name] = Path(where)
    return found


def _names_of(models: Sequence[Path]) -> dict[str, Path]:
    """Models by the name of their file, with as many folders as it takes to distinguish them."""
    for depth in range(1, max(len(path.resolve().parts) for path in models) + 1):
        names = ["/".join(path.resolve().with_suffix("").parts[-depth:]) for path in models]
        if len(set(names)) == len(names):
            return dict(zip(names, models))
    raise ParameterError("the same model is given twice")


def _center_of(normalizer: Normalizer) -> str:
    """The center that it makes images look like: of a calibration, not the one that it is made on."""
    from stainxform.normalizers.calibration import Calibration

    return normalizer.target_state.center if isinstance(normalizer, Calibration) else normalizer.info.name


def _only_center(fitted: set[str], names: list[str]) -> str:
    known = fitted & set(names)
    if len(known) != 1:
        raise ParameterError(f"pass --target: the center that the models were fitted on, one of {', '.join(names)}")
    return known.pop()


def _groups(rule: str, folders: dict[str, Path], tiles: dict[str, list[Path]]) -> dict[str, list[Any]] | None:
    """The slide or patient of each tile; None: each by itself."""
    if rule == "tile" or (
        rule == "folder" and all(file.parent == folders[n] for n, all_ in tiles.items() for file in all_)
    ):
        return None
    if rule == "folder":
        return {name: [(name, str(file.parent)) for file in files] for name, files in tiles.items()}
    try:
        pattern = re.compile(rule)
    except re.error as error:
        raise ParameterError(f"--slides takes folder, tile or a regular expression, got {rule!r} ({error})") from error
    return {name: [_found(pattern, file) for file in files] for name, files in tiles.items()}


def _found(pattern: re.Pattern[str], file: Path) -> str:
    match = pattern.search(file.as_posix())
    if match is None:
        raise ParameterError(f"--slides {pattern.pattern!r} finds nothing in {file}")
    return match[1] if pattern.groups else match[0]


def _masks(where: Path, center: Path, tiles: list[Path]) -> list[Any]:
    """The mask of each tile: the image at the same path below its folder, whatever its type."""
    from stainxform.io.images import read_image
    from stainxform.io.sources import files_of

    by_name = {path.relative_to(where).with_suffix(""): path for path in files_of(where)}
    found = []
    for tile in tiles:
        name = tile.relative_to(center).with_suffix("")
        if name not in by_name:
            raise ParameterError(f"{where} has no mask {name}, like the tile {tile}")
        found.append(read_image(by_name[name]).max(axis=-1))
    return found
