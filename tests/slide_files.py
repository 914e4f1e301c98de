"""Small pyramidal TIFF files for tests of slides."""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stainxform.samples import pair

PROFILE = b"not a real profile, but its bytes must come back"


class Kind(NamedTuple):
    """How the tiles of a test file are stored."""

    options: dict
    tile: tuple[int, int] = (64, 64)


KINDS = {
    "jpeg 4:4:4": Kind({"photometric": "rgb", "compression": "jpeg", "subsampling": (1, 1)}),
    "jpeg 4:2:0": Kind({"photometric": "rgb", "compression": "jpeg", "subsampling": (2, 2)}),
    "jpeg rgb": Kind({"photometric": "rgb", "compression": "jpeg", "compressionargs": {"outcolorspace": "rgb"}}),
    "deflate": Kind({"photometric": "rgb", "compression": "deflate"}),
    "deflate, wide tiles": Kind({"photometric": "rgb", "compression": "deflate"}, (32, 80)),
}


def tissue(height: int = 333, width: int = 421) -> np.ndarray:
    """A piece of synthetic tissue with a band of glass on the right, uint8 ``(height, width, 3)``."""
    return _tissue(height, width).copy()


@lru_cache
def _tissue(height: int, width: int) -> np.ndarray:
    image = pair(1, (height, width), seed=4)[0][0].copy()
    image[:, width * 2 // 3 :] = 244
    return image


def pyramid(image: np.ndarray, levels: int = 3) -> list[np.ndarray]:
    """The image and every second, fourth, ... pixel of it."""
    return [np.ascontiguousarray(image[:: 1 << rank, :: 1 << rank]) for rank in range(levels)]


def write(path: Path, image: np.ndarray, kind: str = "jpeg 4:4:4", levels: int = 3, **more) -> Path:
    """A generic pyramid of half a micrometer per pixel, its levels in the main chain."""
    import tifffile

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
                "iccprofile": PROFILE if rank == 0 else None,
            }
            file.write(level, **options | chosen.options | more)
    return path
