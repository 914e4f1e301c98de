"""Vahadane et al., "Structure-preserving color normalization and sparse stain separation for histological images", IEEE
Transactions on Medical Imaging 35(8), 2016.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar, Self

import numpy as np

from stainxform.image.histogram import ColorHistogram
from stainxform.maps import NonnegativeStainMap
from stainxform.normalizers.base import PointwiseNormalizer, fitted
from stainxform.stains.vahadane import VahadaneEstimator

__all__ = ["Vahadane"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Vahadane(PointwiseNormalizer):
    """Factorize into two sparse stains, match the 99th percentiles of their amounts, recombine with the target's stains.

    Parameters
    ----------
    stain_matrix : ndarray, optional
        float64 ``(3, 2)``, the target's unit optical-density vectors of hematoxylin and eosin.
    max_concentrations : ndarray, optional
        float64 ``(2,)``, the target's 99th percentiles.
    definition : str, optional
        See :class:`~stainxform.stains.vahadane.VahadaneEstimator`.
    regularization, concentration_regularization : float, optional
        See :class:`~stainxform.stains.vahadane.VahadaneEstimator`.
    """

    stain_matrix: np.ndarray = fitted(3, 2)
    max_concentrations: np.ndarray = fitted(2)
    definition: str = "staintools"
    regularization: float | None = None
    concentration_regularization: float | None = None
    estimator: VahadaneEstimator = field(init=False, repr=False)

    method: ClassVar[str] = "vahadane"
    Settings = VahadaneEstimator

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(estimator=VahadaneEstimator(**self.parameters()))

    @classmethod
    def fit_histograms(cls, histograms: Iterable[ColorHistogram], settings: VahadaneEstimator) -> Self:
        """Fit on the pooled pixels of the images. Deterministic, and independent of their order."""
        return cls(**settings.estimate_tiles(histograms)._asdict(), **settings.values())

    def color_map(self, histogram: ColorHistogram) -> NonnegativeStainMap:
        """``W_target diag(max_target / max_source) a``, with a the non-negative lasso amounts of each pixel."""
        source, space = self.estimator.estimate(histogram), self.estimator.space
        scaled = self.stain_matrix * (self.max_concentrations / source.max_concentrations)
        return NonnegativeStainMap(self.estimator.separation(source.stain_matrix), scaled, space, space)
