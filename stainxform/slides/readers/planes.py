"""How a TIFF file keeps the colors of an image: in one page, interleaved or plane by plane, or in a gray page for each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from stainxform.errors import UnsupportedSlideError

__all__ = ["Alpha", "Picture", "UnfitSlideError", "fault_of", "is_gray", "over_white"]

RGB, YCBCR, MINISBLACK = 2, 6, 1
CONTIGUOUS, SEPARATE = 1, 2
UNSIGNED = 1

_ROWS = 256
"""Rows laid over white at a time, in 16 bits."""

_OTHER_COLORS = {0: "gray (white is zero)", 1: "gray", 3: "a palette of colors", 4: "a mask", 5: "CMYK", 8: "CIELAB"}


class UnfitSlideError(UnsupportedSlideError):
    """A TIFF file that holds no slide in 8-bit RGB, or not one alone: no reader of ours may try it."""


class Alpha(Enum):
    """What the fourth channel means: TIFF's ExtraSamples. Where it is unspecified, it must be opaque everywhere."""

    UNSPECIFIED = 0
    ASSOCIATED = 1
    UNASSOCIATED = 2


@dataclass(frozen=True)
class Picture:
    """One image in 8-bit RGB: one page, or three gray ones in the order red, green, blue."""

    pages: tuple[Any, ...]

    @property
    def page(self) -> Any:
        """The page that describes it, the first."""
        return self.pages[0]

    @property
    def planes(self) -> tuple[tuple[Any, int], ...]:
        """Page and number of each plane that is stored by itself; an interleaved image is one."""
        if len(self.pages) > 1:
            return tuple((page, 0) for page in self.pages)
        count = self.page.samplesperpixel if self.page.planarconfig == SEPARATE else 1
        return tuple((self.page, number) for number in range(count))

    @property
    def alpha(self) -> Alpha | None:
        """What its fourth channel means, None where it has three."""
        if len(self.pages) > 1 or self.page.samplesperpixel == 3:
            return None
        return Alpha(int(self.page.extrasamples[0]) if self.page.extrasamples else 0)

    @property
    def interleaved(self) -> bool:
        """Whether it is RGB pixel by pixel and nothing else, as every reader expects it."""
        return len(self.planes) == 1 and self.alpha is None


def fault_of(page: Any) -> str | None:
    """What keeps a page from being an image in 8-bit RGB, in some words; None where nothing does."""
    bits = page.bitspersample
    if page.sampleformat != UNSIGNED:
        return f"has values that are no unsigned integers (SampleFormat {int(page.sampleformat)})"
    if bits != 8:
        return f"has {bits} bits a channel"
    photometric, samples = int(page.photometric), page.samplesperpixel
    if photometric in (RGB, YCBCR) and (samples == 3 or (photometric == RGB and samples == 4 and _names_alpha(page))):
        return None
    colors = {RGB: "RGB", YCBCR: "YCbCr"} | _OTHER_COLORS
    name = colors.get(photometric, f"of photometric interpretation {photometric}")
    return f"is {name}{'' if samples == 1 else f' with {samples} channels'}"


def _names_alpha(page: Any) -> bool:
    return not page.extrasamples or int(page.extrasamples[0]) in (0, 1, 2)


def is_gray(page: Any, samples: int = 1) -> bool:
    """Whether a page has so many channels of 8 bits that might each be one of red, green and blue."""
    found = page.sampleformat, page.bitspersample, int(page.photometric), page.samplesperpixel
    return found == (UNSIGNED, 8, MINISBLACK, samples)


def over_white(pixels: np.ndarray, alpha: Alpha) -> np.ndarray:
    """RGB with an alpha channel, uint8 ``(height, width, 4)``, laid over white."""
    result = np.empty((*pixels.shape[:2], 3), np.uint8)
    for row in range(0, len(pixels), _ROWS):
        part = pixels[row : row + _ROWS].astype(np.uint16)
        colors, opacity = part[..., :3], part[..., 3:]
        if alpha is Alpha.ASSOCIATED:
            result[row : row + _ROWS] = np.minimum(colors + (255 - opacity), 255)
        else:
            result[row : row + _ROWS] = (colors * opacity + 255 * (255 - opacity) + 127) // 255  # below 2 ** 16
    return result
