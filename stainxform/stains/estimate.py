"""Stains from counted colors, by any of the estimators."""

from __future__ import annotations

from typing import Any

from stainxform.errors import ParameterError
from stainxform.image.histogram import ColorHistogram
from stainxform.stains.estimator import StainEstimator
from stainxform.stains.khan import KhanEstimator
from stainxform.stains.macenko import MacenkoEstimator
from stainxform.stains.ramakrishnan import RamakrishnanEstimator
from stainxform.stains.vahadane import VahadaneEstimator

__all__ = ["ESTIMATORS", "estimate", "estimator_of", "register_estimator"]

ESTIMATORS: dict[str, type[StainEstimator]] = {
    kind.name: kind for kind in (KhanEstimator, MacenkoEstimator, RamakrishnanEstimator, VahadaneEstimator)
}
"""Estimators by name, which is that of the method they belong to."""


def register_estimator(kind: type[StainEstimator]) -> type[StainEstimator]:
    """Add an estimator from outside; usable as a decorator. ParameterError if its name is taken by another class."""
    if ESTIMATORS.get(kind.name, kind) is not kind:
        raise ParameterError(f"the estimator name {kind.name!r} is taken by {ESTIMATORS[kind.name].__qualname__}")
    ESTIMATORS[kind.name] = kind
    return kind


def estimator_of(method: str, **settings: Any) -> StainEstimator:
    """The estimator of a method with these settings.

    Raises
    ------
    ParameterError
        A method without stain vectors, or a wrong setting.
    """
    if method not in ESTIMATORS:
        raise ParameterError(f"{method!r} estimates no stain matrix; use one of: {', '.join(sorted(ESTIMATORS))}")
    return ESTIMATORS[method].of(method, settings)


def estimate(histogram: ColorHistogram, method: str = "macenko", **settings: Any) -> Any:
    """Estimate the stains of an image, a slide or a center from its counted colors.

    Parameters
    ----------
    histogram : ColorHistogram
        The colors, each with the number of its pixels: ``ColorHistogram.of(image)``, or several pooled.
    method : str, optional
        A name in ESTIMATORS.
    **settings
        Settings of that method; the settings of its normalizer.

    Returns
    -------
    object
        A tuple with a ``stain_matrix``, float64 ``(3, 2)``: unit optical-density vectors of hematoxylin and eosin. Of
        "macenko" and "vahadane" :class:`Stains`.

    Raises
    ------
    ParameterError
        A method without stain vectors, or a wrong setting.
    NotEnoughTissueError
        Too few stained pixels, or a single stain.
    """
    return estimator_of(method, **settings).estimate(histogram)
