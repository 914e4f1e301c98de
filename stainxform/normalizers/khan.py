"""Khan, Rajpoot, Treanor, Magee, "A nonlinear mapping approach to stain normalization in digital histopathology images
using image-specific color deconvolution", IEEE Transactions on Biomedical Engineering 61(6), 2014.

``docs/methods/khan.md`` says what the paper states and what is reconstructed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from stainxform.color import Planes, mix, namespace, stack
from stainxform.errors import NotEnoughTissueError, ParameterError
from stainxform.image.histogram import ColorHistogram, weighted_percentile
from stainxform.image.tissue import MIN_TISSUE_PIXELS
from stainxform.maps import ColorMap
from stainxform.normalizers.base import PointwiseNormalizer, array_of, pooled_histogram
from stainxform.stains.classifier import BACKGROUND, EOSIN, HEMATOXYLIN, SPACE, StainClassifier, bundled_classifier
from stainxform.stains.macenko import MIN_STAIN_ANGLE

STAINS = {HEMATOXYLIN: "hematoxylin", EOSIN: "eosin"}
GLASS = ("measured", "white")
PERCENTILES = (5.0, 50.0, 95.0)

_FAINTEST = 0.05
"""The mean color of a stain absorbs at least this much more than glass in some channel."""

_ANCHOR = 1000 / 255
"""Transmittance from which a stain is left alone. Where the other stain is overrated, it exceeds 1."""

_GAP = 5 / 255
"""Knots closer than this are one: percentiles are not known better, and the curve would wind to pass through both."""

_LIMIT = 20.0
"""Concentrations end here, far beyond what a camera sees: exp of more, times a matrix, overflows float32."""

_SHAPES = {"stain_matrix": (3, 2), "statistics": (2, 3, 3), "target_glass": (3,)}
"""Arrays of the model file, besides those of the classifier."""


@dataclass(frozen=True, eq=False)
class MonotoneSpline:
    """Cubic Hermite interpolation that never falls (PCHIP); beyond the last knot it goes on with slope 1.

    Parameters
    ----------
    x, y : float64 ``(K,)`` with K >= 2, knots, x strictly rising, y never falling.

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
    separate : float64 ``(3, 3)``, optical density to hematoxylin, eosin and what neither explains.
    combine : float64 ``(3, 3)``, the other way, with the target's stains.
    splines : of hematoxylin and eosin.
    source_glass, target_glass : float64 ``(3,)``, optical density where there is no stain.
    """

    separate: np.ndarray
    combine: np.ndarray
    splines: tuple[MonotoneSpline, MonotoneSpline]
    source_glass: np.ndarray
    target_glass: np.ndarray

    def evaluate(self, planes: Planes) -> Planes:
        """RGB planes -> stains and rest -> splines -> RGB planes."""
        hematoxylin, eosin, rest = mix(self.separate, _shift(SPACE.from_rgb(planes), -self.source_glass))
        hematoxylin, eosin = (
            concentration(spline(transmittance(stain))) for spline, stain in zip(self.splines, (hematoxylin, eosin))
        )
        od = _shift(mix(self.combine, stack([hematoxylin, eosin, rest])), self.target_glass)
        return SPACE.to_rgb(od) - SPACE.offset / 255


def transmittance(concentrations: Planes) -> Planes:
    """Share of the light that one stain lets through: 1 where there is none, above 1 where the rest is overrated."""
    xp = namespace(concentrations)
    return xp.exp(-xp.clip(concentrations, -_LIMIT, _LIMIT))


def concentration(transmittances: Planes) -> Planes:
    """The inverse of :func:`transmittance`."""
    xp = namespace(transmittances)
    return -xp.log(xp.clip(transmittances, float(np.exp(-_LIMIT)), None))


@dataclass(frozen=True, eq=False, kw_only=True)
class Khan(PointwiseNormalizer):
    """Find the pixels of each stain by a classifier, deconvolve with their colors, map each stain by a spline.

    Parameters
    ----------
    stain_matrix : float64 ``(3, 2)``, the target's unit optical-density vectors of hematoxylin and eosin.
    statistics : float64 ``(2, 3, 3)``, the target's transmittances: of each stain channel, over the pixels of that
        stain, of other tissue and of background, the 5th, 50th and 95th percentile.
    target_glass : float64 ``(3,)``, optical density of the target's glass.
    classifier : finds the stains; it needs numpy only.
    confidence : probability, from .5 to below 1, above which a pixel counts as a stain or as background.
    glass : what optical density is measured against: the mean color of the background, where an image shows any
        ("measured"), or always white ("white", the Warwick toolbox).
    """

    stain_matrix: np.ndarray
    statistics: np.ndarray
    target_glass: np.ndarray
    classifier: StainClassifier = field(default_factory=bundled_classifier)
    confidence: float = 0.75
    glass: str = "measured"

    method: ClassVar[str] = "khan"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.5 <= self.confidence < 1:
            raise ParameterError(f"confidence is a probability from 0.5 to below 1, got {self.confidence}")
        if self.glass not in GLASS:
            raise ParameterError(f"glass must be one of {', '.join(GLASS)}, got {self.glass!r}")

    @classmethod
    def fit(
        cls,
        images: Any,
        *,
        confidence: float = 0.75,
        glass: str = "measured",
        classifier: StainClassifier | str | Path | None = None,
    ) -> Self:
        """Fit on the pooled pixels of ``images``.

        Parameters
        ----------
        images : one image, or many.
        confidence, glass : see the class.
        classifier : one trained on your own labels (:meth:`StainClassifier.fit`), or its file; None: the bundled one.

        Raises
        ------
        NotEnoughTissueError : too few pixels of one of the stains, or both have the same color.
        """
        if classifier is None:
            classifier = bundled_classifier()
        elif not isinstance(classifier, StainClassifier):
            classifier = StainClassifier.load(classifier)
        blank: dict[str, Any] = {name: np.zeros(shape) for name, shape in _SHAPES.items()}
        settings = cls(**blank, classifier=classifier, confidence=confidence, glass=glass)
        fitted: dict[str, Any] = dict(zip(_SHAPES, settings._estimate(pooled_histogram(images))))
        return replace(settings, **fitted)

    def _estimate(self, histogram: ColorHistogram) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Stain matrix, percentiles and glass of an image."""
        if not histogram.total:
            raise NotEnoughTissueError("there is no pixel to find stains in")
        sure = self.classifier.probabilities(histogram) > self.confidence
        background = sure[BACKGROUND]
        glass = np.zeros(3)
        if self.glass == "measured" and background.any():
            glass = _mean_od(histogram.where(background))
        stain_matrix = np.stack([_stain_vector(histogram.where(sure[k]), glass, STAINS[k]) for k in STAINS], axis=1)
        apart = float(np.degrees(np.arccos(np.clip(stain_matrix[:, 0] @ stain_matrix[:, 1], -1, 1))))
        if apart < MIN_STAIN_ANGLE:
            raise NotEnoughTissueError(
                f"hematoxylin and eosin have the same color ({apart:.2f} degrees apart); two stains are needed"
            )
        od = _shift(histogram.values(SPACE), -glass)
        light = transmittance(mix(np.linalg.inv(_with_residual(stain_matrix)), od))
        statistics = [
            [
                _percentiles(light[k], histogram.counts, among)
                for among in (sure[k], ~(sure[k] | background), background)
            ]
            for k in STAINS
        ]
        return stain_matrix, np.array(statistics), glass

    def color_map(self, histogram: ColorHistogram) -> StainSplineMap:
        """Splines through the percentiles of the stain, of other tissue and of background, for each stain."""
        stain_matrix, statistics, glass = self._estimate(histogram)
        hematoxylin, eosin = map(MonotoneSpline.between, statistics.reshape(2, 9), self.statistics.reshape(2, 9))
        separate = np.linalg.inv(_with_residual(stain_matrix))
        combine = _with_residual(self.stain_matrix)
        return StainSplineMap(separate, combine, (hematoxylin, eosin), glass, self.target_glass)

    def _arrays(self) -> dict[str, np.ndarray]:
        return {name: getattr(self, name) for name in _SHAPES} | vars(self.classifier)

    def _parameters(self) -> dict[str, Any]:
        return {"confidence": self.confidence, "glass": self.glass}

    @classmethod
    def _from_state(cls, arrays: dict[str, np.ndarray], parameters: dict[str, Any]) -> Self:
        fitted: dict[str, Any] = {name: array_of(arrays, name, shape) for name, shape in _SHAPES.items()}
        return cls(**fitted, classifier=StainClassifier.from_arrays(arrays), **parameters)


