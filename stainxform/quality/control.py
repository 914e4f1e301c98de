"""Which training tiles of a center are unfit, and why, in words."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from stainxform.errors import ParameterError
from stainxform.image.tissue import MIN_TISSUE
from stainxform.io.settings import make_plain
from stainxform.io.sources import Tiles
from stainxform.quality.measures import STAIN_NAMES, TileMeasures, share_above

__all__ = [
    "FAULTS",
    "MAD_TO_SD",
    "MIN_FOCUS_SPREAD",
    "MIN_SPREAD",
    "MIN_TILES",
    "Limits",
    "QualityReport",
    "TileQuality",
    "check_quality",
    "judge",
]

FAULTS = ("blank", "black", "ink", "saturated", "blurred", "fold", "stain")
"""Names of the faults, in the order in which they are listed."""

MIN_TILES = 10
"""With fewer tiles nothing can be said to be unlike the center: blur, folds and stains are then judged alone, or not."""

MIN_SPREAD = np.array([0.02, 0.02, 0.02, 0.02, 0.1, 0.1])
"""Of the six stain numbers of tiles: a center whose tiles agree even better flags no trifles."""

MIN_FOCUS_SPREAD = 0.05
MAD_TO_SD = 1.4826
"""Median absolute deviation of a normal distribution to its standard deviation."""


@dataclass(frozen=True)
class Limits:
    """Where a tile becomes unfit; measured on real tiles, see docs/results/quality_control.md.

    Attributes
    ----------
    black, ink : float
        Fractions of pixels.
    clipped : float
        Fraction of tissue pixels with a channel at 0 or 255.
    focus : float
        log10 of the energy ratio; lower is blurred in any center.
    focus_distance : float
        Robust standard deviations below the median of the center, in centers of 10 tiles or more.
    fold_density : float
        A region is a fold if its smoothed density is this many times the center's (median over tiles of their 90th
        percentile).
    fold : float
        Fraction of such a region.
    stain_distance : float
        Robust Mahalanobis distance of the six stain numbers from the center's medians.
    """

    black: float = 0.08
    ink: float = 0.02
    clipped: float = 0.12
    focus: float = -0.68
    focus_distance: float = 3.5
    fold_density: float = 1.8
    fold: float = 0.08
    stain_distance: float = 10.0

    def __post_init__(self) -> None:
        make_plain(self)
        for field in fields(self):
            if not np.isfinite(getattr(self, field.name)):
                raise ParameterError(f"{field.name} must be a finite number, got {getattr(self, field.name)!r}")


@dataclass(frozen=True)
class TileQuality:
    """What was found on one tile.

    Attributes
    ----------
    index : int
        Index into the tiles.
    scores : dict of str to (float or None)
        Scores by fault: the number that is compared with its limit; None where it cannot be measured.
    reasons : dict of str to str
        Reasons by fault, one clause in words; empty: the tile is fit.
    """

    index: int
    scores: dict[str, float | None]
    reasons: dict[str, str]


@dataclass(frozen=True)
class QualityReport:
    """The tiles of one center.

    Attributes
    ----------
    tiles : list of TileQuality
        One entry for each tile, in their order.
    limits : Limits
        Limits that were applied.
    """

    tiles: list[TileQuality]
    limits: Limits

    @property
    def flagged(self) -> list[TileQuality]:
        """The unfit ones."""
        return [tile for tile in self.tiles if tile.reasons]

    @property
    def summary(self) -> str:
        """One clause: how many tiles have which fault."""
        counts = Counter(fault for tile in self.flagged for fault in tile.reasons)
        listed = ", ".join(f"{counts[fault]} {fault}" for fault in FAULTS if counts[fault])
        return f"{len(self.flagged)} of {len(self.tiles)} tiles look unfit" + (f" ({listed})" if listed else "")

    def to_json(self, indent: int | None = None) -> str:
        """Everything as JSON; tiles by index, no names of files."""
        return json.dumps(asdict(self), indent=indent, allow_nan=False)


def check_quality(images: Any, *, limits: Limits | None = None, min_tissue: float = MIN_TISSUE) -> QualityReport:
    """Look for unfit tiles: blank, black, inked, saturated, blurred, folded, or stained unlike the rest of the center.

    Parameters
    ----------
    images : str, Path, array_like, Dataset or iterable of these
        Tiles of one center, as ``fit_center`` takes them.
    limits : Limits, optional
        Where a tile becomes unfit.
    min_tissue : float, optional
        Fraction of tissue below which a tile is blank.

    Returns
    -------
    QualityReport
        What was found on each tile.

    Raises
    ------
    InvalidImageError
        A tile cannot be read.
    """
    tiles = images if isinstance(images, Tiles) else Tiles(images)
    return judge([TileMeasures.of(tile, min_tissue) for tile in tiles], limits or Limits())


def judge(measures: Sequence[TileMeasures], limits: Limits) -> QualityReport:
    """The report on tiles that have been measured."""
    center = _Center.of(measures)
    return QualityReport([_judge(i, tile, center, limits) for i, tile in enumerate(measures)], limits)


@dataclass(frozen=True, eq=False)
class _Center:
    """What is usual for the tiles of a center; None where there are too few to say.

    Robust by medians: up to half of the tiles may be unfit. The Mahalanobis distance is that of a diagonal covariance
    of median absolute deviations: the minimum covariance determinant wants several times as many tiles as numbers.
    """

    focus: tuple[float, float] | None
    density: float | None
    stains: tuple[np.ndarray, np.ndarray] | None

    @classmethod
    def of(cls, measures: Iterable[TileMeasures]) -> _Center:
        tiles = [tile for tile in measures if not tile.blank]
        focus = _median_and_spread([t.focus for t in tiles], MIN_FOCUS_SPREAD)
        density = _median_and_spread([t.density[90] for t in tiles if t.density is not None], 0.0)
        stains = _median_and_spread([t.stains for t in tiles if t.stains is not None], MIN_SPREAD)
        return cls(
            None if focus is None else (float(focus[0]), float(focus[1])),
            None if density is None else float(density[0]),
            stains,
        )

    def stain_offsets(self, tile: TileMeasures) -> np.ndarray | None:
        if self.stains is None or tile.stains is None:
            return None
        return np.asarray((tile.stains - self.stains[0]) / self.stains[1])


def _median_and_spread(values: Sequence[Any], minimum: Any) -> tuple[np.ndarray, np.ndarray] | None:
    if len(values) < MIN_TILES:
        return None
    rows = np.array(values, np.float64)
    median = np.median(rows, axis=0)
    return median, np.maximum(MAD_TO_SD * np.median(np.abs(rows - median), axis=0), minimum)


def _judge(index: int, tile: TileMeasures, center: _Center, limits: Limits) -> TileQuality:
    scores: dict[str, float | None] = {"blank": tile.tissue, "black": tile.black, "ink": tile.ink}
    reasons = {}
    if tile.blank:
        reasons["blank"] = f"{tile.tissue:.1%} of it is tissue"
    if tile.black > limits.black:
        reasons["black"] = f"{tile.black:.0%} of it is black: ink, a fold or padding"
    if tile.ink > limits.ink:
        reasons["ink"] = f"{tile.ink:.0%} of it has a color that stains do not have: a pen?"
    if tile.blank:
        return TileQuality(index, scores, reasons)
    assert tile.clipped is not None and tile.focus is not None and tile.density is not None  # noqa: PT018
    scores["saturated"], scores["blurred"] = tile.clipped, tile.focus
    if tile.clipped > limits.clipped:
        reasons["saturated"] = f"{tile.clipped:.0%} of its tissue is cut off at 0 or 255"
    if tile.focus < limits.focus:
        reasons["blurred"] = f"fine detail is missing (focus {tile.focus:.2f})"
    elif center.focus is not None and (center.focus[0] - tile.focus) / center.focus[1] > limits.focus_distance:
        reasons["blurred"] = f"less sharp than the center's tiles (focus {tile.focus:.2f}, usual {center.focus[0]:.2f})"
    scores["fold"] = None
    if center.density is not None:
        scores["fold"] = fold = share_above(tile.density, limits.fold_density * center.density)
        if fold > limits.fold:
            reasons["fold"] = f"{fold:.0%} of its tissue is {limits.fold_density:g} times as dense as usual"
    offsets = center.stain_offsets(tile)
    scores["stain"] = None
    if offsets is None:
        return TileQuality(index, scores, reasons)
    scores["stain"] = distance = float(np.sqrt(np.square(offsets).sum()))
    if distance > limits.stain_distance:
        strongest = int(np.abs(offsets).argmax())
        more = "more" if offsets[strongest] > 0 else "less"
        reasons["stain"] = (
            f"stained unlike the center (distance {distance:.1f}), most of all {STAIN_NAMES[strongest]}: {more} than usual"
        )
    return TileQuality(index, scores, reasons)
