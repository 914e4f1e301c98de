"""``fit_center``: from a folder of tiles to a fitted normalizer, for every registered method."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

from stainxform.errors import NotEnoughTissueError, ParameterError, StainXformError, StainXformWarning
from stainxform.image.layout import ValueRange, check_range
from stainxform.image.tissue import MIN_TISSUE, is_blank
from stainxform.image.tissue_color import TissueColor
from stainxform.io.paths import is_path
from stainxform.io.repeats import Repeats
from stainxform.io.sources import Tiles
from stainxform.normalizers.base import CenterInfo, Normalizer
from stainxform.normalizers.registry import normalizer_class
from stainxform.quality.measures import TileMeasures
from stainxform.quality.screen import check_qc, screen
from stainxform.slides.base import Slide
from stainxform.slides.sampling import SlideTiles

__all__ = ["center_tiles", "check_about", "fit_center", "usable_tiles"]


def fit_center(
    images: Any = None,
    method: str = "transport",
    *,
    slides: Any = None,
    sampling: Mapping[str, Any] | None = None,
    center: str = "",
    license: str = "",
    min_tissue: float = MIN_TISSUE,
    image_key: str = "image",
    value_range: ValueRange | None = None,
    qc: str = "warn",
    **parameters: Any,
) -> Normalizer:
    """Fit a normalizer to the appearance of one center.

    Parameters
    ----------
    images : str, Path, array_like, Dataset or iterable of these, optional
        The center's tiles: a folder (searched recursively), a glob pattern, files, arrays ``(H, W, 3)`` or
        ``(N, H, W, 3)``, tensors ``(3, H, W)``, PIL images, a Dataset (torch, MONAI, Hugging Face) of any of these, or a
        DataLoader. A file counts once, however often it is there; copies of a tile count each: a StainXformWarning says so.
    method : str, optional
        A registered name; ``stainxform methods`` lists them. The default, transport, is the one whose calibrations help
        most surely, and needs no training.
    slides : str, Path, Slide or iterable of these, optional
        The center's whole slides, instead of tiles: a folder, a glob pattern, files, open Slides, or a list of these.
        Tissue tiles are drawn from them, as many of each slide, and read when they are needed.
    sampling : mapping, optional
        How they are drawn: any of per_slide, size, mpp, level, min_tissue, seed and reader, see
        :class:`stainxform.slides.SlideTiles`. A center's slides may differ in resolution: give mpp.
    center : str, optional
        A name for the center, stored in the model file. Not derived from file names, which may identify patients.
    license : str, optional
        The license of the fitted model, stored in the model file.
    min_tissue : float, optional
        Tiles with a smaller fraction of tissue are skipped, with one StainXformWarning that says how many.
    image_key : str, optional
        Where the image is in dictionary items of a Dataset.
    value_range : (float, float), optional
        Range of float tiles, default (0, 1).
    qc : str, optional
        Quality control of the tiles with tissue (:mod:`stainxform.quality`): one StainXformWarning that says which
        faults it found ("warn"), also leave those tiles out ("drop"), or do not look ("off").
    **parameters
        Settings of the method, see its ``Settings``.

    Returns
    -------
    Normalizer
        A fitted Normalizer; ``.info`` says on how many tiles.

    Raises
    ------
    ParameterError
        Tiles and slides, or neither; unknown method or setting, or a value that makes no sense. Checked before anything
        is read.
    InvalidImageError
        Nothing found, or a tile cannot be read.
    NotEnoughTissueError
        Every tile is blank, or dropped. Checked before training starts.
    MissingDependencyError
        The method needs an extra that is not installed.
    """
    kind = normalizer_class(method)
    settings = kind.make_settings(**parameters)
    check_about(center, license, min_tissue, qc)
    tiles = center_tiles(images, slides, sampling, image_key, value_range)
    kept, tissue = usable_tiles(tiles, min_tissue, qc)
    normalizer = kind.fit_tiles(tiles.subset(kept), settings)
    if not isinstance(normalizer, kind):
        raise StainXformError(f"the fit of {method!r} must give a {kind.__name__}, it gave {type(normalizer).__name__}")
    return normalizer.with_info(CenterInfo(center, len(kept), license, tissue=TissueColor.merge(tissue)), min_tissue)


def check_about(center: str, license: str, min_tissue: float, qc: str) -> None:
    """ParameterError for what makes no sense of what is said about a center, before anything is read."""
    if not (isinstance(min_tissue, Real) and 0 <= min_tissue <= 1):
        raise ParameterError(f"min_tissue is a fraction from 0 to 1, got {min_tissue!r}")
    for name, text in (("center", center), ("license", license)):
        if not isinstance(text, str):
            raise ParameterError(f"{name} is a text for the model file, got {text!r}")
    check_qc(qc)


def center_tiles(
    images: Any, slides: Any, sampling: Mapping[str, Any] | None, image_key: str, value_range: ValueRange | None
) -> Tiles:
    """The tiles of a center, given as tiles or drawn from slides; ParameterError for both, or neither."""
    if (images is None) == (slides is None):
        raise ParameterError("pass the center's tiles, or slides=, one of them")
    if sampling and slides is None:
        raise ParameterError("sampling= is how tiles are drawn from slides=, which is missing")
    check_range(value_range)
    if slides is not None:
        if not isinstance(sampling, Mapping | None):
            raise ParameterError(f"sampling must be a mapping of settings, got {sampling!r}")
        images = _drawn(slides, dict(sampling or {}))
    return images if isinstance(images, Tiles) else Tiles(images, image_key=image_key, value_range=value_range)


def usable_tiles(tiles: Tiles, min_tissue: float, qc: str, callers: int = 1) -> tuple[list[int], list[TissueColor]]:
    """Tiles with tissue that quality control leaves, each file once, by index, and the color of their tissue.

    ``callers``: functions between this one and the user's line, which warnings name.

    Raises
    ------
    NotEnoughTissueError
        Every tile is blank, or dropped.
    """
    kept, measures, tissue = [], [], []
    repeats, again, copies = Repeats(tiles), 0, 0
    for index in range(len(tiles)):
        if repeats.file(index):
            again += 1
            continue
        tile, histogram = tiles.counted(index)
        if is_blank(histogram, min_tissue):
            continue
        copies += repeats.pixels(index, histogram)
        kept.append(index)
        tissue.append(TissueColor.of(histogram))
        if qc != "off":
            measures.append(TileMeasures.of(tiles[index] if tile is None else tile, 0.0, histogram))
    if not kept:
        raise NotEnoughTissueError(
            f"none of the {len(tiles)} tiles holds enough tissue (min_tissue={min_tissue:.2%}); "
            "pass tiles with tissue, or lower min_tissue"
        )
    blank, of = len(tiles) - len(kept) - again, f"of {len(tiles)} tiles"
    said = {
        f"skipped {blank} {of}: less than {min_tissue:.2%} tissue": blank,
        f"skipped {again} {of}: the same file as another, by its name or by a link": again,
        f"{copies} {of} have the same pixels as another, and count as often; remove copies": copies,
    }
    for text in filter(said.get, said):
        warnings.warn(text, StainXformWarning, stacklevel=callers + 2)
    if qc == "off":
        return kept, tissue
    chosen = screen(measures, qc)
    return [kept[index] for index in chosen], [tissue[index] for index in chosen]


def _drawn(slides: Any, sampling: dict[str, Any]) -> SlideTiles:
    if not (is_path(slides) or isinstance(slides, Iterable | Slide)) or isinstance(slides, Mapping | bytes):
        raise ParameterError(f"slides= takes files, folders or open slides, got {type(slides).__name__}")
    known = list(inspect.signature(SlideTiles).parameters)[1:]
    for name in sampling:
        if name not in known:
            raise ParameterError(f"sampling has no setting {name!r}; it has: {', '.join(known)}")
    return SlideTiles(slides, **sampling)
