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
    from stainxform._native.native import set_threads
    from stainxform.image.glass import background_intensity
    from stainxform.image.tissue import tissue_mask
    from stainxform.maps import ColorMap, Lut3DMap, bake, bake_center, bake_error, read_cube, write_cube
    from stainxform.normalizers.base import Normalizer
    from stainxform.normalizers.center import fit_center
    from stainxform.normalizers.colornormnet.normalizer import ColorNormNet
    from stainxform.normalizers.histogram_matching import HistogramMatching
    from stainxform.normalizers.khan import Khan
    from stainxform.normalizers.macenko import Macenko
    from stainxform.normalizers.ramakrishnan import Ramakrishnan
    from stainxform.normalizers.registry import Method, register
    from stainxform.normalizers.registry import registered as methods
    from stainxform.normalizers.reinhard import Reinhard
    from stainxform.normalizers.reinhard_modified import ReinhardModified
    from stainxform.normalizers.staingan.normalizer import StainGAN
    from stainxform.normalizers.stainlut.normalizer import StainLUT
    from stainxform.normalizers.stainnet.normalizer import StainNet
    from stainxform.normalizers.vahadane import Vahadane
    from stainxform.pipeline.estimate import slide_map
    from stainxform.pipeline.run import normalize_slides
    from stainxform.slides.readers.registry import open_slide
    from stainxform.stains.references import complement_stains, match_stains, reference_stains
    from stainxform.stains.tools import combine_stains, estimate_stain_matrix, separate_stains

_LAZY = {
    "ColorMap": "maps:ColorMap",
    "ColorNormNet": "normalizers.colornormnet.normalizer:ColorNormNet",
    "HistogramMatching": "normalizers.histogram_matching:HistogramMatching",
    "Khan": "normalizers.khan:Khan",
    "Lut3DMap": "maps:Lut3DMap",
    "Macenko": "normalizers.macenko:Macenko",
    "Method": "normalizers.registry:Method",
    "Normalizer": "normalizers.base:Normalizer",
    "Ramakrishnan": "normalizers.ramakrishnan:Ramakrishnan",
    "Reinhard": "normalizers.reinhard:Reinhard",
    "ReinhardModified": "normalizers.reinhard_modified:ReinhardModified",
    "StainGAN": "normalizers.staingan.normalizer:StainGAN",
    "StainLUT": "normalizers.stainlut.normalizer:StainLUT",
    "StainNet": "normalizers.stainnet.normalizer:StainNet",
    "Vahadane": "normalizers.vahadane:Vahadane",
    "background_intensity": "image.glass:background_intensity",
    "bake": "maps:bake",
    "bake_center": "maps:bake_center",
    "bake_error": "maps:bake_error",
    "combine_stains": "stains.tools:combine_stains",
    "complement_stains": "stains.references:complement_stains",
    "estimate_stain_matrix": "stains.tools:estimate_stain_matrix",
    "fit_center": "normalizers.center:fit_center",
    "match_stains": "stains.references:match_stains",
    "methods": "normalizers.registry:registered",
    "normalize_slides": "pipeline.run:normalize_slides",
    "open_slide": "slides.readers.registry:open_slide",
    "read_cube": "maps:read_cube",
    "reference_stains": "stains.references:reference_stains",
    "register": "normalizers.registry:register",
    "separate_stains": "stains.tools:separate_stains",
    "set_threads": "_native.native:set_threads",
    "slide_map": "pipeline.estimate:slide_map",
    "tissue_mask": "image.tissue:tissue_mask",
    "write_cube": "maps:write_cube",
}

__all__ = [
    "ColorMap",
    "ColorNormNet",
    "HistogramMatching",
    "Khan",
    "Lut3DMap",
    "Macenko",
    "Method",
    "Normalizer",
    "Ramakrishnan",
    "Reinhard",
    "ReinhardModified",
    "StainGAN",
    "StainLUT",
    "StainNet",
    "Vahadane",
    "__version__",
    "background_intensity",
    "bake",
    "bake_center",
    "bake_error",
    "combine_stains",
    "complement_stains",
    "estimate_stain_matrix",
    "fit_center",
    "load",
    "match_stains",
    "methods",
    "normalize_slides",
    "open_slide",
    "read_cube",
    "reference_stains",
    "register",
    "separate_stains",
    "set_threads",
    "slide_map",
    "tissue_mask",
    "write_cube",
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
    try:
        value = getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
    except ModuleNotFoundError as error:
        if error.name == "torch":
            from stainxform._optional import require

            require("torch", "torch")  # raises the error that names the extra
        raise
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
