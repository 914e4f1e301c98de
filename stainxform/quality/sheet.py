"""A contact sheet of the tiles that quality control flagged."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np

from stainxform.io.images import write_image
from stainxform.io.paths import as_path
from stainxform.io.sources import Tiles
from stainxform.quality.control import QualityReport

__all__ = ["COLUMNS", "MAX_TILES", "write_sheet"]

MAX_TILES = 60
"""Tiles on a sheet; the first ones of more."""

COLUMNS = 6
_SIDE, _GAP, _LINE, _LINES, _LETTERS = 200, 12, 15, 6, 34
_INK, _PAPER = (32, 33, 36), (255, 255, 255)


def write_sheet(path: str | Path, images: Any, report: QualityReport) -> int:
    """Write the flagged tiles with their numbers and reasons as one image; no names of files are on it.

    Parameters
    ----------
    path : str or Path
        ``.png``, ``.jpg`` or ``.tif``.
    images : str, Path, array_like, Dataset or iterable of these
        The tiles that the report is about.
    report : QualityReport
        What was found on them.

    Returns
    -------
    int
        How many tiles are on it, at most 60; 0: nothing was flagged and nothing is written.
    """
    from PIL import Image, ImageDraw, ImageFont

    path = as_path(path, "path of the sheet")
    tiles = images if isinstance(images, Tiles) else Tiles(images)
    shown = report.flagged[:MAX_TILES]
    if not shown:
        return 0
    rows = -(-len(shown) // COLUMNS)
    cell = _SIDE + _LINES * _LINE + _GAP
    sheet = Image.new("RGB", (COLUMNS * (_SIDE + _GAP) + _GAP, rows * cell + _GAP), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for place, tile in enumerate(shown):
        left, top = _GAP + place % COLUMNS * (_SIDE + _GAP), _GAP + place // COLUMNS * cell
        picture = Image.fromarray(np.asarray(tiles[tile.index]))
        scale = _SIDE / max(picture.size)
        picture = picture.resize([max(round(side * scale), 1) for side in picture.size])  # type: ignore[arg-type]
        sheet.paste(picture, (left, top))
        lines = [f"tile {tile.index}"]
        for fault, reason in tile.reasons.items():
            lines += textwrap.wrap(f"{fault}: {reason}", _LETTERS)
        draw.text((left, top + _SIDE + 2), "\n".join(lines[:_LINES]), fill=_INK, font=font, spacing=2)
    write_image(path, np.asarray(sheet))
    return len(shown)
