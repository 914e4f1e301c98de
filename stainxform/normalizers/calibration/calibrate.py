"""Getting to know another center: its tiles are read once, and counted or summed up."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from stainxform.errors import ParameterError, StainXformWarning
from stainxform.image.layout import ValueRange
from stainxform.image.tissue_color import TissueColor
from stainxform.io.sources import Tiles
from stainxform.normalizers.base import CenterInfo, Normalizer
from stainxform.normalizers.calibration.checks import problems
from stainxform.normalizers.calibration.groups import Groups, check_groups, group_names
from stainxform.normalizers.calibration.normalizer import CENTER, Calibration, alignment
from stainxform.normalizers.calibration.parts import Part
from stainxform.normalizers.calibration.settings import CalibrationSettings
from stainxform.normalizers.center import center_tiles, check_about, usable_tiles

__all__ = ["FOLDS", "calibrate"]

FOLDS = 10
"""Parts that tiles of no group are dealt to, for the bootstrap."""

_AT_ONCE = 16
"""Counted colors of so many tiles wait in memory before they are merged."""


def calibrate(
    target: Normalizer,
    images: Any = None,
    *,
    slides: Any = None,
    sampling: Mapping[str, Any] | None = None,
    groups: Groups = None,
    center_weight: str | float = "auto",
    strength: float = 1.0,
    keep_groups: bool = False,
    keep_colors: bool = False,
    center: str = "",
    license: str = "",
    min_tissue: float | None = None,
    image_key: str = "image",
    value_range: ValueRange | None = None,
    qc: str = "warn",
) -> Calibration:
    """Calibrate another center: what :meth:`stainxform.Normalizer.calibrate` does, where its arguments are described."""
    if isinstance(target, Calibration):
        raise ParameterError("this is a calibration; add(...) gives it more tiles, target.calibrate makes a new one")
    if not isinstance(target, Normalizer):
        raise ParameterError(f"calibrate takes a fitted Normalizer, got {type(target).__name__}")
    settings = CalibrationSettings.of(
        "calibrate",
        {"center_weight": center_weight, "strength": strength, "keep_groups": keep_groups, "keep_colors": keep_colors},
    )
    min_tissue = target.min_tissue if min_tissue is None else min_tissue
    check_about(center, license, min_tissue, qc)
    check_groups(groups)
    tiles = center_tiles(images, slides, sampling, image_key, value_range)
    if groups is None and slides is not None:
        groups = "file"
    names = group_names(tiles.sources, groups)
    kept, tissue = usable_tiles(tiles, min_tissue, qc, callers=2)
    tiles = tiles.subset(kept)
    found = _Found([names[index] for index in kept], tissue)
    options: dict[str, Any] = {}
    if _is_pointwise(target):
        for index, (name, color) in enumerate(zip(found.names, tissue)):
            tile, histogram = tiles.counted(index)
            found.add(name, Part(color, target.summary(tiles[index] if tile is None else tile, histogram)))
    else:
        options = _distilled(target, tiles, tissue)
        for name, color in zip(found.names, tissue):
            found.add(name, Part(color))
    calibration = Calibration(
        target_state=target.state(), settings=settings, parts=found.parts(), folds=found.folds(),
        info=CenterInfo(center, len(kept), license), min_tissue=min_tissue, **options,
    )  # fmt: skip
    vars(calibration)["target"] = target
    calibration.closed_map_of(None)  # raises now, rather than at the first image
    lost = {name for name in names if name is not None} - set(calibration.parts)
    if lost:
        warnings.warn(
            f"{len(lost)} groups have no tile with enough tissue: they get the center's map",
            StainXformWarning,
            stacklevel=3,
        )
    for problem in problems(calibration):
        warnings.warn(problem, StainXformWarning, stacklevel=3)
    return calibration


class _Found:
    """Statistics of tiles, by group; merged now and then, so that memory does not depend on the number of tiles."""

    def __init__(self, names: Sequence[str | None], tissue: Sequence[TissueColor]):
        self.names = names
        self._waiting: dict[str, list[Part]] = defaultdict(list)
        self._ungrouped = 0

    def add(self, name: str | None, part: Part) -> None:
        """One more tile of a group, or of none."""
        if name is None:
            name, self._ungrouped = f"{CENTER}\0{self._ungrouped % FOLDS}", self._ungrouped + 1
        waiting = self._waiting[name]
        waiting.append(part)
        if len(waiting) == _AT_ONCE:
            waiting[:] = [Part.merge(waiting)]

    def parts(self) -> dict[str, Part]:
        """By group; tiles of none together."""
        named = {name: Part.merge(found) for name, found in self._waiting.items() if "\0" not in name}
        folds = self.folds()
        return {**named, CENTER: Part.merge(folds)} if folds else named

    def folds(self) -> tuple[Part, ...]:
        """Tiles of no group, dealt to a few parts."""
        return tuple(Part.merge(found) for name, found in self._waiting.items() if "\0" in name)


def _is_pointwise(target: Normalizer) -> bool:
    """Whether the method has statistics that tiles can be summed up in."""
    return target.fixed_map is None and type(target).summary is not Normalizer.summary


def _distilled(target: Normalizer, tiles: Tiles, tissue: Sequence[TissueColor]) -> dict[str, Any]:
    """What a method that looks at more than a pixel's own color comes down to."""
    from stainxform.normalizers.calibration.distill import distilled

    if target.fixed_map is not None:
        return {"colorizer": target.fixed_map}
    align = None
    if target.calibrated_by_alignment:
        if target.info.tissue is None:
            raise ParameterError(
                f"the {target.method} model does not say what color its center's tissue has; fit it again with fit_center"
            )
        pixels = TissueColor.merge(tissue).pixels
        align = alignment(target.info.tissue).map_from(pixels)
    colorizer = distilled(target, tiles, align).map()
    return {"colorizer": colorizer, "aligned": align is not None}
