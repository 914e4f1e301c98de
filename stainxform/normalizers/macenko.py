"""Macenko et al., "A method for normalizing histology slides for quantitative analysis", ISBI 2009."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np

from stainxform.color import STAINTOOLS_DENSITY, STAINTOOLS_LIGHTEST, CIELab, OpticalDensity
from stainxform.errors import NotEnoughTissueError, ParameterError, StainXformWarning
from stainxform.image.histogram import ColorHistogram
from stainxform.io.sources import iterate
from stainxform.maps import ColorMap, NonnegativeStainMap, StainMatrixMap
from stainxform.normalizers.base import PointwiseNormalizer, array_of, pooled_histogram
from stainxform.stains.densities import Densities
from stainxform.stains.macenko import macenko_stain_matrix, robust_maxima
from stainxform.stains.references import REFERENCES
from stainxform.stains.separation import LeastSquares, NonnegativeLasso

REFERENCE_STAIN_MATRIX = np.array(REFERENCES["macenko"].densities).T
"""HERef of the original MATLAB toolbox; columns hematoxylin, eosin."""

REFERENCE_MAX_CONCENTRATIONS = np.array([1.9705, 1.0308])
"""maxCRef of the original MATLAB toolbox."""


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


@dataclass(frozen=True, eq=False, kw_only=True)
class Macenko(PointwiseNormalizer):
    """Separate two stains, match the 99th percentiles of their concentrations, recombine with the target's stains.

    Parameters
    ----------
    stain_matrix : float64 ``(3, 2)``, the target's unit optical-density vectors; default: the published reference.
    max_concentrations : float64 ``(2,)``, the target's 99th percentiles.
    definition : "veta" (the original code: Io = 240, beta = .15 natural log, centered covariance; default), "paper"
        (beta = .15 decadic, uncentered) or "staintools" (Io = 255, tissue by lightness, non-negative lasso).
    alpha : extreme percentile of the angles, in percent (paper: 1).
    beta : optical-density threshold, natural log; None: that of the definition. "staintools" has none.
    """

    stain_matrix: np.ndarray = field(default_factory=REFERENCE_STAIN_MATRIX.copy)
    max_concentrations: np.ndarray = field(default_factory=REFERENCE_MAX_CONCENTRATIONS.copy)
    definition: str = "veta"
    alpha: float = 1.0
    beta: float | None = None

    method: ClassVar[str] = "macenko"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.definition not in DEFINITIONS:
            raise ParameterError(f"definition must be one of {', '.join(DEFINITIONS)}, got {self.definition!r}")
        if not 0 <= self.alpha < 50:
            raise ParameterError(f"alpha is a percentile from 0 to below 50, got {self.alpha}")
        if self.beta is not None and not 0 <= self.beta < 5:
            raise ParameterError(f"beta is an optical density from 0 to below 5, got {self.beta}")
        if self.beta is not None and DEFINITIONS[self.definition].beta is None:
            raise ParameterError(f"the definition {self.definition!r} takes no beta: it finds tissue by its lightness")

    @classmethod
    def fit(
        cls,
        images: Any,
        *,
        definition: str = "veta",
        alpha: float = 1.0,
        beta: float | None = None,
        combine: str = "concatenated",
    ) -> Self:
        """Fit on one image or many.

        Parameters
        ----------
        images : one image, or the targets of a multi-target fit.
        definition, alpha, beta : see the class.
        combine : "concatenated" fits the pooled pixels of all images, "averaged" each image by itself and averages;
            an image that cannot be fitted is then skipped, with one StainXformWarning that says how many were. The
            columns of the averaged stain matrix are scaled to unit length.

        Raises
        ------
        NotEnoughTissueError : too few stained pixels, or a single stain (averaged: in every image).

        Notes
        -----
        Ivanov, Barbano, Tartaglione, Grangetto, "Multi-target stain normalization for histology slides", arXiv
        2406.02077, 2024: "concat" and "avg-post" are the best of the combinations compared there.
        """
        if combine not in COMBINATIONS:
            raise ParameterError(f"combine must be one of {', '.join(COMBINATIONS)}, got {combine!r}")
        settings = cls(definition=definition, alpha=alpha, beta=beta)
        if combine == "averaged":
            stain_matrix, maxima = settings._average(map(ColorHistogram.of, iterate(images)))
        else:
            stain_matrix, maxima = settings._estimate(pooled_histogram(images))
        return replace(settings, stain_matrix=stain_matrix, max_concentrations=maxima)

    def _average(self, histograms: Iterable[ColorHistogram]) -> tuple[np.ndarray, np.ndarray]:
        """Mean stain matrix, with unit columns, and mean maxima of the images that can be fitted."""
        fits, failures = [], []
        for histogram in histograms:
            try:
                fits.append(self._estimate(histogram))
            except NotEnoughTissueError as error:
                failures.append(error)
        total = len(fits) + len(failures)
        if not fits:
            reason = failures[-1] if failures else "there are none"
            raise NotEnoughTissueError(f"none of {total} images can be fitted ({reason}); pass images with both stains")
        if failures:
            warnings.warn(
                f"skipped {len(failures)} of {total} images, e.g. because {failures[0]}",
                StainXformWarning,
                stacklevel=3,
            )
        stain_matrix, maxima = (np.mean(values, axis=0) for values in zip(*fits))
        return stain_matrix / np.linalg.norm(stain_matrix, axis=0), maxima

    def _estimate(self, histogram: ColorHistogram) -> tuple[np.ndarray, np.ndarray]:
        definition = DEFINITIONS[self.definition]
        stained = self._stained(histogram)
        stain_matrix = macenko_stain_matrix(stained, alpha=self.alpha, centered=definition.centered)
        every = Densities(histogram, definition.space, histogram.counts)
        return stain_matrix, robust_maxima(every, self._separation(stain_matrix))

    def _stained(self, histogram: ColorHistogram) -> Densities:
        definition = DEFINITIONS[self.definition]
        if definition.lightest is not None:
            dark = histogram.counts * (histogram.values(CIELab())[0] < definition.lightest)
            return Densities(histogram, definition.space, dark)
        beta = definition.beta if self.beta is None else self.beta
        assert beta is not None
        return Densities(histogram, definition.space, histogram.counts, beta)

    def _separation(self, stain_matrix: np.ndarray) -> LeastSquares | NonnegativeLasso:
        penalty = DEFINITIONS[self.definition].penalty
        return LeastSquares(stain_matrix) if penalty is None else NonnegativeLasso(stain_matrix, penalty)

    def color_map(self, histogram: ColorHistogram) -> ColorMap:
        """``W_target diag(max_target / max_source) C`` in optical-density space, C the concentrations of each pixel.

        By least squares, C = pinv(W_source) OD, that is one 3x3 matrix.
        """
        stain_matrix, maxima = self._estimate(histogram)
        scaled = self.stain_matrix * (self.max_concentrations / maxima)
        space, separation = DEFINITIONS[self.definition].space, self._separation(stain_matrix)
        if isinstance(separation, LeastSquares):
            return StainMatrixMap(scaled @ separation.inverse, space)
        return NonnegativeStainMap(separation, scaled, space, space)

    def _arrays(self) -> dict[str, np.ndarray]:
        return {"stain_matrix": self.stain_matrix, "max_concentrations": self.max_concentrations}

    def _parameters(self) -> dict[str, Any]:
        return {"definition": self.definition, "alpha": self.alpha, "beta": self.beta}

    @classmethod
    def _from_state(cls, arrays: dict[str, np.ndarray], parameters: dict[str, Any]) -> Self:
        return cls(
            stain_matrix=array_of(arrays, "stain_matrix", (3, 2)),
            max_concentrations=array_of(arrays, "max_concentrations", (2,)),
            **parameters,
        )
