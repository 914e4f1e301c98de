"""The table of methods. One line, and a method works in fit_center, load, the command line, the hosts and the docs."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stainxform._optional import require
from stainxform._plugins import Registry
from stainxform.errors import ParameterError

if TYPE_CHECKING:
    from stainxform.normalizers.base import Normalizer

__all__ = ["METHODS", "Method", "normalizer_class", "register", "registered"]


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
    fits_on: str = "our tiles"
    """What a fit is made on."""
    estimates: str = "nothing"
    """What is estimated for each image."""


def _method_of(name: str, given: Any) -> Method:
    """The entry that a method, or the class of a normalizer with ``method``, ``title`` and ``source``, stands for."""
    found = given if isinstance(given, Method) else _method_of_class(name, given)
    if name and found.name != name:
        raise ParameterError(f"the method {found.name!r} must be registered under its own name, not {name!r}")
    return found


def _method_of_class(name: str, given: Any) -> Method:
    try:
        path = f"{given.__module__}:{given.__qualname__}"
        texts = {key: getattr(given, key) for key in ("fits_on", "estimates") if hasattr(given, key)}
        return Method(given.method, path, given.title, given.source, **texts)
    except AttributeError as error:
        raise ParameterError(
            f"the normalizer {name or given!r} must be a Method, or a class with method, title and source ({error})"
        ) from error


METHODS: Registry[Method] = Registry("method", "stainxform.normalizers", _method_of, lambda method: method.path)
"""All methods: the ones below, those registered by a call, and those of entry points ``stainxform.normalizers``."""


def register(method: Method | type[Normalizer]) -> Any:
    """Add a method: an entry, or the class itself, so that it serves as a decorator; gives back what it was given.

    A class says its name as ``method``, and what to show as ``title`` and ``source``; it is found again by its module and
    name, so it must be importable.

    Raises
    ------
    ParameterError
        The name is taken by another class.
    """
    entry = _method_of("", method)
    METHODS.register(entry.name, entry)
    return method


def registered() -> Mapping[str, Method]:
    """All methods by name, sorted."""
    return dict(sorted(METHODS.items()))


def normalizer_class(name: str) -> type[Normalizer]:
    """The class of a method, imported now.

    Raises
    ------
    ParameterError
        An unknown name.
    MissingDependencyError
        Its extra is not installed.
    """
    if name not in METHODS:
        raise ParameterError(f"unknown method {name!r}; choose one of: {', '.join(registered())}")
    method = METHODS[name]
    if method.needs:
        require(method.needs, method.extra)
    module, _, attribute = method.path.partition(":")
    found: Any = importlib.import_module(module)
    for part in attribute.split("."):
        found = getattr(found, part)
    return found


for _method in (
    Method(
        "colornormnet",
        "stainxform.normalizers.colornormnet.normalizer:ColorNormNet",
        "One CIELAB offset for an image or a slide, predicted by a self-supervised network",
        "ColorNormNet, ISBI 2021, arXiv 2011.15000 (reconstructed)",
        extra="torch",
        needs="torch",
        estimates="an offset of a and of b",
    ),
    Method(
        "histogram_matching",
        "stainxform.normalizers.histogram_matching:HistogramMatching",
        "Cumulative histogram of each RGB channel (baseline)",
        "Gonzalez and Woods, Digital Image Processing, section 3.3",
        estimates="histogram of each channel",
    ),
    Method(
        "khan",
        "stainxform.normalizers.khan:Khan",
        "Stain color descriptor, pixel classifier, and a spline for each stain",
        "Khan et al., IEEE TBME 61(6), 2014 (classifier reconstructed)",
        estimates="two stain vectors, percentiles, glass",
    ),
    Method(
        "macenko",
        "stainxform.normalizers.macenko:Macenko",
        "Stain matrix from robust extreme angles",
        "Macenko et al., ISBI 2009",
        fits_on="our tiles, or none",
        estimates="two stain vectors, two percentiles",
    ),
    Method(
        "ramakrishnan",
        "stainxform.normalizers.ramakrishnan:Ramakrishnan",
        "Median of the sparse stain matrices of a slide's tiles, measured below its own glass",
        "Ramakrishnan et al., arXiv 1901.03088, 2019",
        estimates="two stain vectors, two percentiles, glass",
    ),
    Method(
        "reinhard",
        "stainxform.normalizers.reinhard:Reinhard",
        "Mean and standard deviation in CIELAB or l-alpha-beta",
        "Reinhard et al., IEEE CG&A 21(5), 2001",
        estimates="mean and deviation",
    ),
    Method(
        "reinhard_modified",
        "stainxform.normalizers.reinhard_modified:ReinhardModified",
        "Mean of the color channels; lightness keeps its mean and is stretched",
        "Roy et al., EUSIPCO 2021",
        estimates="mean and deviation",
    ),
    Method(
        "staingan",
        "stainxform.normalizers.staingan.normalizer:StainGAN",
        "CycleGAN between two centers (needs tiles of both)",
        "Shaban et al., arXiv 1804.01601, 2018",
        extra="torch",
        needs="torch",
        fits_on="our tiles and the other center's",
        estimates="instance statistics in the network",
    ),
    Method(
        "stainlut",
        "stainxform.normalizers.stainlut.normalizer:StainLUT",
        "Self-supervised colorization of the gray image through a fused 4D LUT",
        "StainLUT, npj Digital Medicine 2025, doi 10.1038/s41746-025-02196-8 (reconstructed)",
        extra="torch",
        needs="torch",
        estimates="weights of the lookup tables, instance statistics",
    ),
    Method(
        "stainnet",
        "stainxform.normalizers.stainnet.normalizer:StainNet",
        "Any normalizer distilled into a 1x1 network, hence into a LUT (needs a teacher)",
        "Kang et al., Frontiers in Medicine 8, 2021",
        extra="torch",  # to fit; applying it takes numpy only
        fits_on="the other center's tiles and a teacher",
    ),
    Method(
        "transport",
        "stainxform.normalizers.transport:Transport",
        "Linear optimal transport of tissue color, in optical density",
        "Pitie and Kokaram, CVMP 2007",
        estimates="mean and covariance of tissue",
    ),
    Method(
        "vahadane",
        "stainxform.normalizers.vahadane:Vahadane",
        "Sparse non-negative factorization into two stains",
        "Vahadane et al., IEEE TMI 35(8), 2016",
        estimates="two stain vectors, two percentiles",
    ),
):
    register(_method)
