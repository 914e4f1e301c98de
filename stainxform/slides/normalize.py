"""Slide to slide: one pass over the pixels, mapped, encoded and reduced to a pyramid on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stainxform.maps import ImageMap
from stainxform.slides.base import THREADS, Level, Slide
from stainxform.slides.pyramid import PyramidOptions


@dataclass(frozen=True)
class WrittenSlide:
    """A pyramid that was written whole: its file, levels and size in bytes, and whether a partial file was continued."""

    path: Path
    levels: tuple[Level, ...]
    size: int
    resumed: bool


def write_slide(
    slide: Slide,
    path: str | Path,
    image_map: ImageMap | None,
    options: PyramidOptions = PyramidOptions(),
    *,
    background: str = "normalize",
    threads: int = THREADS,
    resume: bool = False,
    fingerprint: str = "",
    icc: bytes | str | None = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> WrittenSlide:
    """Write a slide, mapped, as a pyramidal BigTIFF; pixels of lower levels are means of 2 x 2 mapped ones.

    While it is written, ``PATH.part`` holds the pixels and ``PATH.journal`` how far they are safe on the disk; at the end
    the file gets its name, replacing another one, and the journal goes. After an error, or a kill, both are left.

    Parameters
    ----------
    slide : the source.
    path : the file to write; its folder must be there.
    image_map : the map of the whole slide; None: a copy.
    options : layout, tiles, compression.
    background : "normalize": every pixel is mapped. "keep": tiles without tissue keep their pixels; where the map
        changes glass, their borders show.
    threads : how many decode, map and encode at a time. No byte of the file depends on it.
    resume : continue a partial file, if there is one; default: begin anew. The result is the same, bit for bit.
    fingerprint : text that names source, map and settings; one that differs from the partial file's is refused.
    icc : the profile to embed: "auto": the source's for a copy, else sRGB; "source", "srgb", None, or its bytes. Which
        one it was is written into the image's description.
    progress : called with the pixels of level 0 that are done, and how many there are.

    Raises
    ------
    ParameterError : the map needs the whole image at once, or an argument makes no sense.
    SlideError : a tile of the source is missing or damaged; the message says where.
    SlideBusyError : another process is writing the same file.
    ResumeError : the partial file was begun with another fingerprint, source, options or version.
    SlideWriteError : the disk is full, or the file cannot be written.
    """
    raise NotImplementedError
