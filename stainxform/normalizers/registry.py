"""The table of methods. One entry, and a method works in fit_center, load, the command line and the hosts."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stainxform._optional import require
from stainxform.errors import ParameterError

if TYPE_CHECKING:
    from stainxform.normalizers.base import Normalizer


@dataclass(frozen=True)
class Method:
    """One registered method."""

    name: str
    path: str
    """``module:Class`` of the normalizer, imported when first used."""
    title: str
    source: str
    """The publication that defines it."""
    extra: str = ""
    """The extra that brings what it needs beyond the base install; its first package is named in ``needs``."""
    needs: str = ""


_METHODS: dict[str, Method] = {}


def register(method: Method) -> None:
    """Add a method. ParameterError if the name is taken by another class."""
    if _METHODS.get(method.name, method).path != method.path:
        raise ParameterError(f"the method name {method.name!r} is taken by {_METHODS[method.name].path}")
    _METHODS[method.name] = method


def registered() -> dict[str, Method]:
    """All methods by name, sorted."""
    return dict(sorted(_METHODS.items()))


def normalizer_class(name: str) -> type[Normalizer]:
    """The class of a method, imported now.

    Raises ParameterError for an unknown name, MissingDependencyError where its extra is not installed.
    """
    if name not in _METHODS:
        raise ParameterError(f"unknown method {name!r}; choose one of: {', '.join(registered())}")
    method = _METHODS[name]
    if method.needs:
        require(method.needs, method.extra)
    module, _, attribute = method.path.partition(":")
    found: type[Normalizer] = getattr(importlib.import_module(module), attribute)
    return found


for _method in (
    Method(
        "macenko",
        "stainxform.normalizers.macenko:Macenko",
        "Stain matrix from robust extreme angles",
        "Macenko et al., ISBI 2009",
    ),
    Method(
        "reinhard",
        "stainxform.normalizers.reinhard:Reinhard",
        "Mean and standard deviation in CIELAB or l-alpha-beta",
        "Reinhard et al., IEEE CG&A 21(5), 2001",
    ),
    Method(
        "stainlut",
        "stainxform.normalizers.stainlut:StainLUT",
        "Self-supervised colorization of the gray image through a fused 4D LUT",
        "StainLUT, npj Digital Medicine 2025, doi 10.1038/s41746-025-02196-8 (reconstructed)",
        extra="torch",
        needs="torch",
    ),
):
    register(_method)
