"""Which ICC profile a pyramid carries, and how that is told."""

from __future__ import annotations

from stainxform.errors import ParameterError
from stainxform.io.profile import srgb_profile
from stainxform.slides.base import Slide

__all__ = ["profile_for"]


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
        return srgb_profile(), f"{state}, ICC profile sRGB"
    if icc is None:
        return None, f"{state}, ICC profile none"
    if isinstance(icc, bytes):
        return icc, f"{state}, ICC profile given by the user"
    raise ParameterError(f'icc must be "auto", "source", "srgb", None or the bytes of a profile, got {icc!r}')
