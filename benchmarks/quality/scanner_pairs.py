"""The same tissue on two scanners, registered: ``aperio/A03*.png`` and ``hamamatsu/H03*.png`` and so on (MITOS-ATYPIA-14)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stainxform.io.images import read_image


@dataclass(frozen=True)
class Tile:
    """The same tissue on both scanners; the file's name says slide, two digits, and frame, one."""

    slide: str
    frame: str
    ours: np.ndarray
    theirs: np.ndarray


def tiles_of(folder: Path) -> list[Tile]:
    """All pairs."""
    return [
        Tile(path.name[1:3], path.name[3], read_image(path), read_image(folder / "hamamatsu" / f"H{path.name[1:]}"))
        for path in sorted((folder / "aperio").glob("*.png"))
    ]


def pairs(folder: Path) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """(Aperio, Hamamatsu) tiles by slide."""
    found = defaultdict(list)
    for tile in tiles_of(folder):
        found[tile.slide].append((tile.ours, tile.theirs))
    return dict(found)
