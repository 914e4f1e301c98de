"""The best reader that can open a slide, or the one asked for."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from pathlib import Path

from stainxform._optional import require
from stainxform.errors import MissingDependencyError, ParameterError, SlideError, UnsupportedSlideError
from stainxform.slides.base import Slide

READERS = {
    "cucim": "cucim:CucimSlide",
    "tifffile": "tifffile:TifffileSlide",
    "openslide": "openslide:OpenslideSlide",
}
"""Readers by name."""

_log = logging.getLogger("stainxform.slides")


def open_slide(path: str | Path, reader: str = "auto") -> Slide:
    """Open a whole slide.

    Parameters
    ----------
    path : the file.
    reader : "cucim", "tifffile" or "openslide"; "auto": cuCIM where torch has CUDA, else tifffile, which is about as fast
        on a CPU and finds more damage; OpenSlide for what these cannot read. Which one it was is in ``slide.reader`` and in the log ``stainxform.slides``.

    Raises
    ------
    SlideError : the file is missing, truncated or damaged; UnsupportedSlideError: no installed reader knows its kind.
    MissingDependencyError : the reader asked for, or every one, is not installed.
    """
    if reader != "auto" and reader not in READERS:
        raise ParameterError(f"reader must be 'auto' or one of: {', '.join(READERS)}; got {reader!r}")
    file = Path(path)
    if not file.is_file():
        raise SlideError(f"{file} is {'a folder, not a slide' if file.is_dir() else 'not there'}")
    if reader != "auto":
        return _opened(_reader(reader)(file))
    reasons: list[SlideError] = []
    missing: MissingDependencyError | None = None
    for name in READERS if _cuda() else (name for name in READERS if name != "cucim"):
        try:
            return _opened(_reader(name)(file))
        except UnsupportedSlideError as error:
            reasons.append(error)
        except MissingDependencyError as error:
            missing = error
            _log.debug("reader %s is not used: %s", name, error)
    if missing is not None and not reasons:
        raise missing
    raise UnsupportedSlideError("; ".join(dict.fromkeys(str(error) for error in reasons)))


def _cuda() -> bool:
    """Whether cuCIM can decode on a CUDA device; torch is not imported where cuCIM is not installed."""
    try:
        require("cucim", "cuda")
        return bool(require("torch", "torch").cuda.is_available())
    except MissingDependencyError:
        return False


def _reader(name: str) -> Callable[[Path], Slide]:
    module, _, attribute = READERS[name].partition(":")
    return getattr(importlib.import_module(f"stainxform.slides.readers.{module}"), attribute)


def _opened(slide: Slide) -> Slide:
    _log.info("reader %s: %d levels", slide.reader, len(slide.levels))
    return slide
