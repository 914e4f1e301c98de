"""Reinhard et al., "Color transfer between images", IEEE Computer Graphics and Applications 21(5), 2001."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from stainxform.color import CIELab, ColorSpace, LAlphaBeta
from stainxform.errors import NotEnoughTissueError, ParameterError
from stainxform.image.histogram import ColorHistogram, weighted_moments
from stainxform.image.tissue import tissue_planes
from stainxform.maps import ChannelAffineMap
from stainxform.normalizers.base import PointwiseNormalizer, array_of, pooled_histogram

SPACES: dict[str, ColorSpace] = {"cielab": CIELab(), "ruderman": LAlphaBeta()}

_FLAT = 1e-6
"""A channel with less deviation than this (in units of the space) has no contrast to scale."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ChannelStatistics(PointwiseNormalizer):
    """What Reinhard's method and its variants share: mean and deviation of each channel of a color space.

    Parameters
    ----------
    mean, std : float64 ``(3,)``, the target's statistics in units of the space.
    space : "cielab" (common in histology; default, computed in float) or "ruderman" (l-alpha-beta, the paper).
    tissue_only : take the statistics of source and target over tissue pixels only; the map still applies to all.
    """

    mean: np.ndarray
    std: np.ndarray
    space: str = "cielab"
    tissue_only: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.space not in SPACES:
            raise ParameterError(f"space must be one of {', '.join(SPACES)}, got {self.space!r}")
        if type(self.tissue_only) is not bool:
            raise ParameterError(f"tissue_only must be True or False, got {self.tissue_only!r}")

    @classmethod
    def fit(cls, images: Any, *, space: str = "cielab", tissue_only: bool = False) -> Self:
        """Fit on the pooled pixels of ``images``.

        Raises NotEnoughTissueError if there is no pixel to take statistics from.
        """
        settings = cls(mean=np.zeros(3), std=np.ones(3), space=space, tissue_only=tissue_only)
        mean, std = settings._statistics(pooled_histogram(images))
        return cls(mean=mean, std=std, space=space, tissue_only=tissue_only)

    def _statistics(self, histogram: ColorHistogram) -> tuple[np.ndarray, np.ndarray]:
        if self.tissue_only:
            histogram = histogram.where(tissue_planes(histogram.colors))
        if not histogram.total:
            raise NotEnoughTissueError("there is no pixel to take color statistics from")
        return weighted_moments(histogram.values(SPACES[self.space]), histogram.counts)

    def _arrays(self) -> dict[str, np.ndarray]:
        return {"mean": self.mean, "std": self.std}

    def _parameters(self) -> dict[str, Any]:
        return {"space": self.space, "tissue_only": self.tissue_only}

    @classmethod
    def _from_state(cls, arrays: dict[str, np.ndarray], parameters: dict[str, Any]) -> Self:
        return cls(mean=array_of(arrays, "mean", (3,)), std=array_of(arrays, "std", (3,)), **parameters)


@dataclass(frozen=True, eq=False, kw_only=True)
class Reinhard(ChannelStatistics):
    """Match mean and standard deviation of each channel of a perceptual color space.

    Parameters: see :class:`ChannelStatistics`.
    """

    method: ClassVar[str] = "reinhard"

    def color_map(self, histogram: ColorHistogram) -> ChannelAffineMap:
        """v' = (v - mean_source) std_target / std_source + mean_target; a flat channel is shifted, not scaled."""
        mean, std = self._statistics(histogram)
        scale = np.where(std > _FLAT, self.std / np.maximum(std, _FLAT), 1.0)
        return ChannelAffineMap(SPACES[self.space], scale, self.mean - mean * scale)
