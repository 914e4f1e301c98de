"""Stains by sparse factorization: Vahadane et al., "Structure-preserving color normalization and sparse stain separation
for histological images", IEEE Transactions on Medical Imaging 35(8), 2016.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from stainxform.color import STAINTOOLS_DENSITY, STAINTOOLS_LIGHTEST, CIELab, OpticalDensity
from stainxform.errors import ParameterError
from stainxform.image.histogram import ColorHistogram
from stainxform.stains.densities import Densities
from stainxform.stains.estimator import StainEstimator, Stains
from stainxform.stains.factorization import sparse_stain_matrix
from stainxform.stains.macenko import robust_maxima
from stainxform.stains.separation import NonnegativeLasso

__all__ = ["DEFINITIONS", "VahadaneDefinition", "VahadaneEstimator"]


@dataclass(frozen=True)
class VahadaneDefinition:
    """Where the published codes differ, by name."""

    space: OpticalDensity
    lightest: float
    """A pixel is tissue if its CIELAB lightness L*, 0 to 100, is below this."""
    regularization: float
    concentration_regularization: float


DEFINITIONS = {
    # StainTools 2.1.2 (P. Byfield).
    "staintools": VahadaneDefinition(STAINTOOLS_DENSITY, STAINTOOLS_LIGHTEST, 0.1, 0.01),
    # The authors' MATLAB code (A. Vahadane), its normalization demo: lightness below .9 of 8-bit Lab, that is below
    # 229.5 of 255, and the same penalty twice.
    "matlab": VahadaneDefinition(OpticalDensity(io=255, offset=1), 90.0, 0.02, 0.02),
}


@dataclass(frozen=True, kw_only=True)
class VahadaneEstimator(StainEstimator):
    """Settings of Vahadane's method, and the estimation of stains with them.

    Which atom is hematoxylin is decided by the reference vectors. Larger red (StainTools) says the same on real tissue;
    smaller green (MATLAB) swaps the stains of laboratories with a yellowish eosin.

    Parameters
    ----------
    definition : str, optional
        "staintools" (default) or "matlab", the authors' code.
    regularization : float, optional
        L1 penalty of the factorization, above 0; None: that of the definition (.1 and .02).
    concentration_regularization : float, optional
        L1 penalty of the amounts that are scaled, 0 or more; None: that of the definition (.01 and .02).

    Raises
    ------
    ParameterError
        Values that make no sense.
    """

    definition: str = "staintools"
    regularization: float | None = None
    concentration_regularization: float | None = None

    name: ClassVar[str] = "vahadane"

    def check(self) -> None:
        """See :class:`Settings`."""
        self.check_choice("definition", DEFINITIONS)
        if self.regularization is not None and not 0 < self.regularization < 1:
            raise ParameterError(f"regularization is a penalty above 0 and below 1, got {self.regularization}")
        penalty = self.concentration_regularization
        if penalty is not None and not 0 <= penalty < 1:
            raise ParameterError(f"concentration_regularization is a penalty from 0 to below 1, got {penalty}")

    @property
    def space(self) -> OpticalDensity:
        """The optical-density convention."""
        return DEFINITIONS[self.definition].space

    def separation(self, stain_matrix: np.ndarray) -> NonnegativeLasso:
        """How amounts of these stains ``(3, 2)`` are found."""
        given = self.concentration_regularization
        penalty = DEFINITIONS[self.definition].concentration_regularization if given is None else given
        return NonnegativeLasso(stain_matrix, penalty)

    def estimate(self, histogram: ColorHistogram) -> Stains:
        """The stains of an image, and the 99th percentiles of their amounts over all pixels, glass included.

        Raises
        ------
        NotEnoughTissueError
            Too few tissue pixels, or a single stain.
        """
        definition = DEFINITIONS[self.definition]
        tissue = histogram.where(histogram.values(CIELab())[0] < definition.lightest)
        sparsity = definition.regularization if self.regularization is None else self.regularization
        atoms = sparse_stain_matrix(tissue.values(definition.space), tissue.counts, penalty=sparsity)
        every = Densities(histogram, definition.space, histogram.counts)
        return Stains(atoms, robust_maxima(every, self.separation(atoms)))
