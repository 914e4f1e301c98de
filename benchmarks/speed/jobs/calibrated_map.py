"""The map of a calibrated center: nothing is estimated, where the peers estimate the stains of each tile."""

from __future__ import annotations

from functools import partial

import numpy as np

from jobs import Maker, macenko, map_only

TITLE = "Calibrated map, beside Macenko of each tile"
OURS = "stainxform, optical density"
REFERENCES = ("memcpy",)
BATCHES = ("stainxform, optical density", "stainxform, levels", "memcpy", "stainx")
NOTES = {
    "stainxform, optical density": "3x3 matrix and offset of optical density, for tissue; glass stays",
    "stainxform, levels": "the same of levels",
    "memcpy": "of the image, into memory that is there",
    "stainx": "per tile",
    "torchstain, numpy": "per tile",
    "torchstain, torch": "per tile",
    "tiatoolbox": "per tile",
    "MONAI": "per tile",
}


def implementations(target: np.ndarray, image: np.ndarray) -> dict[str, Maker]:
    """See :mod:`jobs`."""
    peers = macenko.implementations(target, image)
    del peers["stainxform"]
    return {
        "stainxform, optical density": partial(_ours, target, image, "od"),
        "stainxform, levels": partial(_ours, target, image, "rgb"),
        "memcpy": map_only.implementations(target, image)["memcpy"],
        **peers,
    }


def _ours(target, image, space):
    from stainxform.normalizers.transport import Transport

    color_map = Transport.fit(target, space=space).map_for_tiles(image)
    return lambda: color_map(image)
