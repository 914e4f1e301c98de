"""Macenko et al., "A method for normalizing histology slides for quantitative analysis", ISBI 2009."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar, Self

import numpy as np

from stainxform.image.histogram import ColorHistogram
from stainxform.maps import ColorMap, NonnegativeStainMap, StainMatrixMap
from stainxform.normalizers.base import PointwiseNormalizer, fitted
from stainxform.stains.macenko import MacenkoEstimator
from stainxform.stains.references import REFERENCES
from stainxform.stains.separation import LeastSquares

__all__ = ["REFERENCE_MAX_CONCENTRATIONS", "REFERENCE_STAIN_MATRIX", "Macenko"]

REFERENCE_STAIN_MATRIX = np.array(REFERENCES["macenko"].densities).T
"""HERef of the original MATLAB toolbox; columns hematoxylin, eosin."""

REFERENCE_MAX_CONCENTRATIONS = np.array([1.9705, 1.0308])
"""maxCRef of the original MATLAB toolbox."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Macenko(PointwiseNormalizer):
    """Separate two stains, match the 99th percentiles of their concentrations, recombine with the target's stains.

    Parameters
    ----------
    stain_matrix : ndarray, optional
        float64 ``(3, 2)``, the target's unit optical-density vectors; default: the published reference.
    max_concentrations : ndarray, optional
        float64 ``(2,)``, the target's 99th percentiles.
    definition : str, optional
        See :class:`~stainxform.stains.macenko.MacenkoEstimator`.
    alpha, beta : float, optional
        See :class:`~stainxform.stains.macenko.MacenkoEstimator`.
    """

    stain_matrix: np.ndarray = fitted(3, 2, default=REFERENCE_STAIN_MATRIX)
    max_concentrations: np.ndarray = fitted(2, default=REFERENCE_MAX_CONCENTRATIONS)
    definition: str = "veta"
    alpha: float = 1.0
    beta: float | None = None
    estimator: MacenkoEstimator = field(init=False, repr=False)

    method: ClassVar[str] = "macenko"
    Settings = MacenkoEstimator

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(estimator=MacenkoEstimator(definition=self.definition, alpha=self.alpha, beta=self.beta))

    @classmethod
    def fit_histograms(cls, histograms: Iterable[ColorHistogram], settings: MacenkoEstimator) -> Self:
        """Fit on one image or many: the stains of all of them, by ``combine``."""
        stains = settings.estimate_tiles(histograms)
        return cls(**stains._asdict(), definition=settings.definition, alpha=settings.alpha, beta=settings.beta)

    def color_map(self, histogram: ColorHistogram) -> ColorMap:
        """``W_target diag(max_target / max_source) C`` in optical-density space, C the concentrations of each pixel.

        By least squares, C = pinv(W_source) OD, that is one 3x3 matrix.
        """
        source, space = self.estimator.estimate(histogram), self.estimator.space
        scaled = self.stain_matrix * (self.max_concentrations / source.max_concentrations)
        separation = self.estimator.separation(source.stain_matrix)
        if isinstance(separation, LeastSquares):
            return StainMatrixMap(scaled @ separation.inverse, space)
        return NonnegativeStainMap(separation, scaled, space, space)
