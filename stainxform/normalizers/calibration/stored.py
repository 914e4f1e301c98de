"""Maps as arrays and JSON, so that a model file can hold one."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

import numpy as np

from stainxform.errors import ParameterError
from stainxform.image.layout import check_image
from stainxform.io.settings import init_fields
from stainxform.maps.base import ColorMap

__all__ = ["is_storable", "pack_map", "unpack_map"]

_HOMES = {
    name: module
    for module, names in {
        "stainxform.maps.base": ("IdentityMap",),
        "stainxform.maps.combine": ("MixtureMap", "ChainMap"),
        "stainxform.maps.lut3d": ("Lut3DMap",),
        "stainxform.maps.pointwise": (
            "ChannelAffineMap", "CurveMap", "NonnegativeStainMap", "PointwiseNetMap", "StainMatrixMap"),
        "stainxform.maps.polynomial": ("PolynomialMap",),
        "stainxform.maps.transport": ("Levels", "TransportMap"),
        "stainxform.normalizers.khan": ("MonotoneSpline", "StainSplineMap"),
        "stainxform.stains.separation": ("LeastSquares", "NonnegativeLasso"),
        "stainxform.color.spaces": (
            "BackgroundDensity", "CIELab", "LAlphaBeta", "OpticalDensity", "ReversibleDensity"),
    }.items()
    for name in names
}  # fmt: skip
"""What a file may name, and where it is: nothing else is ever imported for one."""


def is_storable(value: Any) -> bool:
    """Whether :func:`pack_map` can keep a map as it is, with all that it is made of."""
    if isinstance(value, tuple):
        return all(map(is_storable, value))
    if _HOMES.get(type(value).__name__) == type(value).__module__:
        return all(is_storable(getattr(value, field.name)) for field in init_fields(value))
    return isinstance(value, np.ndarray | bool | int | float | str | None)


def pack_map(color_map: ColorMap, prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Take a map apart.

    Parameters
    ----------
    color_map : ColorMap
        A storable one, see :func:`is_storable`.
    prefix : str
        What the names of its arrays begin with.
    arrays : dict of str to ndarray
        Where its arrays go.

    Returns
    -------
    dict
        What JSON holds of it; :func:`unpack_map` is the way back.

    Raises
    ------
    ParameterError
        The map cannot be stored.
    """
    if not is_storable(color_map):
        raise ParameterError(f"a {type(color_map).__name__} cannot be stored in a model file; bake it into a 3D LUT")
    packed: dict[str, Any] = _pack(color_map, prefix, arrays)
    return packed


def unpack_map(packed: Any, arrays: dict[str, np.ndarray]) -> ColorMap:
    """Put a map together again, and try it; an exception of any kind for what is none: it comes from a file."""
    found = _unpack(packed, arrays)
    if not isinstance(found, ColorMap):
        raise ValueError(f"{type(found).__name__} is no color map")
    _try(found)
    return found


def _try(color_map: ColorMap) -> None:
    """Apply a map to some colors in every way it will be applied; ValueError where no color comes out."""
    levels = np.array([0, 1, 60, 128, 200, 254, 255], np.uint8)
    colors = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(1, -1, 3)
    for image in (colors, (colors / 255).astype(np.float32), colors / 255):
        with np.errstate(all="ignore"):
            result = color_map.apply(image, check_image(image))
        if result.shape != image.shape or not np.isfinite(result).all():
            raise ValueError(f"a {type(color_map).__name__} does not give colors")


def _pack(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, np.ndarray):
        arrays[name] = value
        return {"array": name}
    if isinstance(value, tuple):
        return {"tuple": [_pack(item, f"{name}/{number}", arrays) for number, item in enumerate(value)]}
    if dataclasses.is_dataclass(value):
        parts = {
            field.name: _pack(getattr(value, field.name), f"{name}/{field.name}", arrays)
            for field in init_fields(value)
        }
        return {"type": type(value).__name__, "fields": parts}
    return value


def _unpack(packed: Any, arrays: dict[str, np.ndarray]) -> Any:
    if not isinstance(packed, dict):
        return packed
    if "array" in packed:
        return arrays[packed["array"]]
    if "tuple" in packed:
        return tuple(_unpack(item, arrays) for item in packed["tuple"])
    kind = getattr(importlib.import_module(_HOMES[packed["type"]]), packed["type"])
    return kind(**{name: _unpack(item, arrays) for name, item in packed["fields"].items()})
