"""Image files where whole slides are wanted, or slides where image files are: said with what to do instead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from stainxform.errors import InvalidImageError, ParameterError, SlideError

__all__ = ["only_images", "only_slides", "refuse_slides", "types_of_images_alone"]


def refuse_slides(files: Iterable[Path], advice: str) -> None:
    """ParameterError for the first file that is a whole slide by its type, and no image file."""
    slides = _types_of_slides_alone()
    for file in files:
        if file.suffix.lower() in slides:
            raise ParameterError(f"{file} is a whole slide; {advice}")


@contextmanager
def only_images(inputs: Sequence[str], advice: str) -> Iterator[None]:
    """A block that finds image files; where slides are named, or are all that there is, ParameterError says so."""
    refuse_slides((path for path in map(Path, inputs) if path.is_file()), advice)
    try:
        yield
    except InvalidImageError as error:
        found = _first_of(inputs, _types_of_slides_alone())
        if found is None:
            raise
        raise ParameterError(f"{found} is a whole slide; {advice}") from error


@contextmanager
def only_slides(inputs: Sequence[str], advice: str) -> Iterator[None]:
    """A block that opens slides; where image files are the reason that it cannot, ParameterError says so."""
    try:
        yield
    except (InvalidImageError, SlideError) as error:
        found = _first_of(inputs, types_of_images_alone())
        if found is None:
            raise
        raise ParameterError(f"{found} is an image file, not a slide; {advice}") from error


def types_of_images_alone() -> set[str]:
    """Types of image files that no slide has, lower case."""
    from stainxform.io.images import SUFFIXES
    from stainxform.io.search import SLIDES

    return {*SUFFIXES} - {*SLIDES}


def _types_of_slides_alone() -> set[str]:
    from stainxform.io.images import SUFFIXES
    from stainxform.io.search import SLIDES

    return {*SLIDES} - {*SUFFIXES}


def _first_of(inputs: Iterable[str], suffixes: set[str]) -> Path | None:
    """The first file of one of these types among files and in folders."""
    for path in map(Path, inputs):
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.suffix.lower() in suffixes and file.is_file():
                return file
    return None
