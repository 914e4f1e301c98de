"""ICC profiles: what their header says, and the one of sRGB."""

from __future__ import annotations

from functools import lru_cache

__all__ = ["space_of", "srgb_profile"]

_SPACE, _SIGNATURE, _DATE = slice(16, 20), slice(36, 40), slice(24, 36)
"""Where the header says of what colors it is, that it is one, and when it was made (ICC.1, 7.2)."""


def space_of(profile: bytes | None) -> str:
    """Which colors a profile is of: "RGB", "GRAY", "CMYK", "Lab"; empty for what is no profile."""
    return profile[_SPACE].decode("ascii", "replace").strip() if profile and profile[_SIGNATURE] == b"acsp" else ""


@lru_cache(maxsize=1)
def srgb_profile() -> bytes:
    """The profile of sRGB; the same bytes whenever it is made."""
    from PIL import ImageCms

    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[_DATE] = bytes(12)
    return bytes(profile)
