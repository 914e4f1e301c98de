"""Which of the images in a TIFF file is the slide, and which of the others are its lower resolutions.

The slide is the largest image that is not called a label, macro, thumbnail, overview or the like. Where that one is not in
8-bit RGB, is a stack, lies in another file or has a twin of its size, the file is refused: a smaller image is an overview of
it, not the slide.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from stainxform.errors import SlideError
from stainxform.slides.readers.ome import OmeError, OmeImage, is_ome, ome_images
from stainxform.slides.readers.planes import Picture, UnfitSlideError, fault_of, is_gray
from stainxform.slides.readers.resolution import believed, from_aperio, from_tags

__all__ = ["MAX_PAGES", "Series", "find_slide"]

MAX_PAGES = 256
"""Images looked at in one file; pyramids have far fewer."""

PAGE_NAME = 285
REDUCED, MASK = 1, 4

_OVERVIEW = re.compile(
    r"(^|[\s_\-\[(.:/])(slide[\s_\-]*)?(label|macro|thumbnail|barcode|overview|preview)([\s_\-]*image)?[\s_\-#\])\d]*"
    r"(\.\w{1,4})*[\s\])]*$",
    re.I,
)
"""Names of images that show more than the slide: the glass with its label, or a small picture of it."""

_OVERVIEW_LINE = re.compile(
    r"^[ \t]*(label|macro|thumbnail|overview|preview)(?:[ _]?image)?(?:[ \t]+\d+x\d+)?[ \t\r]*$"
    r"|<ImageType>(label|overview|thumbnail)",
    re.I | re.M,
)
"""The same in descriptions: those of Aperio and Philips, and PerkinElmer's XML."""

_NAME, _DESCRIPTION = 64, 2000
"""Characters at the end of a name, and at the beginning of a description, in which these are looked for."""

_SCAN = 0.25
"""Another image of this part of the slide's area may be a scan of its own: a warning says that it is left out."""

_log = logging.getLogger("stainxform.slides")


@dataclass(frozen=True)
class Series:
    """The slide: its pictures, the finest first, and what the file says about it. ``first``: it begins the file."""

    pictures: tuple[Picture, ...]
    mpp: tuple[float, float] | None
    magnification: float | None
    first: bool


@dataclass(frozen=True)
class _Image:
    """An image that might be the slide, or what is wrong with it; ``shape`` is (height, width)."""

    name: str
    shape: tuple[int, int]
    pages: tuple[Any, ...] = ()
    fault: str | None = None
    ome: OmeImage | None = None


def find_slide(path: Path, file: Any) -> Series:
    """The slide in an open tifffile.TiffFile.

    Raises
    ------
    UnfitSlideError
        There is none in 8-bit RGB, or no telling which it is.
    SlideError
        The file holds no image.
    """
    pages = list(islice(file.pages, MAX_PAGES))
    if not pages:
        raise SlideError(f"{path} is a damaged TIFF file (it holds no image); copy it anew")
    text = pages[0].description or ""
    if is_ome(text):
        try:
            images = _ome_images(path, pages, text)
            return _series(path, images, pages)
        except OmeError as error:
            _log.warning("%s: its OME-XML is not believed (%s): its resolution is unknown", path, error)
            found = _series(path, _plain_images(path, pages), pages)
            return Series(found.pictures, None, None, found.first)
    if file.is_svs:  # its thumbnail, label and macro are in strips
        pages = [page for page in pages if page.is_tiled] or pages
    found = _series(path, _plain_images(path, pages), pages)
    mpp, magnification = from_aperio(path, text) if file.is_svs else (from_tags(path, found.pictures[0].page), None)
    return Series(found.pictures, mpp, magnification, found.first)


