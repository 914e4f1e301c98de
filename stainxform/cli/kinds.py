"""Image files where whole slides are wanted, or slides where image files are: said with what to do instead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from stainxform.errors import InvalidImageError, ParameterError, SlideError

__all__ = ["only_images", "only_slides"]


@contextmanager
def only_images(inputs: Sequence[str], advice: str) -> Iterator[None]:
    """A block that finds image files; where slides are named, or are all that there is, ParameterError says so."""
    from stainxform.io.images import SUFFIXES
    from stainxform.slides.files import SUFFIXES as SLIDES

    slides = set(SLIDES) - set(SUFFIXES)
    for name in inputs:
        if Path(name).suffix.lower() in slides and Path(name).is_file():
            raise ParameterError(f"{name} is a whole slide; {advice}")
    try:
        yield
    except InvalidImageError as error:
        found = _first_of(inputs, slides)
        if found is None:
            raise
        raise ParameterError(f"{found} is a whole slide; {advice}") from error


@contextmanager
def only_slides(inputs: Sequence[str], advice: str) -> Iterator[None]:
    """A block that opens slides; where image files are the reason that it cannot, ParameterError says so."""
    from stainxform.io.images import SUFFIXES
    from stainxform.slides.files import SUFFIXES as SLIDES

    try:
        yield
    except (InvalidImageError, SlideError) as error:
        found = _first_of(inputs, set(SUFFIXES) - set(SLIDES))
        if found is None:
            raise
        raise ParameterError(f"{found} is an image file, not a slide; {advice}") from error


def _first_of(inputs: Iterable[str], suffixes: set[str]) -> Path | None:
    """The first file of one of these types among files and in folders."""
    for path in map(Path, inputs):
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.suffix.lower() in suffixes and file.is_file():
                return file
    return None
