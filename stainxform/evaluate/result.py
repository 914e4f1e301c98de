"""What an evaluation found: plain numbers, and sentences."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from stainxform.evaluate.identifiability import Identifiability
from stainxform.evaluate.intervals import Interval

__all__ = ["RAW", "CenterSummary", "ColorGap", "Evaluation", "MethodResult", "StructureKept", "Tile"]

RAW = "no normalization"
"""Name of the first entry of ``Evaluation.methods``: the images as they are."""

Tile = tuple[str, int]
"""Name of a center, and index into its tiles."""


@dataclass(frozen=True)
class ColorGap:
    """How far the colors of one center are from those of the target.

    Attributes
    ----------
    lab : dict of str to Interval
        Wasserstein-1 distance of "L", "a" and "b", in units of CIELAB.
    lab_sum : Interval
        Their sum.
    lab_change : Interval or None
        The sum minus that of no normalization, both of the same tiles in every resample: below 0 is closer. None for no
        normalization, and where a method made tiles blank.
    stain_angle : dict of str to Interval, or None
        Degrees between the mean Macenko vectors, "hematoxylin" and "eosin"; None where no tile of one side shows two
        stains.
    frechet : Interval or None
        Squared Frechet distance of the color features, standardized by the raw target; None: fewer than two tiles.
    """

    lab: dict[str, Interval]
    lab_sum: Interval
    lab_change: Interval | None
    stain_angle: dict[str, Interval] | None
    frechet: Interval | None


@dataclass(frozen=True)
class StructureKept:
    """SSIM of the luminance of normalized tiles to their source. Not comparable with SSIM to a target.

    Attributes
    ----------
    mean : Interval
        Mean over tiles.
    share_below : Interval
        Share of tiles below ``threshold``, 0..1.
    tiles : list of (str, int)
        The tiles, worst first.
    values : list of float
        Their SSIM, in the same order.
    """

    mean: Interval
    share_below: Interval
    threshold: float
    tiles: list[Tile]
    values: list[float]


@dataclass(frozen=True)
class MethodResult:
    """One normalizer, or the images as they are.

    Attributes
    ----------
    name : str
        RAW for the images as they are.
    identifiability : Identifiability or None
        None where a center has fewer than two slides.
    gaps : dict of str to ColorGap
        Gaps by center, without the target.
    structure : StructureKept or None
        None for RAW.
    seconds_per_megapixel : float or None
        None for RAW.
    nuclei_auc : Interval or None
        How well the darkness of a pixel separates nuclei from the rest, mean AUC over tiles; None without masks.
    to_target : dict of str to Interval, or None
        "psnr", "ssim" and "ciede2000" to the target's tile of the same tissue; None if not aligned.
    tiles : list of (str, int)
        What the rows of ``features`` and ``map`` are.
    features : list of list of float
        Color features of every tile that is not blank, the target's included.
    map : list of list of float
        The same in two dimensions.
    """

    name: str
    identifiability: Identifiability | None
    gaps: dict[str, ColorGap]
    structure: StructureKept | None
    seconds_per_megapixel: float | None
    nuclei_auc: Interval | None
    to_target: dict[str, Interval] | None
    tiles: list[Tile]
    features: list[list[float]]
    map: list[list[float]]


@dataclass(frozen=True)
class CenterSummary:
    """What was evaluated of a center: tiles, how many of them are blank, and slides or patients."""

    tiles: int
    blank: int
    groups: int


@dataclass(frozen=True)
class Evaluation:
    """Centers before and after normalization.

    Attributes
    ----------
    target : str
        The center that the others should look like; its own tiles are never normalized.
    centers : dict of str to CenterSummary
        Centers by name.
    methods : list of MethodResult
        RAW first, then one entry for each normalizer.
    feature_names : list of str
        Names of the columns of ``features``.
    settings : dict
        Level, repeats and seed of the intervals, the threshold of structure, the projection.
    warnings : list of str
        What limits the evaluation, or went wrong, in words.
    findings : list of str
        What it says, in words; also that a method does not help.
    """

    target: str
    centers: dict[str, CenterSummary]
    methods: list[MethodResult]
    feature_names: list[str]
    settings: dict[str, Any]
    warnings: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)

    def __getitem__(self, name: str) -> MethodResult:
        """The result of a method by its name."""
        return {method.name: method for method in self.methods}[name]

    def to_json(self, indent: int | None = None) -> str:
        """Everything as JSON; intervals as {"value", "low", "high"}. No pixels and no names of files."""
        return json.dumps(dataclasses.asdict(self), indent=indent, allow_nan=False)