def _series(path: Path, images: Sequence[_Image], pages: list[Any]) -> Series:
    chosen = _largest(path, images)
    if len(images) > 1 and chosen.ome:
        others = [image for image in images if image is not chosen and not image.fault and not _is_overview(image.name)]
        scans = any(_area(image) >= _area(chosen) * _SCAN for image in others)
        _log.log(
            logging.WARNING if scans else logging.INFO,
            "%s holds %d images, of which %r, %d x %d, is read",
            path, len(images), _short(chosen.name), *chosen.shape[::-1],
        )  # fmt: skip
    base = Picture(chosen.pages)
    taken = {page.offset for image in images if image.ome for page in image.pages}
    pictures = tuple(_pyramid(base, [page for page in pages if page.offset not in taken]))
    mpp = magnification = None
    if chosen.ome:
        x, y = chosen.ome.mpp
        silent = x is None and y is None
        mpp = from_tags(path, base.page) if silent else believed(path, x, y, "its OME-XML")
        magnification = chosen.ome.magnification
    return Series(pictures, mpp, magnification, base.page.index == 0)


def _largest(path: Path, images: Sequence[_Image]) -> _Image:
    shown = [image for image in images if not _is_overview(image.name)]
    if not shown:
        raise UnfitSlideError(
            f"{path} holds no slide, only images called {', '.join(_short(image.name) for image in images[:8])}; give the slide "
            "another name in the file, if one of them is it"
        )
    area = max(map(_area, shown))
    largest = [image for image in shown if _area(image) == area]
    fit = [image for image in largest if not image.fault]
    if not fit:
        named = (
            f"its largest image, {_short(largest[0].name)},"
            if len(images) > 1 and largest[0].name
            else "its largest image"
        )
        raise UnfitSlideError(
            f"{path} holds no 8-bit RGB slide: {named} {largest[0].fault}; convert it to one image in 8-bit RGB"
        )
    if len(fit) > 1:
        height, width = fit[0].shape
        raise UnfitSlideError(
            f"{path} holds {len(fit)} images of {width} x {height}, and no telling which of them is the slide; save the one "
            "you want as a file of its own"
        )
    return fit[0]


def _area(image: _Image) -> int:
    return image.shape[0] * image.shape[1]


def _is_overview(name: str) -> bool:
    return _OVERVIEW.search(name.strip()[-_NAME:]) is not None


def _short(name: str) -> str:
    """A name from a file, for a message."""
    return " ".join(name[:_NAME].split())


# ---- plain TIFF ----------------------------------------------------------------------------------------------------


def _plain_images(path: Path, pages: list[Any]) -> list[_Image]:
    """Every page by itself."""
    stack = _imagej_images(pages[0].description or "")
    if stack > 1:
        raise UnfitSlideError(
            f"{path} holds a stack of {stack} images (ImageJ); save the one you want as a file of its own"
        )
    different = {page.offset: page for page in pages}.values()  # the chain of a damaged file may be a loop
    return [_Image(_name(page), (page.imagelength, page.imagewidth), (page,), _fault(page)) for page in different]


def _fault(page: Any) -> str | None:
    return "is a mask" if page.subfiletype & MASK else fault_of(page)


def _name(page: Any) -> str:
    """What a page is called: "macro" where its description begins so."""
    text = page.description or ""
    found = _OVERVIEW_LINE.search(text[:_DESCRIPTION] + ("..." if len(text) > _DESCRIPTION else ""))
    if found:
        return (found[1] or found[2]).lower()
    return str(page.tags[PAGE_NAME].value) if PAGE_NAME in page.tags else ""


def _imagej_images(text: str) -> int:
    found = re.search(r"^images=(\d{1,9})\s*$", text, re.M) if text.startswith("ImageJ=") else None
    return int(found[1]) if found else 1


def _pyramid(base: Picture, chain: list[Any]) -> Iterator[Picture]:
    """The slide, and those among its SubIFDs and the pages of the chain that show the same at a lower resolution."""
    yield base
    narrowest, seen = base.page.imagewidth, {page.offset for page in base.pages}
    others = [*_sub_images(base), *_chained(base, chain)]
    for picture in sorted(others, key=lambda picture: -picture.page.imagewidth):
        page = picture.page
        if page.offset not in seen and page.imagewidth < narrowest and _same_shape(base.page, page):
            seen.add(page.offset)
            narrowest = page.imagewidth
            yield picture


