"""StainLUT's lookup: gray and context to color, the table and the context given."""

from __future__ import annotations

from functools import partial

import numpy as np

from jobs import Maker
from jobs.map_only import _memcpy

TITLE = "StainLUT lookup"
SAME = ("torch eager",)
LEVELS = 0.5
REFERENCES = ("memcpy",)
NOTES = {"torch eager": "embedding, hat functions, rounding", "memcpy": "of the color image, into memory that is there"}


def implementations(target: np.ndarray, image: np.ndarray) -> dict[str, Maker]:
    """See :mod:`jobs`."""
    return {
        "stainxform": partial(_ours, image),
        "torch eager": partial(_torch, image),
        "memcpy": partial(_memcpy, image),
    }


def _inputs(image):
    """Table ``(256, 2, 3)``, gray and context ``(H, W)``, from the image, without training."""
    gray = image[..., 1].copy()
    ramp = np.arange(256) / 255
    table = np.stack([np.stack([ramp**0.8, ramp, ramp**0.9], -1), np.stack([ramp, ramp**1.2, ramp], -1)], 1)
    return table.astype(np.float32), gray, image[..., 0].astype(np.float32) / 255


def _ours(image):
    from stainxform._native import kernels, native

    table, gray, context = _inputs(image)
    if not native.active():
        return _torch(image)
    padded = np.zeros((256, 2, 4), np.float32)
    padded[..., :3] = table

    def run():
        out = np.empty_like(image)
        kernels.gray_lut(padded, gray, context, np.moveaxis(out, -1, 0), 0.0, 255.0)
        return out

    return run


def _torch(image):
    import torch

    from stainxform.ops.lut4d import lookup_gray

    table, gray, context = (torch.from_numpy(array) for array in _inputs(image))
    table = table.permute(2, 1, 0).contiguous()

    def run():
        colors = lookup_gray(table, gray, context)
        return (colors * 255).round_().clamp_(0, 255).to(torch.uint8).movedim(0, -1).contiguous()

    return run
