"""stainxform: fit a center's stain appearance once, and make every other center's images look like it.

>>> import stainxform as sx
>>> center = sx.fit_center("center_a/", method="macenko")  # doctest: +SKIP
>>> normalized = center(image)  # doctest: +SKIP

Importing the package loads numpy only; torch, MONAI and the others are imported when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from stainxform._version import __version__

if TYPE_CHECKING:
    from stainxform.center import fit_center
    from stainxform.maps import ColorMap
    from stainxform.normalizers.base import Normalizer
    from stainxform.normalizers.macenko import Macenko
    from stainxform.normalizers.registry import Method, register
    from stainxform.normalizers.registry import registered as methods
    from stainxform.normalizers.reinhard import Reinhard
    from stainxform.normalizers.stainlut import StainLUT
    from stainxform.tissue import tissue_mask

_LAZY = {
    "ColorMap": "maps:ColorMap",
    "Macenko": "normalizers.macenko:Macenko",
    "Method": "normalizers.registry:Method",
    "Normalizer": "normalizers.base:Normalizer",
    "Reinhard": "normalizers.reinhard:Reinhard",
    "StainLUT": "normalizers.stainlut:StainLUT",
    "fit_center": "center:fit_center",
    "methods": "normalizers.registry:registered",
    "register": "normalizers.registry:register",
    "tissue_mask": "tissue:tissue_mask",
}

__all__ = [
    "ColorMap",
    "Macenko",
    "Method",
    "Normalizer",
    "Reinhard",
    "StainLUT",
    "__version__",
    "fit_center",
    "load",
    "methods",
    "register",
    "tissue_mask",
]


def load(path: str) -> Normalizer:
    """Read the model file of any method.

    Raises ModelFileError for a file that is no complete, unaltered model, MissingDependencyError where the method
    needs an extra that is not installed.
    """
    from stainxform.normalizers.base import Normalizer

    return Normalizer.load(path)


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _LAZY[name].partition(":")
    value = getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
