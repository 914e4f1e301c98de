"""The table of methods. One line, and a method works in fit_center, load, the command line, the hosts and the docs."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from typing import TYPE_CHECKING, Any

from stainxform._optional import require
from stainxform._plugins import Registry
from stainxform.errors import MissingDependencyError, ParameterError, StainXformError

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

    @property
    def class_name(self) -> str:
        """The name that the normalizer, and its transforms in the hosts, go by: "Macenko" for "macenko"."""
        return self.path.rpartition(":")[2].rpartition(".")[2]


def _method_of(name: str, given: Any) -> Method:
    """The entry that a method, or the class of a normalizer with ``method``, ``title`` and ``source``, stands for."""
    found = given if isinstance(given, Method) else _method_of_class(given)
    if name and found.name != name:
        raise ParameterError(f"the method {found.name!r} must be registered under its own name, not {name!r}")
    if not found.name.isidentifier():
        raise ParameterError(f"a method's name is letters, digits and underscores, got {found.name!r}")
    if found.class_name.startswith("Rand") or _names(found.class_name) & _names("StainNormalize"):
        raise ParameterError(f"the hosts have transforms of their own named {found.class_name!r}; choose another name")
    for other in () if found.name in METHODS.known else METHODS.known.values():
        if _names(found.class_name) & _names(other.class_name):
            raise ParameterError(
                f"the class name {found.class_name!r} of the method {found.name!r} is that of {other.name!r}, and the "
                "transforms of the hosts are called by it; choose another one"
            )
    return found


def _names(class_name: str) -> set[str]:
    """What the transforms in the hosts are called: MONAI's of dictionaries have three names."""
    return {class_name + suffix for suffix in ("", "d", "D", "Dict")}


def _method_of_class(given: Any) -> Method:
    from stainxform.normalizers.center import fit_center

    kind = _checked(given)
    if taken := sorted({*kind.Settings.names()} & {*inspect.signature(fit_center).parameters}):
        raise ParameterError(
            f"{taken[0]!r} is an argument of fit_center; call the setting of {kind.__name__} otherwise"
        )
    for attribute in ("method", "title", "source"):
        value = getattr(kind, attribute, None)
        if not (isinstance(value, str) and value):
            raise ParameterError(f"{kind.__name__} must say its {attribute}, a text")
    if "<locals>" in kind.__qualname__:
        raise ParameterError(
            f"{kind.__name__} is defined within a function, where it cannot be found again; move it to its module"
        )
    texts = {key: getattr(kind, key) for key in ("fits_on", "estimates") if hasattr(kind, key)}
    for attribute, value in texts.items():
        if not isinstance(value, str):
            raise ParameterError(f"{attribute} of {kind.__name__} must be a text, got {value!r}")
    return Method(given.method, f"{kind.__module__}:{kind.__qualname__}", given.title, given.source, **texts)


def _checked(kind: Any) -> type[Normalizer]:
    """The class of a normalizer, if it is one that works; ParameterError says what it lacks."""
    from stainxform.io.settings import Settings
    from stainxform.normalizers.base import Normalizer, PointwiseNormalizer

    if not (isinstance(kind, type) and issubclass(kind, Normalizer)):
        raise ParameterError(f"a normalizer is a subclass of stainxform.normalizers.Normalizer, got {kind!r}")
    if not is_dataclass(kind) or "__dataclass_fields__" not in vars(kind):
        raise ParameterError(f"{kind.__name__} must be a dataclass: @dataclass(frozen=True, eq=False, kw_only=True)")
    if abstract := sorted(kind.__abstractmethods__):
        raise ParameterError(f"{kind.__name__} must define {', '.join(abstract)}")
    fits = ("fit_tiles", "fit_histograms", "fit_histogram")
    for name in (*fits, "from_arrays"):
        if hasattr(kind, name) and not isinstance(inspect.getattr_static(kind, name), classmethod):
            raise ParameterError(f"{name} of {kind.__name__} must be a class method: @classmethod")
    if issubclass(kind, PointwiseNormalizer) and all(
        getattr(kind, name).__func__ is getattr(PointwiseNormalizer, name).__func__ for name in fits
    ):
        raise ParameterError(f"{kind.__name__} must define fit_histogram, fit_histograms or fit_tiles")
    settings: Any = kind.Settings
    if not (isinstance(settings, type) and issubclass(settings, Settings) and "__dataclass_fields__" in vars(settings)):
        raise ParameterError(
            f"{kind.__name__}.Settings must be a subclass of stainxform.normalizers.Settings and a dataclass: "
            "@dataclass(frozen=True, kw_only=True)"
        )
    return kind


METHODS: Registry[Method] = Registry("method", "stainxform.normalizers", _method_of, lambda method: method.path)
"""All methods: the ones below, those registered by a call, and those of entry points ``stainxform.normalizers``."""


def register(method: Method | type[Normalizer]) -> Any:
    """Add a method: an entry, or the class itself, so that it serves as a decorator; gives back what it was given.

    A class says its name as ``method``, and what to show as ``title`` and ``source``; it is found again by its module and
    name, so it must be importable.

    Raises
    ------
    ParameterError
        No class of a normalizer, or its name is taken by another one.
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
        Its extra is not installed, or its module cannot be imported.
    """
    if not isinstance(name, str) or name not in METHODS:
        raise ParameterError(f"unknown method {name!r}; choose one of: {', '.join(registered())}")
    method = METHODS[name]
    if method.needs:
        require(method.needs, method.extra)
    module, _, attribute = method.path.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except StainXformError:
        raise
    except (ImportError, AttributeError) as error:
        raise MissingDependencyError(f"the method {name!r} cannot be imported from {method.path} ({error})") from error
    return _checked(found)


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
