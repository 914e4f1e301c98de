"""Linear optimal transport of tissue color: Pitie and Kokaram, "The linear Monge-Kantorovitch linear colour mapping for
example-based colour transfer", CVMP 2007; in optical density, with glass kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from stainxform.color import CIELab, ColorSpace
from stainxform.errors import NotEnoughTissueError
from stainxform.image.histogram import ColorHistogram
from stainxform.image.moments import Moments
from stainxform.image.tissue import MIN_TISSUE_PIXELS, tissue_planes
from stainxform.image.tissue_color import DENSITY
from stainxform.io.settings import Settings
from stainxform.io.sources import histograms_of
from stainxform.maps import ColorMap
from stainxform.maps.transport import Levels, TransportMap
from stainxform.normalizers.base import PointwiseNormalizer, fitted

__all__ = ["SPACES", "Transport", "TransportMap", "TransportSettings", "geodesic", "monge_map"]


SPACES: dict[str, ColorSpace] = {"od": DENSITY, "rgb": Levels(), "cielab": CIELab()}
"""Color spaces in which tissue is taken as a Gaussian."""

SHRINKAGE = 0.01
"""Part of the target's covariance that is added to both: an image of one color is stretched tenfold at most."""


def monge_map(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The optimal linear map between two centered Gaussians.

    ``T = S^(-1/2) (S^(1/2) R S^(1/2))^(1/2) S^(-1/2)``: of all maps that take N(0, S) to N(0, R) the one that moves
    colors least.

    Parameters
    ----------
    source, target : ndarray
        Covariances ``(3, 3)``, positive definite.

    Returns
    -------
    ndarray
        Float64 ``(3, 3)``, symmetric positive definite, so that no color is mirrored or folded.

    Notes
    -----
    Pitie and Kokaram, CVMP 2007, equation 18; Bhatia, Jain, Lim, "On the Bures-Wasserstein distance between positive
    definite matrices", Expositiones Mathematicae 37(2), 2019.
    """
    root, inverse = _power(source, 0.5), _power(source, -0.5)
    matrix = inverse @ _power(root @ target @ root, 0.5) @ inverse
    return np.asarray((matrix + matrix.T) / 2)


def geodesic(first: Moments, second: Moments, weight: float) -> Moments:
    """The Gaussian on the way from one to another in the Bures-Wasserstein metric.

    Parameters
    ----------
    first, second : Moments
        Both covariances positive definite.
    weight : float
        0: the first, 1: the second.

    Returns
    -------
    Moments
        With mean (1 - w) s + w r and covariance M S M, M = (1 - w) I + w T, T the map between the two.
    """
    step = (1 - weight) * np.eye(3) + weight * monge_map(first.covariance, second.covariance)
    mean = (1 - weight) * first.mean + weight * second.mean
    return Moments(first.count, mean, step @ first.covariance @ step)


def _power(matrix: np.ndarray, exponent: float) -> np.ndarray:
    """Power of a symmetric positive definite matrix."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return np.asarray((vectors * np.maximum(values, np.finfo(float).tiny) ** exponent) @ vectors.T)


@dataclass(frozen=True, kw_only=True)
class TransportSettings(Settings):
    """How tissue color is described.

    Parameters
    ----------
    space : str
        "od" (optical density, natural log; default), "rgb" (levels) or "cielab".

    Raises
    ------
    ParameterError
        Another space.
    """

    space: str = "od"

    def check(self) -> None:
        """See :class:`Settings`."""
        self.check_choice("space", SPACES)

    def moments(self, histogram: ColorHistogram) -> Moments:
        """Moments of the tissue among counted colors, in the space; of no pixel they are zero."""
        tissue = histogram.where(tissue_planes(histogram.colors))
        return Moments.of(tissue.values(SPACES[self.space]), tissue.counts)


@dataclass(frozen=True, eq=False, kw_only=True)
class Transport(PointwiseNormalizer):
    """Take tissue as a Gaussian of colors, and move it to the target's by the linear map of optimal transport.

    Parameters
    ----------
    mean : ndarray
        Float64 ``(3,)``, of the target's tissue.
    covariance : ndarray
        Float64 ``(3, 3)``, of the target's tissue.
    pixels : int
        Tissue pixels that these are of.
    space : str
        See :class:`TransportSettings`.
    """

    mean: np.ndarray = fitted(3)
    covariance: np.ndarray = fitted(3, 3)
    pixels: int = 0
    space: str = "od"
    settings: TransportSettings = field(init=False, repr=False)

    method: ClassVar[str] = "transport"
    Settings = TransportSettings

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(settings=TransportSettings(space=self.space))

    @classmethod
    def fit_histograms(cls, histograms: Iterable[ColorHistogram], settings: TransportSettings) -> Self:
        """Fit on the tissue of all images: their moments are merged."""
        found = Moments.merge(settings.moments(histogram) for histogram in histograms)
        if found.count < MIN_TISSUE_PIXELS:
            raise NotEnoughTissueError(f"{found.count} tissue pixels are too few to describe a center's color")
        return cls(mean=found.mean, covariance=found.covariance, pixels=found.count, space=settings.space)

    def color_map(self, histogram: ColorHistogram) -> TransportMap:
        """The map for an image with these colors."""
        return self.map_from(self.settings.moments(histogram))

    def map_for_tiles(self, tiles: Any) -> ColorMap:
        """The one map for a slide or a center, from the merged moments of its tiles' tissue."""
        return self.map_from(Moments.merge(map(self.settings.moments, histograms_of(tiles))))

    def summary(self, tile: np.ndarray, histogram: ColorHistogram) -> Moments:
        """Ten numbers: pixels, mean and covariance of tissue."""
        return self.settings.moments(histogram)

    def map_between(self, center: Moments, group: Moments, weight: float, center_map: ColorMap) -> ColorMap:
        """The map for a Gaussian on the way from the group's (0) to the center's (1)."""
        if weight in (0, 1):
            return center_map if weight == 1 else self.map_from(group)
        self._check(group)
        own, whole = (Moments(part.count, part.mean, self._shrunk(part.covariance)) for part in (group, center))
        between = geodesic(own, whole, weight)
        return self._map(between.mean, between.covariance)

    def map_from(self, source: Moments) -> TransportMap:
        """The map that takes tissue with these moments to the target's.

        Both covariances are shrunk towards the target's, so that a source of one color is not stretched without limit.
        """
        self._check(source)
        return self._map(source.mean, self._shrunk(source.covariance))

    def _map(self, mean: np.ndarray, shrunk: np.ndarray) -> TransportMap:
        matrix = monge_map(shrunk, self._shrunk(self.covariance))
        return TransportMap(SPACES[self.space], matrix, self.mean - matrix @ mean)

    def _shrunk(self, covariance: np.ndarray) -> np.ndarray:
        """A covariance with the noise that no image is without, and a part of the target's."""
        return covariance + SHRINKAGE * self.covariance + (1 + SHRINKAGE) * np.eye(3) * _FLOOR[self.space] ** 2

    def _check(self, source: Moments) -> None:
        if source.count < MIN_TISSUE_PIXELS:
            raise NotEnoughTissueError(f"{source.count} tissue pixels are too few to describe their color")

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], parameters: dict[str, Any]) -> Self:
        """See :meth:`Normalizer.from_arrays`."""
        rebuilt = super().from_arrays(arrays, parameters)
        if (
            not np.allclose(rebuilt.covariance, rebuilt.covariance.T)
            or np.linalg.eigvalsh(rebuilt.covariance)[0] < -1e-9
        ):
            raise ValueError("the covariance is not symmetric and positive")
        return rebuilt


_FLOOR = {"od": 0.005, "rgb": 1.0, "cielab": 0.3}
"""Standard deviation that noise of about one level has, in units of the space: no target varies less."""
