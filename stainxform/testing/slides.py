"""Small pyramidal TIFF files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stainxform._optional import require

__all__ = ["KINDS", "Kind", "pyramid", "write_slide"]


class Kind(NamedTuple):
    """How the tiles of a file are stored: options of tifffile, and (height, width) of a tile in pixels."""

    options: dict[str, Any]
    tile: tuple[int, int] = (64, 64)


KINDS = {
    "jpeg 4:4:4": Kind({"photometric": "rgb", "compression": "jpeg", "subsampling": (1, 1)}),
    "jpeg 4:2:0": Kind({"photometric": "rgb", "compression": "jpeg", "subsampling": (2, 2)}),
    "jpeg rgb": Kind({"photometric": "rgb", "compression": "jpeg", "compressionargs": {"outcolorspace": "rgb"}}),
    "deflate": Kind({"photometric": "rgb", "compression": "deflate"}),
    "deflate, wide tiles": Kind({"photometric": "rgb", "compression": "deflate"}, (32, 80)),
}
"""By name; JPEG needs imagecodecs."""


def pyramid(image: np.ndarray, levels: int = 3) -> list[np.ndarray]:
    """The image and every second, fourth, ... pixel of it."""
    return [np.ascontiguousarray(image[:: 1 << rank, :: 1 << rank]) for rank in range(levels)]


def write_slide(
    path: Path, image: np.ndarray, kind: str = "deflate", levels: int = 3, *, icc: bytes | None = None, **more: Any
) -> Path:
    """Write a generic pyramid of half a micrometer per pixel, its levels in the main chain.

    Parameters
    ----------
    path : Path
        The file; it is overwritten.
    image : ndarray
        uint8 ``(H, W, 3)``, the first level.
    kind : str, optional
        A name in KINDS.
    levels : int, optional
        Each half as large as the one before.
    icc : bytes, optional
        Bytes of a color profile.
    **more
        Options of ``tifffile.TiffWriter.write``; they win over those of the kind.

    Returns
    -------
    Path
        The path that was given.

    Raises
    ------
    MissingDependencyError
        tifffile is not installed.
    """
    tifffile = require("tifffile", "testing")
    chosen = KINDS[kind]
    with tifffile.TiffWriter(path) as file:
        for rank, level in enumerate(pyramid(image, levels)):
            step = 1 << rank
            options = {
                "tile": chosen.tile,
                "subfiletype": int(rank > 0),
                "resolution": (20000 / step, 20000 / step),
                "resolutionunit": "CENTIMETER",
                "metadata": None,
                "iccprofile": icc if rank == 0 else None,
            }
            file.write(level, **options | chosen.options | more)
    return path
