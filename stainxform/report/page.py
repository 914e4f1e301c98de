"""The page itself: what it shows, filled into ``page.html.jinja``."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from stainxform._optional import require
from stainxform._version import __version__
from stainxform.errors import ParameterError
from stainxform.evaluate.centers import normalize_function, tiles_of_centers
from stainxform.evaluate.result import RAW, Evaluation, MethodResult, Tile
from stainxform.io.atomic import atomic_write
from stainxform.io.paths import as_path
from stainxform.io.sources import Tiles
from stainxform.report.scatter import legend_mark, limits_of, scatter

__all__ = ["PICTURE_SIDE", "Panel", "picture", "report_html", "write_report"]

PICTURE_SIDE = 320
"""Pictures are cut to so many pixels from the middle of a tile."""


@dataclass(frozen=True)
class Panel:
    """A tile before and after; both as data URIs of JPEG files."""

    caption: str
    before: str
    after: str


def write_report(
    path: str | Path,
    evaluation: Evaluation,
    centers: Mapping[str, Any],
    normalizers: Mapping[str, Any],
    *,
    title: str = "Normalization of centers",
    panels: int = 6,
) -> None:
    """Write the page, atomically; see :func:`report_html`."""
    path = as_path(path, "path of the report")
    atomic_write(path, report_html(evaluation, centers, normalizers, title=title, panels=panels).encode())


def report_html(
    evaluation: Evaluation,
    centers: Mapping[str, Any],
    normalizers: Mapping[str, Any],
    *,
    title: str = "Normalization of centers",
    panels: int = 6,
) -> str:
    """One HTML page with everything in it: it works from a disk without a network.

    It shows pixels of the tiles, so it is to be treated like them. Names of files are not in it.

    Parameters
    ----------
    evaluation : Evaluation
        Evaluation from :func:`stainxform.evaluate.evaluate_centers`.
    centers, normalizers : mapping
        What was evaluated, for the pictures.
    title : str, optional
        Heading of the page.
    panels : int, optional
        The largest number of tiles shown for each normalizer: half of them those whose structure changed most, the
        others from all centers in turn.

    Raises
    ------
    ParameterError
        ``centers`` or ``normalizers`` are not those of the evaluation.
    MissingDependencyError
        jinja2 is not installed (extra ``report``).
    """
    jinja2 = require("jinja2", "report")
    if not isinstance(evaluation, Evaluation):
        raise ParameterError(f"expected an Evaluation, from evaluate_centers, got {type(evaluation).__name__}")
    tiles = tiles_of_centers(centers, normalizers)
    known = {name: summary.tiles for name, summary in evaluation.centers.items()}
    if {name: len(found) for name, found in tiles.items()} != known:
        raise ParameterError(f"centers must be those of the evaluation: {', '.join(known)}, with as many tiles")
    methods = [method for method in evaluation.methods if method.name != RAW]
    if set(normalizers) != {method.name for method in methods}:
        raise ParameterError(f"normalizers must be those of the evaluation: {', '.join(m.name for m in methods)}")
    if panels < 1:
        raise ParameterError(f"panels must be at least 1, got {panels}")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = environment.from_string(files("stainxform.report").joinpath("page.html.jinja").read_text("utf-8"))
    numbers = {name: number for number, name in enumerate(evaluation.centers)}
    page: str = template.render(
        title=title,
        version=__version__,
        evaluation=evaluation,
        raw=evaluation[RAW],
        methods=methods,
        others=[name for name in evaluation.centers if name != evaluation.target],
        marks={name: legend_mark(number) for name, number in numbers.items()},
        maps=_maps(evaluation, numbers),
        panels={m.name: _panels(m, tiles, normalizers[m.name], panels) for m in methods},
        target_pictures=[picture(tiles[evaluation.target][i]) for i in _spread(len(tiles[evaluation.target]), 4)],
        structure=[method.structure for method in methods if method.structure],
    )
    return page


def _maps(evaluation: Evaluation, numbers: Mapping[str, int]) -> list[tuple[str, str]]:
    """Name of each method and its drawing, all on the same axes."""
    clouds = [np.array(method.map) for method in evaluation.methods]
    limits = limits_of(clouds)
    return [
        (
            method.name,
            scatter(
                cloud,
                [numbers[center] for center, _ in method.tiles],
                [f"{center}, tile {index}" for center, index in method.tiles],
                limits,
            ),
        )
        for method, cloud in zip(evaluation.methods, clouds)
    ]


def _panels(method: MethodResult, tiles: Mapping[str, Tiles], normalizer: Any, count: int) -> list[Panel]:
    if method.structure is None:
        return []
    function = normalize_function(normalizer)
    values = dict(zip(method.structure.tiles, method.structure.values))
    found = []
    for center, index in _chosen(method.structure.tiles, count):
        tile = tiles[center][index]
        caption = f"{center}, tile {index}: luminance SSIM {values[center, index]:.3f}"
        found.append(Panel(caption, picture(tile), picture(function(np.array(tile)))))
    return found


def _chosen(worst_first: Sequence[Tile], count: int) -> list[Tile]:
    """Half of them the worst, then from every center in turn the tile in the middle of those that are left."""
    chosen = list(worst_first[: (count + 1) // 2])
    left: dict[str, list[Tile]] = {}
    for tile in worst_first[len(chosen) :]:
        left.setdefault(tile[0], []).append(tile)
    while len(chosen) < count and any(left.values()):
        for rest in left.values():
            if rest and len(chosen) < count:
                chosen.append(rest.pop(len(rest) // 2))
    return chosen


def _spread(length: int, count: int) -> list[int]:
    return sorted({round(position) for position in np.linspace(0, length - 1, min(count, length))})


def picture(tile: np.ndarray) -> str:
    """The middle of a tile as the data URI of a JPEG file."""
    from PIL import Image

    top, left = (max(0, (length - PICTURE_SIDE) // 2) for length in tile.shape[:2])
    buffer = io.BytesIO()
    cut = np.ascontiguousarray(tile[top : top + PICTURE_SIDE, left : left + PICTURE_SIDE])
    Image.fromarray(cut).save(buffer, "JPEG", quality=90, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