def _sub_images(base: Picture) -> Iterator[Picture]:
    """Of three gray pages those that all three have."""
    for pages in zip(*(islice(page.pages or (), MAX_PAGES) for page in base.pages)):
        alike = len({_storage(page) for page in pages}) == 1
        rgb = all(map(is_gray, pages)) if len(pages) > 1 else _fits(base.page, pages[0])
        if alike and rgb:
            yield Picture(pages)


def _chained(base: Picture, chain: list[Any]) -> Iterator[Picture]:
    """Pages in 8-bit RGB that are marked as reduced, or come in tiles after the slide, and are called nothing else."""
    if len(base.pages) > 1:
        return
    after = False
    for page in chain:
        reduced = page.subfiletype == REDUCED
        unmarked = page.subfiletype == 0 and after and page.is_tiled and base.page.is_tiled
        after = after or page.offset == base.page.offset
        if (reduced or unmarked) and _fits(base.page, page) and not _is_overview(_name(page)):
            yield Picture((page,))


def _fits(base: Any, page: Any) -> bool:
    return not fault_of(page) or (bool(fault_of(base)) and is_gray(page, 3))


def _same_shape(base: Any, page: Any) -> bool:
    ratio = base.imagewidth / base.imagelength
    return bool(abs(page.imagewidth - page.imagelength * ratio) <= 1 + ratio)


# ---- OME-TIFF ------------------------------------------------------------------------------------------------------


def _ome_images(path: Path, pages: list[Any], text: str) -> list[_Image]:
    """The images that the XML describes; OmeError where it does not fit the file."""
    described = ome_images(text, path.name)
    if not 1 <= len(described) <= MAX_PAGES:
        raise OmeError(f"it describes {len(described) or 'no'} images")
    found, first = [], 0
    for image in described:
        image.first = first
        found.append(_ome_image(image, pages))
        first += max(1, len(found[-1].pages))
    return found


def _ome_image(image: OmeImage, pages: list[Any]) -> _Image:
    shape = image.size("Y"), image.size("X")
    if image.elsewhere:
        return _Image(image.name, shape, (), f"is part of a set of files (see {_short(image.elsewhere)!r})", image)
    samples = _page(pages, *image.planes(1, 1)).samplesperpixel
    planes = [_page(pages, plane) for plane in image.planes(samples)]
    if any((page.imagelength, page.imagewidth) != shape for page in planes):
        raise OmeError(
            f"it says {shape[1]} x {shape[0]} where the file holds {planes[0].imagewidth} x {planes[0].imagelength}"
        )
    stack, order, fault = image.size("Z") * image.size("T"), image.rgb_order(), fault_of(planes[0])
    if stack > 1:
        return _Image(image.name, shape, tuple(planes), f"is a stack of {stack} planes", image)
    if len(planes) == 1:
        as_rgb = fault is None or (is_gray(planes[0], 3) and order == (0, 1, 2))
        return _Image(image.name, shape, tuple(planes), None if as_rgb else fault, image)
    if (
        image.count(samples) == 3
        and all(map(is_gray, planes))
        and len({_storage(page) for page in planes}) == 1
        and order
    ):
        return _Image(image.name, shape, tuple(planes[channel] for channel in order), None, image)
    names = ", ".join(filter(None, (_short(channel.get("Name", "")) for channel in image.channels[:8])))
    several = f"has {image.count(samples)} channels that are not red, green and blue{f' ({names})' if names else ''}"
    return _Image(image.name, shape, tuple(planes), fault if not is_gray(planes[0]) and fault else several, image)


def _page(pages: list[Any], number: int) -> Any:
    if number >= len(pages):
        raise OmeError(f"its image {number} is not among the {len(pages)} of the file")
    return pages[number]


def _storage(page: Any) -> tuple[int, ...]:
    """What the planes of one image must have in common to be put together tile by tile."""
    tile = (page.tilewidth, page.tilelength) if page.is_tiled else (page.imagewidth, page.rowsperstrip)
    return page.imagelength, page.imagewidth, *tile, int(page.is_tiled)
