"""Khan, Rajpoot, Treanor, Magee, "A nonlinear mapping approach to stain normalization in digital histopathology images
using image-specific color deconvolution", IEEE Transactions on Biomedical Engineering 61(6), 2014.

``docs/methods/khan.md`` says what the paper states and what is reconstructed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from stainxform.color import Planes, mix, namespace, stack
from stainxform.image.histogram import ColorHistogram
from stainxform.maps import ColorMap
from stainxform.normalizers.base import PointwiseNormalizer, fitted
from stainxform.stains.classifier import SPACE, StainClassifier, bundled_classifier
from stainxform.stains.khan import LIMIT, KhanEstimator, shift, transmittance
from stainxform.stains.references import with_residual

__all__ = ["Khan", "MonotoneSpline", "StainSplineMap", "concentration"]

_ANCHOR = 1000 / 255
"""Transmittance from which a stain is left alone. Where the other stain is overrated, it exceeds 1."""

_GAP = 5 / 255
"""Knots closer than this are one: percentiles are not known better, and the curve would wind to pass through both."""


@dataclass(frozen=True, eq=False)
class MonotoneSpline:
    """Cubic Hermite interpolation that never falls (PCHIP); beyond the last knot it continues with slope 1.

    Parameters
    ----------
    x, y : ndarray
        float64 ``(K,)`` with K >= 2, knots, x strictly rising, y never falling.

    Notes
    -----
    Slopes: weighted harmonic mean of the neighboring differences, Fritsch and Butland, SIAM J. Sci. Stat. Comput. 5(2),
    1984; at the ends the three-point formula, not below 0.
    """

    x: np.ndarray
    y: np.ndarray

    @classmethod
    def between(cls, source: np.ndarray, target: np.ndarray) -> MonotoneSpline:
        """The spline from source to target percentiles ``(K,)`` of transmittances; 0 and _ANCHOR map to themselves.

        Both are sorted: where the percentiles of the classes come in another order in source and target, no rising
        curve passes through all pairs.
        """
        source, target = np.sort(source), np.sort(target).clip(0, _ANCHOR)
        cuts = np.flatnonzero(np.diff(source) >= _GAP) + 1
        x, y = (np.array([part.mean() for part in np.split(values, cuts)]) for values in (source, target))
        inside = (x >= _GAP) & (x <= _ANCHOR - _GAP)
        return cls(np.array([0.0, *x[inside], _ANCHOR]), np.array([0.0, *y[inside], _ANCHOR]))

    def slopes(self) -> np.ndarray:
        """Derivatives at the knots, ``(K,)``."""
        h, d = np.diff(self.x), np.diff(self.y) / np.diff(self.x)
        if len(h) == 1:
            return np.repeat(d, 2)
        left, right = 2 * h[1:] + h[:-1], h[1:] + 2 * h[:-1]
        rising = (d[:-1] > 0) & (d[1:] > 0)
        before, after = np.where(rising, d[:-1], 1.0), np.where(rising, d[1:], 1.0)
        inner = np.where(rising, (left + right) / (left / before + right / after), 0.0)
        first, last = (
            max(0.0, ((2 * h[a] + h[b]) * d[a] - h[a] * d[b]) / (h[a] + h[b])) for a, b in ((0, 1), (-1, -2))
        )
        return np.array([first, *inner, last])

    def __call__(self, values: Planes) -> Planes:
        """Evaluate, element by element: the first knot, and what every piece adds on the way to the value."""
        xp = namespace(values)
        slopes = self.slopes()
        result = xp.clip(values - float(self.x[-1]), 0, None) + float(self.y[0])
        for k, width in enumerate(np.diff(self.x)):
            rise = (self.y[k + 1] - self.y[k]) / width
            bend = (3 * rise - 2 * slopes[k] - slopes[k + 1]) / width
            twist = (slopes[k] + slopes[k + 1] - 2 * rise) / width**2
            t = xp.clip(values - float(self.x[k]), 0, float(width))
            result = result + t * (float(slopes[k]) + t * (float(bend) + t * float(twist)))
        return result


@dataclass(frozen=True, eq=False)
class StainSplineMap(ColorMap):
    """Separate two stains and the rest, map the light that each stain lets through by a spline, recombine.

    Parameters
    ----------
    separate : ndarray
        float64 ``(3, 3)``, optical density to hematoxylin, eosin and what neither explains.
    combine : ndarray
        float64 ``(3, 3)``, the other way, with the target's stains.
    splines : (MonotoneSpline, MonotoneSpline)
        Splines of hematoxylin and eosin.
    source_glass, target_glass : ndarray
        float64 ``(3,)``, optical density where there is no stain.
    """

    separate: np.ndarray
    combine: np.ndarray
    splines: tuple[MonotoneSpline, MonotoneSpline]
    source_glass: np.ndarray
    target_glass: np.ndarray

    def evaluate(self, planes: Planes) -> Planes:
        """RGB planes -> stains and rest -> splines -> RGB planes."""
        hematoxylin, eosin, rest = mix(self.separate, shift(SPACE.from_rgb(planes), -self.source_glass))
        hematoxylin, eosin = (
            concentration(spline(transmittance(stain))) for spline, stain in zip(self.splines, (hematoxylin, eosin))
        )
        od = shift(mix(self.combine, stack([hematoxylin, eosin, rest])), self.target_glass)
        return SPACE.to_rgb(od) - SPACE.offset / 255


def concentration(transmittances: Planes) -> Planes:
    """The inverse of :func:`transmittance`."""
    xp = namespace(transmittances)
    return -xp.log(xp.clip(transmittances, float(np.exp(-LIMIT)), None))


@dataclass(frozen=True, eq=False, kw_only=True)
class Khan(PointwiseNormalizer):
    """Find the pixels of each stain by a classifier, deconvolve with their colors, map each stain by a spline.

    Parameters
    ----------
    stain_matrix : ndarray, optional
        float64 ``(3, 2)``, the target's unit optical-density vectors of hematoxylin and eosin.
    statistics : ndarray, optional
        float64 ``(2, 3, 3)``, the target's transmittances, see :class:`~stainxform.stains.khan.KhanStains`.
    target_glass : ndarray, optional
        float64 ``(3,)``, optical density of the target's glass.
    classifier : StainClassifier, optional
        Finds the stains; it needs numpy only.
    confidence : float, optional
        See :class:`~stainxform.stains.khan.KhanEstimator`.
    glass : str, optional
        See :class:`~stainxform.stains.khan.KhanEstimator`.
    """

    stain_matrix: np.ndarray = fitted(3, 2)
    statistics: np.ndarray = fitted(2, 3, 3)
    target_glass: np.ndarray = fitted(3)
    classifier: StainClassifier = field(default_factory=bundled_classifier)
    confidence: float = 0.75
    glass: str = "measured"
    estimator: KhanEstimator = field(init=False, repr=False)

    method: ClassVar[str] = "khan"
    Settings = KhanEstimator

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(estimator=KhanEstimator(classifier=self.classifier, **self.parameters()))

    @classmethod
    def fit_histograms(cls, histograms: Iterable[ColorHistogram], settings: KhanEstimator) -> Self:
        """Fit on the pooled pixels of the images."""
        stain_matrix, statistics, glass = settings.estimate_tiles(histograms)
        return cls(stain_matrix=stain_matrix, statistics=statistics, target_glass=glass, **settings.values())

    def color_map(self, histogram: ColorHistogram) -> StainSplineMap:
        """Splines through the percentiles of the stain, of other tissue and of background, for each stain."""
        stain_matrix, statistics, glass = self.estimator.estimate(histogram)
        hematoxylin, eosin = map(MonotoneSpline.between, statistics.reshape(2, 9), self.statistics.reshape(2, 9))
        separate = np.linalg.inv(with_residual(stain_matrix))
        combine = with_residual(self.stain_matrix)
        return StainSplineMap(separate, combine, (hematoxylin, eosin), glass, self.target_glass)

    def arrays(self) -> dict[str, np.ndarray]:
        """The target's statistics, and the classifier."""
        return super().arrays() | vars(self.classifier)

    def parameters(self) -> dict[str, Any]:
        """The settings without the classifier."""
        return {"confidence": self.confidence, "glass": self.glass}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], parameters: dict[str, Any]) -> Self:
        """See :meth:`Normalizer.from_arrays`."""
        return super().from_arrays(arrays, parameters | {"classifier": StainClassifier.from_arrays(arrays)})