def _shift(planes: Planes, by: np.ndarray) -> Planes:
    """Add a number to each plane."""
    return stack([plane + float(value) for plane, value in zip(planes, by)])


def _mean_od(histogram: ColorHistogram) -> np.ndarray:
    """Optical density ``(3,)`` of the mean color."""
    mean = (histogram.colors * histogram.counts).sum(axis=1) / histogram.total
    return np.asarray(SPACE.from_rgb(mean[:, None]))[:, 0]


def _stain_vector(shown: ColorHistogram, glass: np.ndarray, name: str) -> np.ndarray:
    """Unit optical density ``(3,)`` of the mean color of the pixels that show a stain."""
    if shown.total < MIN_TISSUE_PIXELS:
        raise NotEnoughTissueError(
            f"{shown.total} pixels that show {name} are too few (at least {MIN_TISSUE_PIXELS} are needed)"
        )
    od = _mean_od(shown) - glass
    if od.max() < _FAINTEST:
        raise NotEnoughTissueError(
            f"the pixels that show {name} are nearly as light as glass (optical density {od.max():.3f} above it)"
        )
    return np.asarray(od / np.linalg.norm(od))


def _with_residual(stain_matrix: np.ndarray) -> np.ndarray:
    """Both stains and the direction perpendicular to them, ``(3, 3)``."""
    residual = np.cross(stain_matrix[:, 0], stain_matrix[:, 1])
    return np.column_stack([stain_matrix, residual / np.linalg.norm(residual)])


def _percentiles(values: np.ndarray, counts: np.ndarray, among: np.ndarray) -> list[float]:
    """The three percentiles; without a pixel those of clear glass, which lets all light through."""
    if not among.any():
        return [1.0] * len(PERCENTILES)
    return [weighted_percentile(values[among], counts[among], percent) for percent in PERCENTILES]
