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
        "colornormnet",
        "stainxform.normalizers.colornormnet.normalizer:ColorNormNet",
        "One CIELAB offset for an image or a slide, told by a self-supervised network",
        "ColorNormNet, ISBI 2021, arXiv 2011.15000 (reconstructed)",
        extra="torch",
        needs="torch",
    ),
    Method(
        "histogram_matching",
        "stainxform.normalizers.histogram_matching:HistogramMatching",
        "Cumulative histogram of each RGB channel (baseline)",
        "Gonzalez and Woods, Digital Image Processing, section 3.3",
    ),
    Method(
        "khan",
        "stainxform.normalizers.khan:Khan",
        "Stain color descriptor, pixel classifier, and a spline for each stain",
        "Khan et al., IEEE TBME 61(6), 2014 (classifier reconstructed)",
    ),
    Method(
        "macenko",
        "stainxform.normalizers.macenko:Macenko",
        "Stain matrix from robust extreme angles",
        "Macenko et al., ISBI 2009",
    ),
    Method(
        "ramakrishnan",
        "stainxform.normalizers.ramakrishnan:Ramakrishnan",
        "Median of the sparse stain matrices of a slide's tiles, measured below its own glass",
        "Ramakrishnan et al., arXiv 1901.03088, 2019",
    ),
    Method(
        "reinhard",
        "stainxform.normalizers.reinhard:Reinhard",
        "Mean and standard deviation in CIELAB or l-alpha-beta",
        "Reinhard et al., IEEE CG&A 21(5), 2001",
    ),
    Method(
        "reinhard_modified",
        "stainxform.normalizers.reinhard_modified:ReinhardModified",
        "Mean of the color channels; lightness keeps its mean and is stretched",
        "Roy et al., EUSIPCO 2021",
    ),
    Method(
        "staingan",
        "stainxform.normalizers.staingan.normalizer:StainGAN",
        "CycleGAN between two centers (needs tiles of both)",
        "Shaban et al., arXiv 1804.01601, 2018",
        extra="torch",
        needs="torch",
    ),
    Method(
        "stainlut",
        "stainxform.normalizers.stainlut.normalizer:StainLUT",
        "Self-supervised colorization of the gray image through a fused 4D LUT",
        "StainLUT, npj Digital Medicine 2025, doi 10.1038/s41746-025-02196-8 (reconstructed)",
        extra="torch",
        needs="torch",
    ),
    Method(
        "stainnet",
        "stainxform.normalizers.stainnet.normalizer:StainNet",
        "Any normalizer distilled into a 1x1 network, hence into a LUT (needs a teacher)",
        "Kang et al., Frontiers in Medicine 8, 2021",
        extra="torch",  # to fit; applying it takes numpy only
    ),
    Method(
        "vahadane",
        "stainxform.normalizers.vahadane:Vahadane",
        "Sparse non-negative factorization into two stains",
        "Vahadane et al., IEEE TMI 35(8), 2016",
    ),
):
    register(_method)
