"""Quality control on the way into a fit."""

from __future__ import annotations

import warnings

from stainxform.errors import NotEnoughTissueError, ParameterError, StainXformWarning
from stainxform.io.sources import Tiles
from stainxform.quality.control import check_quality

QC = ("warn", "drop", "off")


def check_qc(qc: str) -> None:
    """Raise ParameterError for anything but "warn", "drop" and "off"."""
    if qc not in QC:
        raise ParameterError(f"qc must be 'warn', 'drop' or 'off', got {qc!r}")


def screen(tiles: Tiles, kept: list[int], qc: str) -> list[int]:
    """Indices of the tiles to fit on, of those in ``kept``; says in one StainXformWarning what was found.

    Raises NotEnoughTissueError if "drop" leaves none.
    """
    if qc == "off":
        return kept
    report = check_quality(tiles.subset(kept), min_tissue=0.0)
    if not report.flagged:
        return kept
    dropped = {kept[tile.index] for tile in report.flagged} if qc == "drop" else set()
    if len(dropped) == len(kept):
        raise NotEnoughTissueError(f"{report.summary}: none is left to fit on; pass other tiles, or qc='warn'")
    advice = "they are left out" if dropped else "they are used; qc='drop' leaves them out, qc='off' does not look"
    # The caller of fit_center: screen and fit_center lie between.
    warnings.warn(f"{report.summary}: {advice}; stainxform qc shows them", StainXformWarning, stacklevel=3)
    return [index for index in kept if index not in dropped]
