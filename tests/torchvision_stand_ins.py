"""torchvision without its compiled operators, which its transforms do not need.

Builds of torchvision fit one build of torch. Beside another one, say torch for CPUs, its import fails, because operators
are missing that it describes. They are declared here, without anything that computes them.
"""

from __future__ import annotations

import contextlib
from importlib.util import find_spec
from pathlib import Path

_DECLARED = []
"""Declarations last as long as what declared them."""


def let_torchvision_import() -> None:
    """Declare the operators that torchvision misses, if it is installed and cannot load its own."""
    spec = find_spec("torchvision")
    if _DECLARED or spec is None or not spec.submodule_search_locations or find_spec("torch") is None:
        return
    import torch

    for library in Path(next(iter(spec.submodule_search_locations))).glob("_C.*"):
        with contextlib.suppress(OSError):
            torch.ops.load_library(str(library))
            return
    missing = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        missing.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _DECLARED.append(missing)
