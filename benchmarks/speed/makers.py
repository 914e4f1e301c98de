"""Makers of normalizers that serve several jobs: fitted on the target, to be applied to the image."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jobs import Maker
from layouts import batch_chw


def ours(method: str, target: np.ndarray, image: np.ndarray) -> Maker:
    """By the name of the method."""

    def make():
        from stainxform.normalizers.registry import normalizer_class

        normalizer = normalizer_class(method).fit(target)
        return lambda: normalizer(image, on_blank="raise")

    return make


def tiatoolbox(method: str, target: np.ndarray, image: np.ndarray) -> Maker:
    """By the name of the method."""

    def make():
        import tiatoolbox

        # Its modules of stains alone: the package imports all of its models, which need torchvision.
        tools = ModuleType("tiatoolbox.tools")
        tools.__path__ = [str(Path(tiatoolbox.__file__).parent / "tools")]
        sys.modules.setdefault("tiatoolbox.tools", tools)
        from tiatoolbox.tools.stainnorm import get_normalizer

        normalizer = get_normalizer(method)
        normalizer.fit(target)
        return lambda: normalizer.transform(image)

    return make


def stainx(name: str, target: np.ndarray, image: np.ndarray) -> Maker:
    """By the name of the class."""

    def make():
        import stainx

        normalizer = getattr(stainx, name)(device="cpu").fit(batch_chw(target))
        source = batch_chw(image)
        return lambda: normalizer.transform(source)

    return make


def torchstain(name: str, backend: str, target: np.ndarray, image: np.ndarray, **settings: Any) -> Maker:
    """By the name of the class; ``settings`` go to ``normalize``."""

    def make():
        import torchstain

        normalizer = getattr(torchstain.normalizers, name)(backend=backend)
        own, source = (batch_chw(x)[0] if backend == "torch" else x for x in (target, image))
        normalizer.fit(own)

        def run():
            result = normalizer.normalize(source, **settings)
            return result[0] if isinstance(result, tuple) else result

        return run

    return make
