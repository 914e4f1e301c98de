"""Quality control on the way into a fit."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from stainxform.errors import NotEnoughTissueError, ParameterError, StainXformWarning
from stainxform.quality.control import Limits, judge
from stainxform.quality.measures import TileMeasures

__all__ = ["QC", "check_qc", "screen"]

QC = ("warn", "drop", "off")


def check_qc(qc: str) -> None:
    """Raise ParameterError for anything but "warn", "drop" and "off"."""
    if qc not in QC:
        raise ParameterError(f"qc must be 'warn', 'drop' or 'off', got {qc!r}")


def screen(measures: Sequence[TileMeasures], qc: str) -> list[int]:
    """Indices of the tiles to fit on; says in one StainXformWarning what was found.

    Raises
    ------
    NotEnoughTissueError
        "drop" leaves none.
    """
    report, everything = judge(measures, Limits()), range(len(measures))
    if not report.flagged:
        return list(everything)
    dropped = {tile.index for tile in report.flagged} if qc == "drop" else set()
    if len(dropped) == len(measures):
        raise NotEnoughTissueError(f"{report.summary}: none is left to fit on; pass other tiles, or qc='warn'")
    advice = "they are left out" if dropped else "they are used; qc='drop' leaves them out, qc='off' does not look"
    # The caller of fit_center: screen and fit_center lie between.
    warnings.warn(f"{report.summary}: {advice}; stainxform qc shows them", StainXformWarning, stacklevel=3)
    return [index for index in everything if index not in dropped]
