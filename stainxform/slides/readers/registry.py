"""The readers of slides by name, and the one that opens a file."""

from __future__ import annotations

import importlib
import logging
from pathlib import Path
from typing import Any

from stainxform._plugins import Registry
from stainxform.errors import MissingDependencyError, ParameterError, SlideError, UnsupportedSlideError
from stainxform.io.paths import as_path
from stainxform.slides.base import Slide, check_missing, check_mpp

__all__ = ["BUILT_IN", "READERS", "check_reader", "open_slide", "reader_class", "register_reader"]

BUILT_IN = {
    "cucim": "stainxform.slides.readers.cucim:CucimSlide",
    "tifffile": "stainxform.slides.readers.tifffile:TifffileSlide",
    "openslide": "stainxform.slides.readers.openslide:OpenslideSlide",
}
"""Readers of this package, in the order in which "auto" tries them."""

_log = logging.getLogger("stainxform.slides")


def register_reader(name: str, reader: str | type[Slide]) -> None:
    """Make a reader known in this process: ``reader=name`` asks for it, and "auto" tries it.

    "auto" tries it before the built-in readers where its ``suffixes`` hold that of the file, else after them. A package
    whose readers shall be known in every process, such as the workers of a cluster, declares the entry point
    ``name = "module:Class"`` in the group ``stainxform.readers`` instead.

    Parameters
    ----------
    name : str
        Name of the reader.
    reader : str or type of Slide
        A class derived from :class:`Slide` that is called with the path alone, or where it is, ``module:Class``.

    Raises
    ------
    ParameterError
        A name that is taken, or what is no such class or path.
    """
    READERS.register(name, reader)


def _checked(name: str, reader: Any) -> str | type[Slide]:
    """A reader as it is registered: a class, or where it is."""
    if not (isinstance(name, str) and name):
        raise ParameterError(f"the name of a reader is a text, got {name!r}")
    if name == "auto":
        raise ParameterError("the name 'auto' stands for the best reader of a file; choose another one")
    if isinstance(reader, str) and ":" in reader:
        return reader
    return _checked_class(reader)


def _checked_class(reader: Any) -> type[Slide]:
    """The class of a reader, if it is one that works."""
    if not (isinstance(reader, type) and issubclass(reader, Slide)):
        raise ParameterError(f"a reader is a class derived from Slide, or 'module:Class'; got {reader!r}")
    if abstract := sorted(reader.__abstractmethods__):
        raise ParameterError(f"{reader.__name__} must define {', '.join(abstract)}")
    if not isinstance(reader.suffixes, tuple):
        raise ParameterError(f"{reader.__name__}.suffixes must be a tuple of file types, got {reader.suffixes!r}")
    return reader


def _place(reader: str | type[Slide]) -> str:
    return reader if isinstance(reader, str) else f"{reader.__module__}:{reader.__qualname__}"


READERS: Registry[str | type[Slide]] = Registry("reader", "stainxform.readers", _checked, _place, lazy=True)
"""Readers by name: the class, or ``module:Class``, which is imported when first used; entry points
``stainxform.readers`` among them."""

for _name, _path in BUILT_IN.items():
    READERS.register(_name, _path)


def open_slide(
    path: str | Path,
    reader: str = "auto",
    *,
    mpp: float | tuple[float, float] | None = None,
    missing: str = "fail",
) -> Slide:
    """Open a whole slide.

    Parameters
    ----------
    path : str or Path
        The file.
    reader : str, optional
        "cucim", "tifffile", "openslide" or the name of a registered one; "auto": cuCIM where torch has CUDA, else
        tifffile, which is about as fast on a CPU and finds more damage; OpenSlide for what these cannot read; then
        registered ones, see :func:`stainxform.slides.register_reader`. Which one it was is in ``slide.reader`` and in
        the log ``stainxform.slides``.
    mpp : float or (float, float), optional
        Micrometers of a pixel of level 0, or along x and y, where the file does not say or is wrong; from 0.01 to 200.
        ``slide.mpp_from`` is "user" then, and so say records and files made from it.
    missing : str, optional
        What is done with tiles of level 0 that the file does not hold: "fail": reading one is a SlideError. "white":
        they are glass that the scanner left out. Those of lower levels are made from the next finer one either way; a
        damaged tile is always a SlideError.

    Raises
    ------
    ParameterError
        There is no such reader, or a value makes no sense.
    SlideError
        The file is missing, truncated or damaged.
    UnsupportedSlideError
        No installed reader knows its kind.
    MissingDependencyError
        The reader asked for, or every one, is not installed.
    """
    check_reader(reader)
    check_missing(missing)
    given = None if mpp is None else check_mpp(mpp)
    file = as_path(path, "path of the slide")
    if not file.is_file():
        raise SlideError(f"{file} is {'a folder, not a slide' if file.is_dir() else 'not there'}")
    slide = _opened_by_the_first(file) if reader == "auto" else _opened(reader_class(reader)(file))
    slide.tell(given, missing)
    return slide


def check_reader(name: str) -> None:
    """Raise ParameterError for what is neither "auto" nor the name of a reader."""
    if not isinstance(name, str) or (name != "auto" and name not in READERS):
        raise ParameterError(f"reader must be 'auto' or one of: {', '.join(READERS)}; got {name!r}")


def reader_class(name: str) -> Any:
    """The class of a reader, which opens a path; MissingDependencyError where it cannot be imported, or is none."""
    reader = READERS[name]
    if not isinstance(reader, str):
        return reader
    module, _, attribute = reader.partition(":")
    try:
        return _checked_class(getattr(importlib.import_module(module), attribute))
    except Exception as error:  # whatever a package from outside raises, other readers go on
        raise MissingDependencyError(f"the reader {name!r} cannot be imported from {reader} ({error})") from error


def _opened_by_the_first(file: Path) -> Slide:
    reasons: list[SlideError] = []
    missing: MissingDependencyError | None = None
    for name in _in_order(file):
        try:
            reader = reader_class(name)
            if reader.tried_by_auto():
                return _opened(reader(file) if name in BUILT_IN else _from_outside(name, reader, file))
        except UnsupportedSlideError as error:
            reasons.append(error)
        except MissingDependencyError as error:
            missing = error
            _log.debug("reader %s is not used: %s", name, error)
    if missing is not None and not reasons:
        raise missing
    raise UnsupportedSlideError("; ".join(dict.fromkeys(str(error) for error in reasons)))


def _from_outside(name: str, reader: Any, file: Path) -> Slide:
    """What a reader of another package opens; whatever else it raises means that it cannot read the file."""
    try:
        return reader(file)  # type: ignore[no-any-return]
    except (SlideError, MissingDependencyError):
        raise
    except Exception as error:
        raise UnsupportedSlideError(f"the reader {name!r} failed on {file} ({error})") from error


def _in_order(file: Path) -> list[str]:
    """The names of the readers, those first that ask for such files, then the built-in ones."""
    registered = [name for name in READERS if name not in BUILT_IN]
    first = [name for name in registered if file.suffix.lower() in _suffixes(name)]
    return list(dict.fromkeys((*first, *BUILT_IN, *registered)))


def _suffixes(name: str) -> tuple[str, ...]:
    try:
        return tuple(reader_class(name).suffixes)
    except MissingDependencyError:
        return ()


def _opened(slide: Slide) -> Slide:
    _log.info("reader %s: %d levels", slide.reader, len(slide.levels))
    return slide
