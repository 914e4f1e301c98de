"""What is inside an image file (Pillow): the one picture, as 8-bit RGB, and what is told besides."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from stainxform.errors import InvalidImageError
from stainxform.io.profile import space_of, srgb_profile

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["FileFacts", "decoded", "rgb_of"]

_SUBFILE, _BITS, _ORIENTATION, _SAMPLES, _RESOLUTION, _SAMPLE_FORMAT = 254, 258, 274, 277, 282, 339
"""Tags of TIFF and EXIF."""

_REDUCED = 1
"""Bit of NewSubfileType: the page is a smaller version of another one."""

_MAX_DPI = 1e6
"""A pixel of 25 nanometers: what is finer is no resolution of light microscopy."""


@dataclass(frozen=True)
class FileFacts:
    """What an image file says besides its pixels. Only ``icc`` and ``dpi`` are carried over to an output.

    Parameters
    ----------
    icc : bytes, optional
        ICC profile of the stored RGB values.
    dpi : (float, float), optional
        Pixels per inch along x and y.
    sha256 : str, optional
        Hash of the bytes of the file.
    """

    icc: bytes | None = None
    dpi: tuple[float, float] | None = None
    sha256: str = ""

    def mapped(self) -> FileFacts:
        """The facts of the normalized image: its colors are no longer those of the scanner that the profile is of.

        Where the source told its color space, the output says sRGB, as slides do: stored values are then shown as they
        are, and two centers that were normalized to one look the same.
        """
        return self if self.icc is None else replace(self, icc=srgb_profile())


def decoded(file: BinaryIO, name: str) -> tuple[np.ndarray, FileFacts]:
    """The picture in an open file, uint8 ``(H, W, 3)``, and its facts; ``name`` is for messages.

    Raises
    ------
    InvalidImageError
        More than 8 bits a channel, or several pictures. Of a damaged file, whatever its decoder raises.
    """
    from PIL import Image

    with Image.open(file) as image:
        _go_to_picture(image, name)
        facts = _facts(image)
        return rgb_of(image, name), facts


def rgb_of(image: Image.Image, name: str) -> np.ndarray:
    """The pixels of a Pillow image as uint8 ``(H, W, 3)``, by the rules of :func:`stainxform.io.images.read_image`.

    Parameters
    ----------
    image : PIL.Image.Image
        An image, of a file or not. Where its file holds several, it is left at the one that is the picture.
    name : str
        What it is called in messages.

    Raises
    ------
    InvalidImageError
        More than 8 bits a channel, more channels than are known, or several pictures.
    """
    _go_to_picture(image, name)
    if _is_deep(image):
        raise InvalidImageError(f"{name} has more than 8 bits a channel (mode {image.mode}); convert it to 8 bits")
    if image.format == "TIFF" and (kinds := {*image.tag_v2.get(_SAMPLE_FORMAT, (1,))} - {1, 4}):  # type: ignore[attr-defined]
        raise InvalidImageError(f"{name} holds no unsigned integers (SampleFormat {min(kinds)}); convert it to 8 bits")
    if image.format == "TIFF" and (count := _channels_of_tiff(image)):
        raise InvalidImageError(f"{name} holds {count} channels; save red, green and blue as a file of their own")
    icc = image.info.get("icc_profile")
    image.load()
    return np.asarray(_as_rgb(_upright(image), icc))


def _go_to_picture(image: Image.Image, name: str) -> None:
    """To the one picture that a file holds."""
    pages = getattr(image, "n_frames", 1)
    if pages == 1 or image.format == "MPO":  # CIPA DC-007: the first is the picture, the others are its previews
        return
    whole = []
    if image.format == "TIFF":
        for page in range(pages):
            image.seek(page)
            if not image.tag_v2.get(_SUBFILE, 0) & _REDUCED:  # type: ignore[attr-defined]
                whole.append(page)
    if len(whole) != 1:
        raise InvalidImageError(
            f"{name} holds {pages} images; save the one you want as a file of its own, or cut a slide into tiles"
        )
    image.seek(whole[0])


def _channels_of_tiff(image: Image.Image) -> int:
    """How many there are, if Pillow would leave out some without a word, else 0; of RGB, one more is padding."""
    found, known = image.tag_v2.get(_SAMPLES, 1), len(image.getbands())  # type: ignore[attr-defined]
    return found if found > known and (found, known) != (4, 3) else 0


def _is_deep(image: Image.Image) -> bool:
    """Whether a channel has more than 8 bits, of which Pillow would drop the low ones, or mix them up, without a word."""
    if image.mode.startswith(("I", "F")):
        return True
    if image.format == "TIFF":
        return max(image.tag_v2.get(_BITS, (1,))) > 8  # type: ignore[attr-defined]
    tiles = getattr(image, "tile", ())
    if ";16" in str(tiles):
        return True
    if image.format == "PPM":  # P6 of more than 255 levels
        return any(isinstance(tile.args, tuple) and max(tile.args[1:]) > 255 for tile in tiles)
    file = getattr(image, "fp", None)
    if file is None or file.closed:  # it was loaded before it was given
        return False
    return (image.format == "JPEG2000" and _bits_of_jpeg2000(file) > 8) or (
        image.format == "AVIF" and _is_deep_avif(file)
    )


def _upright(image: Image.Image) -> Image.Image:
    """As its EXIF orientation says; TIFF files Pillow has turned when it loaded them."""
    from PIL import ImageOps

    return image if _orientation(image) == 1 else ImageOps.exif_transpose(image)


def _orientation(image: Image.Image) -> int:
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF tells none
        return 1
    return found if found in range(1, 9) else 1


def _bits_of_jpeg2000(file: BinaryIO) -> int:
    """Of the deepest channel, as the SIZ marker has it (ISO 15444-1, A.5.1)."""
    head = _head(file)
    siz = head.index(b"\xff\x4f\xff\x51") + 4
    (channels,) = struct.unpack_from(">H", head, siz + 36)
    return max((head[siz + 38 + 3 * channel] & 127) + 1 for channel in range(channels))


def _is_deep_avif(file: BinaryIO) -> bool:
    """Whether the picture has 10 or 12 bits, as a box says (AV1 in ISOBMFF, 2.3.3: high_bitdepth)."""
    _, box, record = _head(file).partition(b"av1C")
    return bool(box) and bool(record[2:3]) and bool(record[2] & 0x40)


def _head(file: BinaryIO) -> bytes:
    """The first bytes of a file, which is left at its place."""
    place = file.tell()
    file.seek(0)
    head = file.read(1 << 16)
    file.seek(place)
    return head


def _facts(image: Image.Image) -> FileFacts:
    """What is told of the picture of a file that is not loaded yet."""
    icc = image.info.get("icc_profile")
    return FileFacts(icc if space_of(icc) == "RGB" else None, _dpi(image))


def _dpi(image: Image.Image) -> tuple[float, float] | None:
    """Pixels per inch, along the sides of the upright image; None where the file tells none that makes sense."""
    if image.format == "TIFF" and _RESOLUTION not in image.tag_v2:  # type: ignore[attr-defined]
        return None  # Pillow would say 1
    try:
        x, y = (float(value) for value in image.info.get("dpi", ()))
    except (TypeError, ValueError, ArithmeticError):
        return None
    if not all(1 < value <= _MAX_DPI for value in (x, y)):
        return None
    return (y, x) if _orientation(image) > 4 else (x, y)


def _as_rgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    from PIL import Image

    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    if image.mode == "LAB":
        return _as_srgb(image, None)
    if image.mode == "CMYK" and space_of(icc) == "CMYK":
        return _as_srgb(image, icc)
    return image.convert("RGB")


def _as_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """CMYK or Lab as sRGB, by a profile: there is no other way to know what colors they are."""
    from PIL import ImageCms

    source = ImageCms.ImageCmsProfile(io.BytesIO(icc)) if icc else ImageCms.createProfile("LAB")
    made = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert made is not None
    return made
