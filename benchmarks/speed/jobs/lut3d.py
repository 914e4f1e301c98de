"""A 3D LUT of 33 nodes a side on 8-bit pixels."""

from __future__ import annotations

from functools import partial

import numpy as np

from jobs import Maker
from jobs.map_only import known_map

TITLE = "3D LUT, 33 nodes"
SAME = ("OpenColorIO, tetrahedral", "OpenColorIO, trilinear", "Pillow", "torch grid_sample")
LEVELS = 1.0
BATCHES = ("stainxform", "stainxform, trilinear", "torch grid_sample")
NOTES = {"stainxform": "tetrahedral", "Pillow": "trilinear", "torch grid_sample": "trilinear, float32"}

NODES = 33


def implementations(target: np.ndarray, image: np.ndarray) -> dict[str, Maker]:
    """See :mod:`jobs`."""
    return {
        "stainxform": partial(_ours, target, image, "tetrahedral"),
        "stainxform, trilinear": partial(_ours, target, image, "trilinear"),
        "OpenColorIO, tetrahedral": partial(_opencolorio, target, image, "INTERP_TETRAHEDRAL"),
        "OpenColorIO, trilinear": partial(_opencolorio, target, image, "INTERP_LINEAR"),
        "Pillow": partial(_pillow, target, image),
        "torch grid_sample": partial(_torch, target, image),
    }


def _baked(target, image, interpolation="tetrahedral"):
    import stainxform as sx

    return sx.bake(known_map(target, image), NODES, interpolation)


def _ours(target, image, interpolation):
    lut = _baked(target, image, interpolation)
    return lambda: lut(image)


def _opencolorio(target, image, interpolation):
    import PyOpenColorIO as ocio  # noqa: N813

    transform = ocio.Lut3DTransform(NODES)
    transform.setInterpolation(getattr(ocio, interpolation))
    transform.setData(np.ascontiguousarray(_baked(target, image).table, np.float32).ravel())
    processor = ocio.Config.CreateRaw().getProcessor(transform)
    depth = ocio.BIT_DEPTH_UINT8
    cpu = processor.getOptimizedCPUProcessor(depth, depth, ocio.OPTIMIZATION_DEFAULT)
    height, width, _ = image.shape

    def run():
        out = np.empty_like(image)
        source, result = (ocio.PackedImageDesc(x, width, height, 3, depth, 1, 3, 3 * width) for x in (image, out))
        cpu.apply(source, result)
        return out

    return run


def _pillow(target, image):
    from PIL import Image, ImageFilter

    table = np.swapaxes(_baked(target, image).table, 0, 2)  # red changes fastest
    lut = ImageFilter.Color3DLUT(NODES, table.ravel().tolist())
    picture = Image.fromarray(image)
    return lambda: picture.filter(lut)


def _torch(target, image):
    import torch
    from torch.nn.functional import grid_sample

    # (1, 3, blue, green, red): the coordinates of grid_sample are x, y, z, the last axis first.
    table = torch.from_numpy(np.ascontiguousarray(_baked(target, image).table.transpose(3, 2, 1, 0)))[None]
    source = torch.from_numpy(image if image.ndim == 4 else image[None])

    def run():
        grid = source.to(torch.float32) * (2 / 255) - 1
        colors = grid_sample(table, grid[None], align_corners=True)[0]
        return (colors * 255).round_().clamp_(0, 255).to(torch.uint8).movedim(0, -1)

    return run
