"""Macenko et al., "A method for normalizing histology slides for quantitative analysis", ISBI 2009."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from stainxform.color import OpticalDensity
from stainxform.errors import ParameterError
from stainxform.histogram import ColorHistogram
from stainxform.maps import StainMatrixMap
from stainxform.normalizers.base import PointwiseNormalizer, array_of, pooled_histogram
from stainxform.stains import macenko_stain_matrix, max_concentrations

REFERENCE_STAIN_MATRIX = np.array([[0.5626, 0.2159], [0.7201, 0.8012], [0.4062, 0.5581]])
"""HERef of the original MATLAB toolbox; columns hematoxylin, eosin."""

REFERENCE_MAX_CONCENTRATIONS = np.array([1.9705, 1.0308])
"""maxCRef of the original MATLAB toolbox."""


@dataclass(frozen=True)
class MacenkoDefinition:
    """Where the implementations in circulation differ, by name."""

    space: OpticalDensity
    beta: float
    """A pixel is used if every channel has at least this optical density (natural log)."""
    centered: bool


DEFINITIONS = {
    # The original MATLAB code (M. Veta 2013); torchstain and stainx follow it.
    "veta": MacenkoDefinition(OpticalDensity(io=240, offset=1), beta=0.15, centered=True),
    # The paper's own text: decadic optical density, beta = .15, SVD of the uncentered values.
    "paper": MacenkoDefinition(OpticalDensity(io=240, offset=1), beta=0.15 * float(np.log(10)), centered=False),
}


@dataclass(frozen=True, eq=False, kw_only=True)
class Macenko(PointwiseNormalizer):
    """Separate two stains, match the 99th percentiles of their concentrations, recombine with the target's stains.

    Parameters
    ----------
    stain_matrix : float64 ``(3, 2)``, the target's unit optical-density vectors; default: the published reference.
    max_concentrations : float64 ``(2,)``, the target's 99th percentiles.
    definition : "veta" (the original code: Io = 240, beta = .15 natural log, centered covariance; default) or "paper"
        (beta = .15 decadic, uncentered).
    alpha : extreme percentile of the angles, in percent (paper: 1).
    beta : optical-density threshold, natural log; None: that of the definition.
    """

    stain_matrix: np.ndarray = field(default_factory=REFERENCE_STAIN_MATRIX.copy)
    max_concentrations: np.ndarray = field(default_factory=REFERENCE_MAX_CONCENTRATIONS.copy)
    definition: str = "veta"
    alpha: float = 1.0
    beta: float | None = None

    method: ClassVar[str] = "macenko"

    def __post_init__(self) -> None:
        if self.definition not in DEFINITIONS:
            raise ParameterError(f"definition must be one of {', '.join(DEFINITIONS)}, got {self.definition!r}")
        if not 0 <= self.alpha < 50:
            raise ParameterError(f"alpha is a percentile from 0 to below 50, got {self.alpha}")
        if self.beta is not None and not 0 <= self.beta < 5:
            raise ParameterError(f"beta is an optical density from 0 to below 5, got {self.beta}")

    @classmethod
    def fit(cls, images: Any, *, definition: str = "veta", alpha: float = 1.0, beta: float | None = None) -> Self:
        """Fit on the pooled pixels of ``images`` (one image, or many: the "concatenated" multi-target fit).

        Raises
        ------
        NotEnoughTissueError : too few stained pixels, or a single stain.
        """
        settings = cls(definition=definition, alpha=alpha, beta=beta)
        stain_matrix, maxima = settings._estimate(pooled_histogram(images))
        return cls(stain_matrix=stain_matrix, max_concentrations=maxima, definition=definition, alpha=alpha, beta=beta)

    def _estimate(self, histogram: ColorHistogram) -> tuple[np.ndarray, np.ndarray]:
        definition = DEFINITIONS[self.definition]
        od = definition.space.from_rgb(histogram.colors)
        stained = od.min(axis=0) >= (definition.beta if self.beta is None else self.beta)
        stain_matrix = macenko_stain_matrix(
            od[:, stained], histogram.counts[stained], alpha=self.alpha, centered=definition.centered
        )
        return stain_matrix, max_concentrations(od, histogram.counts, stain_matrix)

    def color_map(self, histogram: ColorHistogram) -> StainMatrixMap:
        """``W_target diag(max_target / max_source) pinv(W_source)`` in optical-density space."""
        stain_matrix, maxima = self._estimate(histogram)
        scale = np.diag(self.max_concentrations / maxima)
        return StainMatrixMap(
            self.stain_matrix @ scale @ np.linalg.pinv(stain_matrix), DEFINITIONS[self.definition].space
        )

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
