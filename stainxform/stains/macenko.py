"""Stains by robust extreme angles: Macenko et al., "A method for normalizing histology slides for quantitative analysis",
ISBI 2009.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from stainxform.color import STAINTOOLS_DENSITY, STAINTOOLS_LIGHTEST, CIELab, OpticalDensity
from stainxform.errors import NotEnoughTissueError, ParameterError, StainXformWarning
from stainxform.image.histogram import ColorHistogram
from stainxform.image.tissue import MIN_TISSUE_PIXELS
from stainxform.stains.densities import Densities
from stainxform.stains.estimator import StainEstimator, Stains
from stainxform.stains.separation import LeastSquares, NonnegativeLasso

__all__ = [
    "COMBINATIONS",
    "DEFINITIONS",
    "MIN_STAIN_ANGLE",
    "MacenkoDefinition",
    "MacenkoEstimator",
    "all_present",
    "macenko_stain_matrix",
    "robust_maxima",
]

MIN_STAIN_ANGLE = 5.0
"""Two stain vectors closer than this, in degrees, cannot be distinguished: camera noise of one level spreads a single
stain over 2 to 3 degrees; real H&E tiles, of five scanners and six laboratories, show 9 or more."""


def macenko_stain_matrix(stained: Densities, *, alpha: float = 1.0, centered: bool = True) -> np.ndarray:
    """Stain matrix by the robust extreme angles in the plane of the two leading eigenvectors.

    Parameters
    ----------
    stained : Densities
        Optical densities, of which only stained pixels count.
    alpha : float, optional
        Percentile of the angles taken as extreme, and 100 - alpha, in percent.
    centered : bool, optional
        Covariance about the mean (the published code) or about zero (the paper's SVD of the OD itself).

    Returns
    -------
    ndarray
        float64 ``(3, 2)``; hematoxylin first: the vector that absorbs more red (larger first component).

    Raises
    ------
    NotEnoughTissueError
        Too few stained pixels, or only one stain direction.

    Notes
    -----
    Macenko et al., "A method for normalizing histology slides for quantitative analysis", ISBI 2009; statement order
    of the original MATLAB toolbox (Veta 2013).
    """
    total, covariance = stained.second_moments(centered)
    if total < MIN_TISSUE_PIXELS:
        raise NotEnoughTissueError(
            f"{total} stained pixels are too few to estimate stain vectors (at least {MIN_TISSUE_PIXELS} are needed)"
        )
    plane = np.linalg.eigh(covariance)[1][:, 1:]  # ascending: the second, then the first eigenvector
    # Measured against the second eigenvector the angles lie around +-90 degrees, away from atan2's branch cut,
    # whichever sign the eigenvectors came with.
    extremes = stained.angle_percentiles(plane, (alpha, 100 - alpha))
    vectors = plane @ np.array([np.cos(extremes), np.sin(extremes)])
    apart = float(np.degrees(extremes[1] - extremes[0]))
    if apart < MIN_STAIN_ANGLE:
        raise NotEnoughTissueError(
            f"the tissue shows a single stain direction (the extremes are {apart:.2f} degrees apart); two are needed"
        )
    return np.asarray(vectors if vectors[0, 0] > vectors[0, 1] else vectors[:, ::-1])


def robust_maxima(densities: Densities, separation: LeastSquares | NonnegativeLasso) -> np.ndarray:
    """99th percentile of the concentrations of each of two stains, ``(2,)``.

    Raises
    ------
    NotEnoughTissueError
        A stain is absent, i.e. its maximum is not positive.
    """
    return all_present(densities.amount_percentiles(separation, 99))


def all_present(maxima: np.ndarray) -> np.ndarray:
    """The 99th percentiles as they are.

    Raises
    ------
    NotEnoughTissueError
        A stain is absent.
    """
    if not (maxima > 1e-3).all():
        raise NotEnoughTissueError(f"one stain is absent (99th percentiles of concentrations: {maxima.round(4)})")
    return maxima


COMBINATIONS = ("concatenated", "averaged")


@dataclass(frozen=True)
class MacenkoDefinition:
    """Where the implementations in circulation differ, by name."""

    space: OpticalDensity
    beta: float | None
    """A pixel is used if every channel has at least this optical density (natural log)."""
    centered: bool
    lightest: float | None = None
    """Instead of beta: a pixel is used if its CIELAB lightness L*, 0 to 100, is below this."""
    penalty: float | None = None
    """L1 penalty of non-negative concentrations; None: least squares."""


DEFINITIONS = {
    # The original MATLAB code (M. Veta 2013); torchstain and stainx follow it.
    "veta": MacenkoDefinition(OpticalDensity(io=240, offset=1), beta=0.15, centered=True),
    # The paper's own text: decadic optical density, beta = .15, SVD of the uncentered values.
    "paper": MacenkoDefinition(OpticalDensity(io=240, offset=1), beta=0.15 * float(np.log(10)), centered=False),
    # StainTools 2.1.2 (P. Byfield).
    "staintools": MacenkoDefinition(
        STAINTOOLS_DENSITY, beta=None, centered=True, lightest=STAINTOOLS_LIGHTEST, penalty=0.01
    ),
}


@dataclass(frozen=True, kw_only=True)
class MacenkoEstimator(StainEstimator):
    """Settings of Macenko's method, and the estimation of stains with them.

    Parameters
    ----------
    definition : str, optional
        "veta" (the original code: Io = 240, beta = .15 natural log, centered covariance; default), "paper" (beta = .15
        decadic, uncentered) or "staintools" (Io = 255, tissue by lightness, non-negative lasso).
    alpha : float, optional
        Extreme percentile of the angles, in percent (paper: 1).
    beta : float, optional
        Optical-density threshold, natural log; None: that of the definition. "staintools" has none.
    combine : str, optional
        "concatenated" pools the pixels of all images, "averaged" estimates each image by itself and averages; an image
        that cannot be estimated is then skipped, with one StainXformWarning that says how many were. The columns of the
        averaged stain matrix are scaled to unit length.

    Raises
    ------
    ParameterError
        Values that make no sense.

    Notes
    -----
    Ivanov, Barbano, Tartaglione, Grangetto, "Multi-target stain normalization for histology slides", arXiv 2406.02077,
    2024: "concat" and "avg-post" are the best of the combinations compared there.
    """

    definition: str = "veta"
    alpha: float = 1.0
    beta: float | None = None
    combine: str = "concatenated"

    name: ClassVar[str] = "macenko"

    def check(self) -> None:
        """See :class:`Settings`."""
        self.check_choice("definition", DEFINITIONS)
        if not 0 <= self.alpha < 50:
            raise ParameterError(f"alpha is a percentile from 0 to below 50, got {self.alpha}")
        if self.beta is not None and not 0 <= self.beta < 5:
            raise ParameterError(f"beta is an optical density from 0 to below 5, got {self.beta}")
        if self.beta is not None and DEFINITIONS[self.definition].beta is None:
            raise ParameterError(f"the definition {self.definition!r} takes no beta: it finds tissue by its lightness")
        self.check_choice("combine", COMBINATIONS)

    @property
    def space(self) -> OpticalDensity:
        """The optical-density convention."""
        return DEFINITIONS[self.definition].space

    def separation(self, stain_matrix: np.ndarray) -> LeastSquares | NonnegativeLasso:
        """How amounts of these stains ``(3, 2)`` are found."""
        penalty = DEFINITIONS[self.definition].penalty
        return LeastSquares(stain_matrix) if penalty is None else NonnegativeLasso(stain_matrix, penalty)

    def estimate(self, histogram: ColorHistogram) -> Stains:
        """The stains of an image.

        Raises
        ------
        NotEnoughTissueError
            Too few stained pixels, or a single stain.
        """
        stained = self._stained(histogram)
        centered = DEFINITIONS[self.definition].centered
        stain_matrix = macenko_stain_matrix(stained, alpha=self.alpha, centered=centered)
        every = Densities(histogram, self.space, histogram.counts)
        return Stains(stain_matrix, robust_maxima(every, self.separation(stain_matrix)))

    def estimate_tiles(self, histograms: Iterable[ColorHistogram]) -> Stains:
        """The stains of several images, by ``combine``; raises NotEnoughTissueError (averaged: if no image has two)."""
        return self._average(histograms) if self.combine == "averaged" else super().estimate_tiles(histograms)

    def _average(self, histograms: Iterable[ColorHistogram]) -> Stains:
        """Mean stain matrix, with unit columns, and mean maxima of the images that can be estimated."""
        found, failures = [], []
        for histogram in histograms:
            try:
                found.append(self.estimate(histogram))
            except NotEnoughTissueError as error:
                failures.append(error)
        total = len(found) + len(failures)
        if not found:
            reason = failures[-1] if failures else "there are none"
            raise NotEnoughTissueError(f"none of {total} images can be fitted ({reason}); pass images with both stains")
        if failures:
            warnings.warn(
                f"skipped {len(failures)} of {total} images, e.g. because {failures[0]}",
                StainXformWarning,
                stacklevel=6,  # the caller of fit: _average, estimate_tiles, fit_histograms, fit_tiles, fit lie between
            )
        stain_matrix, maxima = (np.mean(values, axis=0) for values in zip(*found))
        return Stains(stain_matrix / np.linalg.norm(stain_matrix, axis=0), maxima)

    def _stained(self, histogram: ColorHistogram) -> Densities:
        definition = DEFINITIONS[self.definition]
        if definition.lightest is not None:
            dark = histogram.counts * (histogram.values(CIELab())[0] < definition.lightest)
            return Densities(histogram, definition.space, dark)
        beta = definition.beta if self.beta is None else self.beta
        assert beta is not None
        return Densities(histogram, definition.space, histogram.counts, beta)
