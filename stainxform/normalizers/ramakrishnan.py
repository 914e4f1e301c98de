"""Ramakrishnan, Anand, Sethi, "Fast GPU-enabled color normalization for digital pathology", arXiv 1901.03088, 2019: the
sparse factorization of Vahadane et al., made robust and fast for whole slides.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from stainxform.image.histogram import ColorHistogram
from stainxform.io.sources import histograms_of
from stainxform.maps import NonnegativeStainMap
from stainxform.normalizers.base import PointwiseNormalizer, fitted
from stainxform.stains.ramakrishnan import RamakrishnanEstimator, SlideStains, density_below
from stainxform.stains.separation import LeastSquares

__all__ = ["Ramakrishnan"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Ramakrishnan(PointwiseNormalizer):
    """Factorize tile by tile, take the median stains, normalize the whole slide with them and with its own glass.

    Parameters
    ----------
    stain_matrix : ndarray, optional
        float64 ``(3, 2)``, the target's unit optical-density vectors of hematoxylin and eosin.
    max_concentrations : ndarray, optional
        float64 ``(2,)``, medians of the 99th percentiles of the target's tiles.
    background : ndarray, optional
        float64 ``(3,)``, intensity of the target's glass, in levels.
    regularization : float, optional
        See :class:`~stainxform.stains.ramakrishnan.RamakrishnanEstimator`.
    patches : int, optional
        See :class:`~stainxform.stains.ramakrishnan.RamakrishnanEstimator`.
    max_white : float, optional
        See :class:`~stainxform.stains.ramakrishnan.RamakrishnanEstimator`.
    """

    stain_matrix: np.ndarray = fitted(3, 2)
    max_concentrations: np.ndarray = fitted(2)
    background: np.ndarray = fitted(3)
    regularization: float = 0.01
    patches: int = 20
    max_white: float = 0.1
    estimator: RamakrishnanEstimator = field(init=False, repr=False)

    method: ClassVar[str] = "ramakrishnan"
    Settings = RamakrishnanEstimator

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(estimator=RamakrishnanEstimator(**self.parameters()))

    @classmethod
    def fit_histograms(cls, histograms: Iterable[ColorHistogram], settings: RamakrishnanEstimator) -> Self:
        """Fit on the tiles of one slide, or of a center.

        Raises
        ------
        NotEnoughTissueError
            No tile shows two stains.
        """
        return cls(**settings.estimate_tiles(histograms)._asdict(), **settings.values())

    def map_for_tiles(self, tiles: Any) -> NonnegativeStainMap:
        """The one map for all tiles of a slide, estimated from them, or from some of them, as in a fit.

        Parameters
        ----------
        tiles : str, Path, array_like, Dataset or iterable of these
            Anything that :meth:`fit` takes.

        Raises
        ------
        NotEnoughTissueError
            No tile shows two stains.
        """
        return self._map_from(self.estimator.estimate_tiles(histograms_of(tiles), self.min_tissue))

    def color_map(self, histogram: ColorHistogram) -> NonnegativeStainMap:
        """The map for one image, which the published code, too, takes as a single tile, however white it is."""
        return self._map_from(self.estimator.estimate_tiles([histogram], self.min_tissue))

    def map_from(self, summary: Any) -> NonnegativeStainMap:
        """The map for the pooled colors of all tiles, taken as one tile: medians of tiles would not merge exactly."""
        return self.color_map(summary)

    def _map_from(self, source: SlideStains) -> NonnegativeStainMap:
        return NonnegativeStainMap(
            LeastSquares(source.stain_matrix, positive=True),
            self.stain_matrix * (self.max_concentrations / source.max_concentrations),
            density_below(source.background),
            density_below(self.background),
        )

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], parameters: dict[str, Any]) -> Self:
        """See :meth:`Normalizer.from_arrays`."""
        rebuilt = super().from_arrays(arrays, parameters)
        background = rebuilt.background
        if not ((background > 0) & (background <= 255)).all():
            raise ValueError(f"background is {background.tolist()}, not levels above 0 and up to 255")
        return rebuilt
