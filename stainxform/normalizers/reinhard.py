"""Reinhard et al., "Color transfer between images", IEEE Computer Graphics and Applications 21(5), 2001."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from stainxform.color import CIELab, ColorSpace, LAlphaBeta
from stainxform.errors import NotEnoughTissueError, ParameterError
from stainxform.image.histogram import ColorHistogram
from stainxform.image.moments import Moments
from stainxform.image.tissue import tissue_planes
from stainxform.io.settings import Settings
from stainxform.io.sources import histograms_of
from stainxform.maps import ChannelAffineMap, ColorMap
from stainxform.normalizers.base import PointwiseNormalizer, fitted

__all__ = ["SPACES", "ChannelSettings", "ChannelStatistics", "Reinhard", "mean_and_deviation"]

SPACES: dict[str, ColorSpace] = {"cielab": CIELab(), "ruderman": LAlphaBeta()}

_FLAT = 1e-6
"""A channel with less deviation than this (in units of the space) has no contrast to scale."""


@dataclass(frozen=True, kw_only=True)
class ChannelSettings(Settings):
    """Which statistics Reinhard's method and its variants take.

    Parameters
    ----------
    space : str, optional
        "cielab" (common in histology; default, computed in float) or "ruderman" (l-alpha-beta, the paper).
    tissue_only : bool, optional
        Take the statistics of source and target over tissue pixels only; the map still applies to all.

    Raises
    ------
    ParameterError
        Values that make no sense.
    """

    space: str = "cielab"
    tissue_only: bool = False

    def check(self) -> None:
        """See :class:`Settings`."""
        self.check_choice("space", SPACES)
        if type(self.tissue_only) is not bool:
            raise ParameterError(f"tissue_only must be True or False, got {self.tissue_only!r}")

    def statistics(self, histogram: ColorHistogram) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each channel, float64 ``(3,)``; NotEnoughTissueError if there is no pixel."""
        return mean_and_deviation(self.moments(histogram))

    def moments(self, histogram: ColorHistogram) -> Moments:
        """Moments of the counted colors, or of the tissue among them, in the space; of no pixel they are zero."""
        if self.tissue_only:
            histogram = histogram.where(tissue_planes(histogram.colors))
        return Moments.of(histogram.values(SPACES[self.space]), histogram.counts)


def mean_and_deviation(moments: Moments) -> tuple[np.ndarray, np.ndarray]:
    """Of each channel, float64 ``(3,)``; NotEnoughTissueError if there is no pixel."""
    if not moments.count:
        raise NotEnoughTissueError("there is no pixel to take color statistics from")
    return moments.mean, np.sqrt(np.maximum(np.diag(moments.covariance), 0.0))


@dataclass(frozen=True, eq=False, kw_only=True)
class ChannelStatistics(PointwiseNormalizer):
    """What Reinhard's method and its variants share: mean and deviation of each channel of a color space.

    Parameters
    ----------
    mean, std : ndarray, optional
        float64 ``(3,)``, the target's statistics in units of the space.
    space : str, optional
        See :class:`ChannelSettings`.
    tissue_only : bool, optional
        See :class:`ChannelSettings`.
    """

    mean: np.ndarray = fitted(3)
    std: np.ndarray = fitted(3)
    space: str = "cielab"
    tissue_only: bool = False
    settings: ChannelSettings = field(init=False, repr=False)

    Settings = ChannelSettings

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(settings=ChannelSettings(space=self.space, tissue_only=self.tissue_only))

    @classmethod
    def fit_histogram(cls, histogram: ColorHistogram, settings: ChannelSettings) -> Self:
        """Fit on pooled pixels.

        Raises
        ------
        NotEnoughTissueError
            There is none to take statistics from.
        """
        mean, std = settings.statistics(histogram)
        return cls(mean=mean, std=std, **settings.values())

    def color_map(self, histogram: ColorHistogram) -> ChannelAffineMap:
        """The map for an image with these colors."""
        return self.map_from(self.settings.moments(histogram))

    def map_for_tiles(self, tiles: Any) -> ColorMap:
        """The one map for a slide or a center, from the merged moments of its tiles."""
        return self.map_from(Moments.merge(map(self.settings.moments, histograms_of(tiles))))

    def summary(self, tile: np.ndarray, histogram: ColorHistogram) -> Moments:
        """Ten numbers: pixels, mean and covariance, of which the diagonal is used."""
        return self.settings.moments(histogram)

    @abstractmethod
    def map_from(self, summary: Moments) -> ChannelAffineMap:
        """The map for images with these moments."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Reinhard(ChannelStatistics):
    """Match mean and standard deviation of each channel of a perceptual color space.

    Parameters: see :class:`ChannelStatistics`.
    """

    method: ClassVar[str] = "reinhard"

    def map_from(self, summary: Moments) -> ChannelAffineMap:
        """v' = (v - mean_source) std_target / std_source + mean_target; a flat channel is shifted, not scaled."""
        mean, std = mean_and_deviation(summary)
        scale = np.where(std > _FLAT, self.std / np.maximum(std, _FLAT), 1.0)
        return ChannelAffineMap(SPACES[self.space], scale, self.mean - mean * scale)
