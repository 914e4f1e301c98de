"""Getting to know another center: its tiles are read once, and counted or summed up."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
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
    options = {} if _is_pointwise(target) else _distilled(target, tiles, tissue)
    parts, folds = _grouped([names[index] for index in kept], _parts(target, tiles, tissue))
    calibration = Calibration(
        target_state=target.state(), settings=settings, parts=parts, folds=folds,
        info=CenterInfo(center, len(kept), license), min_tissue=min_tissue, **options,
    )  # fmt: skip
    vars(calibration)["target"] = target
    calibration.closed_map_of(None)  # raises now, rather than at the first image
    lost = {name for name in names if name is not None} - set(calibration.parts)
    if lost:
        warnings.warn(
            f"no tile of {len(lost)} group{'s' * (len(lost) > 1)} ({', '.join(sorted(lost)[:3])}{', ...' * (len(lost) > 3)}) "
            "has enough tissue: the center's map serves",
            StainXformWarning,
            stacklevel=3,
        )
    for problem in problems(calibration):
        warnings.warn(problem, StainXformWarning, stacklevel=3)
    return calibration


def _parts(target: Normalizer, tiles: Tiles, tissue: Sequence[TissueColor]) -> Iterator[Part]:
    """Statistics of each tile."""
    for index, color in enumerate(tissue):
        if _is_pointwise(target):
            tile, histogram = tiles.counted(index)
            yield Part(color, target.summary(tiles[index] if tile is None else tile, histogram))
        else:
            yield Part(color)


def _grouped(names: Sequence[str | None], parts: Iterable[Part]) -> tuple[dict[str, Part], tuple[Part, ...]]:
    """Statistics by group, and of the tiles of no group dealt to folds; merged now and then, for memory's sake."""
    waiting: dict[str | int, list[Part]] = defaultdict(list)
    ungrouped = count()
    for name, part in zip(names, parts):
        found = waiting[next(ungrouped) % FOLDS if name is None else name]
        found.append(part)
        if len(found) == _AT_ONCE:
            found[:] = [Part.merge(found)]
    merged = {key: Part.merge(found) for key, found in waiting.items()}
    named = {key: part for key, part in merged.items() if isinstance(key, str)}
    folds = tuple(part for key, part in merged.items() if isinstance(key, int))
    return {**named, CENTER: Part.merge(folds)} if folds else named, folds


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
