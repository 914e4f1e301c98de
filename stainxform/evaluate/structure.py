"""Whether a normalized image still shows the tissue of its source."""

from __future__ import annotations

import numpy as np

from stainxform.color import GRAY_WEIGHTS
from stainxform.evaluate.metrics import check_pair, gray_ssim

__all__ = ["luminance_ssim"]


def luminance_ssim(image: np.ndarray, source: np.ndarray) -> float:
    """SSIM of the luma of a normalized image to that of its *source*: structure kept.

    Not to be mixed with :func:`stainxform.evaluate.ssim` to a target, which asks how close a result came to another
    image; here 1 means that nothing but color changed. Brightness and contrast are part of SSIM, so a method that
    darkens a tile lowers it, too.

    Parameters
    ----------
    image, source : ndarray
        uint8 ``(H, W, 3)``, at least 11 x 11 pixels.

    Returns
    -------
    float
        -1..1.

    Raises
    ------
    InvalidImageError
        As for :func:`stainxform.evaluate.ssim`.

    Notes
    -----
    Luma of ITU-R BT.601, unrounded; window and constants of Wang et al. 2004.
    """
    check_pair(image, source)
    return gray_ssim(*(each.astype(np.float64) @ GRAY_WEIGHTS for each in (image, source)))
