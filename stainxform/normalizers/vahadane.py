"""Vahadane et al., "Structure-preserving color normalization and sparse stain separation for histological images", IEEE
Transactions on Medical Imaging 35(8), 2016.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from stainxform.color import STAINTOOLS_DENSITY, STAINTOOLS_LIGHTEST, CIELab, OpticalDensity
from stainxform.errors import ParameterError
from stainxform.image.histogram import ColorHistogram
from stainxform.maps import NonnegativeStainMap
from stainxform.normalizers.base import PointwiseNormalizer, array_of, pooled_histogram
from stainxform.stains.densities import Densities
from stainxform.stains.factorization import sparse_stain_matrix
from stainxform.stains.macenko import robust_maxima
from stainxform.stains.separation import NonnegativeLasso


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


@dataclass(frozen=True, eq=False, kw_only=True)
class Vahadane(PointwiseNormalizer):
    """Factorize into two sparse stains, match the 99th percentiles of their amounts, recombine with the target's stains.

    Which atom is hematoxylin is told by the reference vectors. Larger red (StainTools) says the same on real tissue;
    smaller green (MATLAB) swaps the stains of laboratories with a yellowish eosin.

    Parameters
    ----------
    stain_matrix : float64 ``(3, 2)``, the target's unit optical-density vectors of hematoxylin and eosin.
    max_concentrations : float64 ``(2,)``, the target's 99th percentiles.
    definition : "staintools" (default) or "matlab", the authors' code.
    regularization : L1 penalty of the factorization, above 0; None: that of the definition (.1 and .02).
    concentration_regularization : L1 penalty of the amounts that are scaled, 0 or more; None: that of the definition
        (.01 and .02).
    """

    stain_matrix: np.ndarray
    max_concentrations: np.ndarray
    definition: str = "staintools"
    regularization: float | None = None
    concentration_regularization: float | None = None

    method: ClassVar[str] = "vahadane"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.definition not in DEFINITIONS:
            raise ParameterError(f"definition must be one of {', '.join(DEFINITIONS)}, got {self.definition!r}")
        if self.regularization is not None and not 0 < self.regularization < 1:
            raise ParameterError(f"regularization is a penalty above 0 and below 1, got {self.regularization}")
        penalty = self.concentration_regularization
        if penalty is not None and not 0 <= penalty < 1:
            raise ParameterError(f"concentration_regularization is a penalty from 0 to below 1, got {penalty}")

    @classmethod
    def fit(
        cls,
        images: Any,
        *,
        definition: str = "staintools",
        regularization: float | None = None,
        concentration_regularization: float | None = None,
    ) -> Self:
        """Fit on the pooled pixels of ``images``. Deterministic, and independent of their order.

        Raises
        ------
        NotEnoughTissueError : too few tissue pixels, or a single stain.
        """
        settings = cls(
            stain_matrix=np.eye(3, 2),
            max_concentrations=np.ones(2),
            definition=definition,
            regularization=regularization,
            concentration_regularization=concentration_regularization,
        )
        separation, maxima = settings._estimate(pooled_histogram(images))
        return replace(settings, stain_matrix=separation.stain_matrix, max_concentrations=maxima)

    def _estimate(self, histogram: ColorHistogram) -> tuple[NonnegativeLasso, np.ndarray]:
        """How to separate an image, and the 99th percentiles of its amounts over all pixels, glass included."""
        definition = DEFINITIONS[self.definition]
        tissue = histogram.where(histogram.values(CIELab())[0] < definition.lightest)
        sparsity = definition.regularization if self.regularization is None else self.regularization
        given = self.concentration_regularization
        penalty = definition.concentration_regularization if given is None else given
        atoms = sparse_stain_matrix(tissue.values(definition.space), tissue.counts, penalty=sparsity)
        separation = NonnegativeLasso(atoms, penalty)
        every = Densities(histogram, definition.space, histogram.counts)
        return separation, robust_maxima(every, separation)

    def color_map(self, histogram: ColorHistogram) -> NonnegativeStainMap:
        """``W_target diag(max_target / max_source) a``, with a the non-negative lasso amounts of each pixel."""
        separation, maxima = self._estimate(histogram)
        space = DEFINITIONS[self.definition].space
        scale = self.max_concentrations / maxima
        return NonnegativeStainMap(separation, self.stain_matrix * scale, space, space)

    def _arrays(self) -> dict[str, np.ndarray]:
        return {"stain_matrix": self.stain_matrix, "max_concentrations": self.max_concentrations}

    def _parameters(self) -> dict[str, Any]:
        names = ("definition", "regularization", "concentration_regularization")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def _from_state(cls, arrays: dict[str, np.ndarray], parameters: dict[str, Any]) -> Self:
        return cls(
            stain_matrix=array_of(arrays, "stain_matrix", (3, 2)),
            max_concentrations=array_of(arrays, "max_concentrations", (2,)),
            **parameters,
        )
