"""Half the resolution of an image, in compiled code where it is there."""

from __future__ import annotations

import numpy as np

from stainxform._native import native


def halve(pixels: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels of uint8 ``(height, width, 3)``, rounded half up; uint8, sides halved and rounded up.

    At an odd side the last row or column counts twice.
    """
    rows, columns = pixels.shape[:2]
    if not native.takes(pixels) or pixels.strides[1:] != (3, 1):
        return halve_plainly(pixels)
    half = np.empty(((rows + 1) // 2, (columns + 1) // 2, 3), np.uint8)
    native.call("sx_halve", pixels, rows, columns, pixels.strides[0], half)
    return half


def halve_plainly(pixels: np.ndarray) -> np.ndarray:
    """The same in numpy."""
    rows, columns = (np.minimum(np.arange(0, side + side % 2), side - 1) for side in pixels.shape[:2])
    even = pixels if not (pixels.shape[0] % 2 or pixels.shape[1] % 2) else pixels[rows][:, columns]
    sums = even[0::2].astype(np.uint16) + even[1::2]
    return ((sums[:, 0::2] + sums[:, 1::2] + 2) >> 2).astype(np.uint8)
