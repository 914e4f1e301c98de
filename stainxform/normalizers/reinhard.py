"""Reinhard et al., "Color transfer between images", IEEE Computer Graphics and Applications 21(5), 2001."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Self

import numpy as np

from stainxform.color import CIELab, ColorSpace, LAlphaBeta
from stainxform.errors import NotEnoughTissueError, ParameterError
from stainxform.image.histogram import ColorHistogram, weighted_moments
from stainxform.image.tissue import tissue_planes
from stainxform.io.settings import Settings
from stainxform.maps import ChannelAffineMap
from stainxform.normalizers.base import PointwiseNormalizer, fitted

__all__ = ["SPACES", "ChannelSettings", "ChannelStatistics", "Reinhard"]

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
        if self.tissue_only:
            histogram = histogram.where(tissue_planes(histogram.colors))
        if not histogram.total:
            raise NotEnoughTissueError("there is no pixel to take color statistics from")
        return weighted_moments(histogram.values(SPACES[self.space]), histogram.counts)


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


@dataclass(frozen=True, eq=False, kw_only=True)
class Reinhard(ChannelStatistics):
    """Match mean and standard deviation of each channel of a perceptual color space.

    Parameters: see :class:`ChannelStatistics`.
    """

    method: ClassVar[str] = "reinhard"

    def color_map(self, histogram: ColorHistogram) -> ChannelAffineMap:
        """v' = (v - mean_source) std_target / std_source + mean_target; a flat channel is shifted, not scaled."""
        mean, std = self.settings.statistics(histogram)
        scale = np.where(std > _FLAT, self.std / np.maximum(std, _FLAT), 1.0)
        return ChannelAffineMap(SPACES[self.space], scale, self.mean - mean * scale)
