"""Small pyramidal TIFF files for tests of slides."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from stainxform.samples import pair
from stainxform.testing import KINDS, pyramid, write_slide  # noqa: F401

PROFILE = b"not a real profile, but its bytes must come back"


def tissue(height: int = 333, width: int = 421) -> np.ndarray:
    """A piece of synthetic tissue with a band of glass on the right, uint8 ``(height, width, 3)``."""
    return _tissue(height, width).copy()


@lru_cache
def _tissue(height: int, width: int) -> np.ndarray:
    image = pair(1, (height, width), seed=4)[0][0].copy()
    image[:, width * 2 // 3 :] = 244
    return image


def write(path: Path, image: np.ndarray, kind: str = "jpeg 4:4:4", levels: int = 3, **more) -> Path:
    """With a color profile, and lossy unless told."""
    return write_slide(path, image, kind, levels, icc=PROFILE, **more)
