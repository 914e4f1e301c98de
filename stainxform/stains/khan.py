"""Stains by a pixel classifier: Khan, Rajpoot, Treanor, Magee, "A nonlinear mapping approach to stain normalization in
digital histopathology images using image-specific color deconvolution", IEEE Transactions on Biomedical Engineering
61(6), 2014.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from stainxform.color import Planes, mix, namespace, stack
from stainxform.errors import NotEnoughTissueError, ParameterError
from stainxform.image.histogram import ColorHistogram, weighted_percentile
from stainxform.image.tissue import MIN_TISSUE_PIXELS
from stainxform.stains.classifier import BACKGROUND, EOSIN, HEMATOXYLIN, SPACE, StainClassifier, bundled_classifier
from stainxform.stains.estimator import StainEstimator
from stainxform.stains.macenko import MIN_STAIN_ANGLE
from stainxform.stains.references import stain_angles, with_residual

__all__ = [
    "GLASS",
    "LIMIT",
    "PERCENTILES",
    "STAINS",
    "KhanEstimator",
    "KhanStains",
    "shift",
    "transmittance",
]

STAINS = {HEMATOXYLIN: "hematoxylin", EOSIN: "eosin"}
GLASS = ("measured", "white")
PERCENTILES = (5.0, 50.0, 95.0)

_FAINTEST = 0.05
"""The mean color of a stain absorbs at least this much more than glass in some channel."""

LIMIT = 20.0
"""Concentrations end here, far beyond what a camera sees: exp of more, times a matrix, overflows float32."""


class KhanStains(NamedTuple):
    """What is known of an image.

    Attributes
    ----------
    stain_matrix : ndarray
        float64 ``(3, 2)``, unit optical-density vectors of hematoxylin and eosin.
    statistics : ndarray
        float64 ``(2, 3, 3)``, transmittances: of each stain channel, over the pixels of that stain, of other tissue and
        of background, the 5th, 50th and 95th percentile.
    glass : ndarray
        float64 ``(3,)``, optical density of the glass.
    """

    stain_matrix: np.ndarray
    statistics: np.ndarray
    glass: np.ndarray


@dataclass(frozen=True, kw_only=True)
class KhanEstimator(StainEstimator):
    """Settings of Khan's method, and the estimation of stains with them.

    Parameters
    ----------
    confidence : float, optional
        Probability, from .5 to below 1, above which a pixel counts as a stain or as background.
    glass : str, optional
        What optical density is measured against: the mean color of the background, where an image shows any
        ("measured"), or always white ("white", the Warwick toolbox).
    classifier : StainClassifier, str or Path, optional
        One trained on your own labels (:meth:`StainClassifier.fit`), or its file; None: the bundled one.

    Raises
    ------
    ParameterError
        A value that makes no sense.
    ModelFileError
        The classifier's file cannot be read.
    """

    confidence: float = 0.75
    glass: str = "measured"
    classifier: StainClassifier | str | Path | None = None

    name: ClassVar[str] = "khan"

    def check(self) -> None:
        """See :class:`Settings`."""
        if not 0.5 <= self.confidence < 1:
            raise ParameterError(f"confidence is a probability from 0.5 to below 1, got {self.confidence}")
        self.check_choice("glass", GLASS)
        classifier = bundled_classifier() if self.classifier is None else self.classifier
        if not isinstance(classifier, StainClassifier):
            classifier = StainClassifier.load(classifier)
        object.__setattr__(self, "classifier", classifier)

    @property
    def _classifier(self) -> StainClassifier:
        assert isinstance(self.classifier, StainClassifier)
        return self.classifier

    def estimate(self, histogram: ColorHistogram) -> KhanStains:
        """Stain matrix, percentiles and glass of an image.

        Raises
        ------
        NotEnoughTissueError
            Too few pixels of one of the stains, or if both have the same color.
        """
        if not histogram.total:
            raise NotEnoughTissueError("there is no pixel to find stains in")
        sure = self._classifier.probabilities(histogram) > self.confidence
        background = sure[BACKGROUND]
        glass = np.zeros(3)
        if self.glass == "measured" and background.any():
            glass = _mean_od(histogram.where(background))
        stain_matrix = np.stack([_stain_vector(histogram.where(sure[k]), glass, STAINS[k]) for k in STAINS], axis=1)
        apart = float(stain_angles(stain_matrix[:, :1], stain_matrix[:, 1:])[0, 0])
        if apart < MIN_STAIN_ANGLE:
            raise NotEnoughTissueError(
                f"hematoxylin and eosin have the same color ({apart:.2f} degrees apart); two stains are needed"
            )
        od = shift(histogram.values(SPACE), -glass)
        light = transmittance(mix(np.linalg.inv(with_residual(stain_matrix)), od))
        statistics = [
            [
                _percentiles(light[k], histogram.counts, among)
                for among in (sure[k], ~(sure[k] | background), background)
            ]
            for k in STAINS
        ]
        return KhanStains(stain_matrix, np.array(statistics), glass)


def transmittance(concentrations: Planes) -> Planes:
    """Share of the light that one stain lets through: 1 where there is none, above 1 where the rest is overrated."""
    xp = namespace(concentrations)
    return xp.exp(-xp.clip(concentrations, -LIMIT, LIMIT))


def shift(planes: Planes, by: np.ndarray) -> Planes:
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


def _percentiles(values: np.ndarray, counts: np.ndarray, among: np.ndarray) -> list[float]:
    """The three percentiles; without a pixel those of clear glass, which lets all light through."""
    if not among.any():
        return [1.0] * len(PERCENTILES)
    return [weighted_percentile(values[among], counts[among], percent) for percent in PERCENTILES]
