"""The one interface of stain estimation: settings that turn counted colors into stains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from stainxform.image.histogram import ColorHistogram
from stainxform.io.settings import Settings

__all__ = ["StainEstimator", "Stains"]


class Stains(NamedTuple):
    """The stains of an image, a slide or a center.

    Attributes
    ----------
    stain_matrix : ndarray
        float64 ``(3, 2)``, unit optical-density vectors of hematoxylin and eosin in columns.
    max_concentrations : ndarray
        float64 ``(2,)``, 99th percentile of the concentration of each.
    """

    stain_matrix: np.ndarray
    max_concentrations: np.ndarray


@dataclass(frozen=True, kw_only=True)
class StainEstimator(Settings, ABC):
    """A way to estimate stains, with its settings, which it checks itself."""

    name: ClassVar[str]
    """Name in :data:`stainxform.stains.ESTIMATORS`."""

    @abstractmethod
    def estimate(self, histogram: ColorHistogram) -> Any:
        """The stains of an image with these colors: :class:`Stains`, or another tuple with a ``stain_matrix``.

        Raises
        ------
        NotEnoughTissueError
            Too few stained pixels, or a single stain.
        """

    def estimate_tiles(self, histograms: Iterable[ColorHistogram]) -> Any:
        """The stains of several images together: by default those of their pooled colors."""
        return self.estimate(ColorHistogram.pool(histograms))
