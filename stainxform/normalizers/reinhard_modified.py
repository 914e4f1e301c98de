"""Roy, Panda, Jangid, "Modified Reinhard algorithm for color normalization of colorectal cancer histopathology
images", EUSIPCO 2021.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from stainxform.image.moments import Moments
from stainxform.maps import ChannelAffineMap
from stainxform.normalizers.reinhard import SPACES, ChannelStatistics, mean_and_deviation

__all__ = ["MIN_STRETCH", "ReinhardModified"]

MIN_STRETCH = 0.05
"""Contrast that an image gains which has no less of it than the target."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ReinhardModified(ChannelStatistics):
    """Move the mean of both color channels to the target's; keep the mean lightness and stretch it, never squeeze it.

    Parameters: see :class:`~stainxform.normalizers.reinhard.ChannelStatistics`. Of ``std`` only the first is used.
    """

    method: ClassVar[str] = "reinhard_modified"

    def map_from(self, summary: Moments) -> ChannelAffineMap:
        """L' = mean_source + (L - mean_source)(1 + q), a' = a - mean_source + mean_target, b' likewise.

        q = (std_target - std_source) / std_target of the lightness, 0.05 where that is not positive.
        """
        mean, std = mean_and_deviation(summary)
        more = self.std[0] > std[0]
        stretch = (self.std[0] - std[0]) / self.std[0] if more else MIN_STRETCH
        scale = np.array([1 + stretch, 1.0, 1.0])
        center = np.array([mean[0], *self.mean[1:]])
        return ChannelAffineMap(SPACES[self.space], scale, center - mean * scale)
