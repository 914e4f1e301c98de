"""Which ICC profile a pyramid carries, and how that is told."""

from __future__ import annotations

from functools import lru_cache

from stainxform.errors import ParameterError
from stainxform.slides.base import Slide

__all__ = ["profile_for"]

_DATE = slice(24, 36)
"""Where the header of a profile says when it was made (ICC.1, 7.2.8)."""


def profile_for(icc: bytes | str | None, slide: Slide, mapped: bool) -> tuple[bytes | None, str]:
    """The profile to embed, and a text that records the decision.

    Raises
    ------
    ParameterError
        A name that is none of "auto", "source" and "srgb".
    """
    state = "colors normalized to the target's" if mapped else "colors as in the source"
    if icc == "auto":
        icc = "srgb" if mapped else "source"
    if icc == "source":
        return slide.icc, f"{state}, ICC profile {'of the source' if slide.icc else 'none: the source has none'}"
    if icc == "srgb":
        return _srgb(), f"{state}, ICC profile sRGB"
    if icc is None:
        return None, f"{state}, ICC profile none"
    if isinstance(icc, bytes):
        return icc, f"{state}, ICC profile given by the user"
    raise ParameterError(f'icc must be "auto", "source", "srgb", None or the bytes of a profile, got {icc!r}')


@lru_cache(maxsize=1)
def _srgb() -> bytes:
    """The same bytes whenever it is made."""
    from PIL import ImageCms

    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[_DATE] = bytes(12)
    return bytes(profile)
