"""Whole slides in MONAI: a WSIReader over the readers of :mod:`stainxform.slides`.

>>> from monai.data import PatchWSIDataset  # doctest: +SKIP
>>> from stainxform.monai import SlideReader, StainLUTd  # doctest: +SKIP
>>> normalize = StainLUTd("image", model="center_a.safetensors")  # doctest: +SKIP
>>> tiles = [{"image": "slide.svs", "location": [2048, 4096], "label": 1}]  # doctest: +SKIP
>>> patches = PatchWSIDataset(tiles, 256, 0, normalize, reader=SlideReader)  # doctest: +SKIP
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from monai.config.type_definitions import DtypeLike, PathLike
from monai.data.wsi_reader import BaseWSIReader
from monai.utils.misc import ensure_tuple

from stainxform.errors import ParameterError
from stainxform.io.paths import as_path
from stainxform.slides import READERS, SUFFIXES, Slide
from stainxform.slides.base import check_missing, check_mpp
from stainxform.slides.mpp import MPP_TOLERANCE
from stainxform.slides.pool import WholeSlide

__all__ = ["SlideReader", "WholeSlide"]

_MPP_RTOL = 2
"""Its place among the arguments of MONAI's reader."""


class SlideReader(BaseWSIReader):
    """MONAI's reader of whole slides, through tifffile, cuCIM or OpenSlide, whichever reads the file best.

    For ``LoadImaged(reader=SlideReader(level=2))``, ``PatchWSIDataset(..., reader=SlideReader)`` and whatever else takes
    a ``BaseWSIReader``. A damaged tile raises :class:`~stainxform.errors.SlideError`; what lies outside the slide is
    white, in RGBA mode transparent white.

    Parameters
    ----------
    *args
        Those of ``monai.data.BaseWSIReader``, also by keyword: level, mpp, power, mpp_rtol, mpp_atol, power_rtol,
        power_atol, channel_dim, dtype, device and mode; at most one of the first three. ``mpp_rtol`` is 0.1 unless
        given, as everywhere here, and not MONAI's 0.05.
    slide_reader : str, optional
        "tifffile", "cucim" or "openslide" forces one; "auto" as in :func:`stainxform.open_slide`.
    mpp_of_slide : float or (float, float), optional
        Micrometers per pixel of all slides, where the files do not say, or are wrong.
    missing : str, optional
        Tiles that a file does not hold: "fail", or "white": they are glass.
    **kwargs
        See ``*args``.
    """

    __module__ = "stainxform.monai"
    supported_suffixes = [suffix.removeprefix(".") for suffix in SUFFIXES]
    backend = "stainxform"

    def __init__(
        self,
        *args: Any,
        slide_reader: str = "auto",
        mpp_of_slide: float | tuple[float, float] | None = None,
        missing: str = "fail",
        **kwargs: Any,
    ) -> None:
        if len(args) <= _MPP_RTOL:
            kwargs.setdefault("mpp_rtol", MPP_TOLERANCE)
        super().__init__(*args, **kwargs)
        if self.mpp is not None:
            check_mpp(self.mpp)
        if slide_reader != "auto" and slide_reader not in READERS:
            raise ParameterError(f"slide_reader must be 'auto' or one of: {', '.join(READERS)}; got {slide_reader!r}")
        if self.kwargs:
            raise ParameterError(f"SlideReader has no argument {next(iter(self.kwargs))!r}")
        check_missing(missing)
        self.slide_reader = slide_reader
        self.told: dict[str, Any] = {
            "mpp": None if mpp_of_slide is None else check_mpp(mpp_of_slide),
            "missing": missing,
        }

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> WholeSlide | list[WholeSlide]:
        """Open a slide, or a list of slides.

        Raises
        ------
        ParameterError
            A path that is empty or makes no sense, or none at all.
        SlideError
            No readable slide, now and not in the middle of a training.
        """
        paths = [as_path(path, "path of the slide") for path in ensure_tuple(data)]
        if not paths:
            raise ParameterError("no slide was given; pass its path")
        slides = [
            WholeSlide(os.path.abspath(path), **{"reader": self.slide_reader, **self.told, **kwargs}) for path in paths
        ]
        for slide in slides:
            with slide.opened():
                pass
        return slides if len(slides) > 1 else slides[0]

    def get_size(self, wsi: WholeSlide, level: int) -> tuple[int, int]:
        """(height, width) of a level."""
        with wsi.opened() as slide:
            return slide.levels[level].shape

    def get_level_count(self, wsi: WholeSlide) -> int:
        """Number of levels."""
        with wsi.opened() as slide:
            return len(slide.levels)

    def get_downsample_ratio(self, wsi: WholeSlide, level: int) -> float:
        """How many pixels of level 0 one of a level's pixels spans along a side."""
        with wsi.opened() as slide:
            return slide.levels[level].downsample

    def get_file_path(self, wsi: WholeSlide) -> str:
        """The absolute path."""
        return wsi.path

    def get_mpp(self, wsi: WholeSlide, level: int) -> tuple[float, float]:
        """Micrometers of a level's pixel down and across, MONAI's order; ParameterError if the file does not say."""
        with wsi.opened() as slide:
            if slide.mpp is None:
                raise ParameterError(
                    f"{wsi.path} does not say its micrometers per pixel; say it with mpp_of_slide=..., or use level"
                )
            x, y = slide.mpp
            return y * slide.levels[level].downsample, x * slide.levels[level].downsample

    def get_power(self, wsi: WholeSlide, level: int) -> float:
        """Magnification of a level; ParameterError if the file does not say."""
        with wsi.opened() as slide:
            if slide.magnification is None:
                raise ParameterError(f"{wsi.path} does not say its magnification; use level or mpp instead of power")
            return slide.magnification / slide.levels[level].downsample

    def _get_patch(
        self, wsi: WholeSlide, location: tuple[int, int], size: tuple[int, int], level: int, dtype: DtypeLike, mode: str
    ) -> np.ndarray:
        """A region, ``size`` (height, width) pixels of a level from ``location`` (top, left) in pixels of level 0."""
        if mode not in ("RGB", "RGBA"):
            raise ParameterError(f"mode must be RGB or RGBA, got {mode!r}")
        with wsi.opened() as slide:
            pixels = _region(slide, level, location, size)
        return np.moveaxis(pixels[..., : len(mode)].astype(dtype), -1, self.channel_dim)


def _region(slide: Slide, level: int, location: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """RGBA of a region, also of one beyond the slide, uint8 ``(height, width, 4)``."""
    found = slide.levels[level]
    top, left = (round(edge / found.downsample) for edge in location)
    pixels = np.full((*size, 4), 255, np.uint8)
    pixels[..., 3] = 0
    upper, lower = max(0, top), min(found.shape[0], top + size[0])
    start, stop = max(0, left), min(found.shape[1], left + size[1])
    if upper < lower and start < stop:
        inside = pixels[upper - top : lower - top, start - left : stop - left]
        inside[..., :3] = slide.read(level, start, upper, stop - start, lower - upper)
        inside[..., 3] = 255
    return pixels
