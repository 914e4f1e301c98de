"""Image files in and out (Pillow): 8-bit RGB as stored, checked, written atomically."""

from __future__ import annotations

import io
import os
import stat
import struct
from collections.abc import Sequence
from dataclasses import replace
from hashlib import file_digest
from pathlib import Path
from typing import Any

import numpy as np

from stainxform.errors import InvalidImageError, ParameterError
from stainxform.io.atomic import atomic_write
from stainxform.io.decode import FileFacts, decoded

__all__ = [
    "SUFFIXES",
    "WRITTEN",
    "encode_image",
    "image_files",
    "note_of",
    "read_image",
    "read_image_and_facts",
    "write_image",
]

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
"""File types read from folders, lower case."""

_WRITERS: dict[str, tuple[str, dict[str, object]]] = {
    ".png": ("PNG", {"compress_level": 4}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".tif": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ".tiff": ("TIFF", {"compression": "tiff_adobe_deflate"}),
}

WRITTEN = tuple(_WRITERS)
"""File types that can be written, lower case."""

_SOFTWARE = 305
"""Tag of TIFF."""

_MAX_JFIF = 65535
"""The largest number that JFIF can hold."""


def image_files(folder: Path, suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    """All files of these types below ``folder``, sorted; hidden files and folders are left out."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def read_image(path: str | Path) -> np.ndarray:
    """Read a whole image file as uint8 ``(H, W, 3)``: RGB values as they are stored.

    It is turned upright as its EXIF orientation says. Gray is repeated three times, a palette is expanded,
    transparency is laid over white. CMYK and Lab become sRGB, by the file's ICC profile if it has one; a profile or the
    gamma of RGB is not applied. Of a camera's JPEG with previews (MPO) the first picture is read, of a TIFF whose other
    pages are smaller versions of one that one.

    Raises
    ------
    InvalidImageError
        A file that is missing, truncated, no image, larger than Pillow's safety limit, deeper than 8 bits, that changes
        while it is read, or that holds several images (pages of a TIFF, frames), of which none is guessed to be the one.
    """
    return read_image_and_facts(path)[0]


def read_image_and_facts(path: str | Path, *, hashed: bool = False) -> tuple[np.ndarray, FileFacts]:
    """Read an image as :func:`read_image` does, and what else its file says; its hash if asked for."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # to open a pipe could take forever
            raise InvalidImageError(f"{path} cannot be read as an image (it is no file); replace or remove it")
        with open(path, "rb") as file:
            before = os.fstat(file.fileno())
            sha256 = file_digest(file, "sha256").hexdigest() if hashed else ""
            file.seek(0)
            pixels, facts = decoded(file, str(path))
            after = os.fstat(file.fileno())
    except InvalidImageError:
        raise
    except Exception as error:  # decoders of damaged files raise whatever their arithmetic ends in
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if type(error).__name__ == "UnidentifiedImageError":
            reason = "no file type that Pillow knows"
        raise InvalidImageError(f"{path} cannot be read as an image ({reason}); replace or remove it") from error
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise InvalidImageError(f"{path} changed while it was read; try again when it is written")
    return pixels, replace(facts, sha256=sha256)


def encode_image(image: np.ndarray, suffix: str, facts: FileFacts | None = None, note: str = "") -> bytes:
    """Encode uint8 ``(H, W, 3)``: PNG, JPEG (quality 95, 4:4:4) or TIFF (deflate), by file suffix.

    Parameters
    ----------
    image : ndarray
        The pixels.
    suffix : str
        That of the file, with its dot.
    facts : FileFacts, optional
        ICC profile and resolution to be told.
    note : str, optional
        ASCII that stands where file types name the software: see :func:`note_of`.
    """
    from PIL import Image, PngImagePlugin

    if suffix.lower() not in _WRITERS:
        raise ParameterError(f"cannot write {suffix!r} files; use one of: {', '.join(_WRITERS)}")
    kind, defaults = _WRITERS[suffix.lower()]
    facts = facts or FileFacts()
    options: dict[str, Any] = {**defaults}
    if facts.icc:
        options["icc_profile"] = facts.icc
    if facts.dpi and not (kind == "JPEG" and max(facts.dpi) > _MAX_JFIF):
        options["dpi"] = facts.dpi
    if note and kind == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_text("Software", note)
    elif note:
        options["comment" if kind == "JPEG" else "software"] = note
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **options)
    if facts.dpi and kind == "JPEG" and "dpi" not in options:
        _set_density(buffer, facts.dpi)
    return buffer.getvalue()


def _set_density(jpeg: io.BytesIO, dpi: tuple[float, float]) -> None:
    """Resolution in pixels per centimeter, where its number of pixels per inch is too large for JFIF (T.871, 10.1)."""
    x, y = (round(value / 2.54) for value in dpi)
    if max(x, y) <= _MAX_JFIF:
        jpeg.seek(13)
        jpeg.write(struct.pack(">BHH", 2, x, y))


def note_of(path: str | Path) -> str:
    """The note that an image file was written with; empty if there is none, or the file cannot be read."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            found = image.info.get("Software" if image.format == "PNG" else "comment", "")
            if image.format == "TIFF":
                found = image.tag_v2.get(_SOFTWARE, "")  # type: ignore[attr-defined]
    except Exception:  # whatever a file of somebody else holds
        return ""
    return found.decode("ascii", "replace") if isinstance(found, bytes) else str(found)


def write_image(path: str | Path, image: np.ndarray, facts: FileFacts | None = None, note: str = "") -> None:
    """Write uint8 ``(H, W, 3)`` as :func:`encode_image` has it, under a temporary name, then rename."""
    atomic_write(path, encode_image(image, Path(path).suffix, facts, note))
