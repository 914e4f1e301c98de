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
    lab : Wasserstein-1 distance of "L", "a" and "b", in units of CIELAB.
    lab_sum : their sum.
    lab_change : the sum minus that of no normalization, both of the same tiles in every resample: below 0 is closer.
        None for no normalization, and where a method made tiles blank.
    stain_angle : degrees between the mean Macenko vectors, "hematoxylin" and "eosin"; None where no tile of one side
        shows two stains.
    frechet : squared Frechet distance of the color features, standardized by the raw target; None: fewer than two tiles.
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
    mean : over tiles.
    share_below : of tiles below ``threshold``, 0..1.
    tiles, values : the tiles and their SSIM, worst first.
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
    name : RAW for the images as they are.
    identifiability : None where a center has fewer than two slides.
    gaps : by center, without the target.
    structure, seconds_per_megapixel : None for RAW.
    nuclei_auc : how well the darkness of a pixel separates nuclei from the rest, mean AUC over tiles; None without masks.
    to_target : "psnr", "ssim" and "ciede2000" to the target's tile of the same tissue; None if not aligned.
    tiles : what the rows of ``features`` and ``map`` are.
    features : color features of every tile that is not blank, the target's included.
    map : the same in two dimensions.
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
    target : the center that the others should look like; its own tiles are never normalized.
    centers : by name.
    methods : RAW first, then one entry for each normalizer.
    feature_names : of the columns of ``features``.
    settings : level, repeats and seed of the intervals, the threshold of structure, the projection.
    warnings : what limits the evaluation, or went wrong, in words.
    findings : what it says, in words; also that a method does not help.
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
