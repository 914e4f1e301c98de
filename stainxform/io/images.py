"""Image files in and out (Pillow): 8-bit RGB, checked, written atomically."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from stainxform.errors import InvalidImageError, ParameterError
from stainxform.io.atomic import atomic_write

__all__ = ["SUFFIXES", "WRITTEN", "encode_image", "read_image", "rgb_of", "write_image"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
"""File types read from folders, lower case."""

_WRITERS: dict[str, tuple[str, dict[str, object]]] = {
    ".png": ("PNG", {"compress_level": 4}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".tif": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ".tiff": ("TIFF", {"compression": "tiff_adobe_deflate"}),
}

WRITTEN = tuple(_WRITERS)
"""File types that are written, lower case."""


def read_image(path: str | Path) -> np.ndarray:
    """Read a whole image file as uint8 ``(H, W, 3)``.

    Gray is repeated three times, a palette is expanded, transparency is laid over white.

    Raises
    ------
    InvalidImageError
        A file that is missing, truncated, no image, larger than Pillow's safety limit, deeper than 8 bits, or that
        holds several images (pages of a TIFF, frames), of which none is guessed to be the one.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            return rgb_of(image, str(path))
    except InvalidImageError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise InvalidImageError(f"{path} cannot be read as an image ({reason}); replace or remove it") from error


def rgb_of(image: Any, name: str) -> np.ndarray:
    """The pixels of a Pillow image as uint8 ``(H, W, 3)``, by the rules of :func:`read_image`; ``name`` is for errors."""
    from PIL import Image

    pages = getattr(image, "n_frames", 1)
    if pages > 1:
        raise InvalidImageError(
            f"{name} holds {pages} images; save the one you want as a file of its own, or cut a slide into tiles"
        )
    # Pillow would drop the low bytes of 16-bit RGB without a word; only its decoder's arguments tell.
    if image.mode.startswith(("I", "F")) or ";16" in str(getattr(image, "tile", "")):
        raise InvalidImageError(f"{name} has more than 8 bits a channel (mode {image.mode}); convert it to 8 bits")
    if image.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))
    return np.asarray(image.convert("RGB"))


def encode_image(image: np.ndarray, suffix: str) -> bytes:
    """Encode uint8 ``(H, W, 3)``: PNG, JPEG (quality 95, 4:4:4) or TIFF (deflate), by file suffix."""
    from PIL import Image

    if suffix.lower() not in _WRITERS:
        raise ParameterError(f"cannot write {suffix!r} files; use one of: {', '.join(_WRITERS)}")
    kind, options = _WRITERS[suffix.lower()]
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **options)
    return buffer.getvalue()


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Write uint8 ``(H, W, 3)`` under a temporary name, then rename."""
    atomic_write(path, encode_image(image, Path(path).suffix))
