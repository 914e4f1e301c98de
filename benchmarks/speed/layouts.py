"""Images as the peers want them, and back. Never timed."""

from __future__ import annotations

from typing import Any

import numpy as np


def batch_chw(image: np.ndarray) -> Any:
    """A contiguous uint8 tensor ``(N, 3, H, W)``."""
    import torch

    batch = image if image.ndim == 4 else image[None]
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(batch, -1, 1)))


def as_levels(result: Any, shape: tuple[int, ...]) -> np.ndarray:
    """A result in any layout as ``shape``, channels last; raises ValueError unless it is made of finite 8-bit levels."""
    array = np.asarray(result)
    if array.shape != shape and array.shape[-1] != 3:
        array = np.moveaxis(array, -3, -1)
    array = array.reshape(shape)
    if array.dtype.kind not in "ui":
        raise ValueError(f"the result is {array.dtype}, not 8-bit levels")
    if array.min() < 0 or array.max() > 255:
        raise ValueError(f"the result reaches from {array.min()} to {array.max()}")
    return array.astype(np.uint8)
