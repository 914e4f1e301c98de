"""Ramakrishnan, Anand, Sethi, "Fast GPU-enabled color normalization for digital pathology", arXiv 1901.03088, 2019: the
sparse factorization of Vahadane et al., made robust and fast for whole slides.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from stainxform.color import BackgroundDensity
from stainxform.errors import NotEnoughTissueError, ParameterError
from stainxform.image.glass import WHITE, background_of, white_fraction, white_levels
from stainxform.image.histogram import ColorHistogram, weighted_percentile
from stainxform.image.tissue import is_blank
from stainxform.io.sources import iterate
from stainxform.maps import NonnegativeStainMap
from stainxform.normalizers.base import PointwiseNormalizer, array_of
from stainxform.stains.factorization import sparse_stain_matrix
from stainxform.stains.macenko import all_present
from stainxform.stains.separation import LeastSquares


class SlideStains(NamedTuple):
    """What is known of a slide.

    Attributes
    ----------
    stain_matrix : float64 ``(3, 2)``, unit columns, hematoxylin and eosin.
    max_concentrations : float64 ``(2,)``, medians of the tiles' 99th percentiles.
    background : float64 ``(3,)``, intensity of the glass in levels.
    """

    stain_matrix: np.ndarray
    max_concentrations: np.ndarray
    background: np.ndarray


@dataclass(frozen=True, eq=False, kw_only=True)
class Ramakrishnan(PointwiseNormalizer):
    """Factorize tile by tile, take the median stains, normalize the whole slide with them and with its own glass.

    Parameters
    ----------
    stain_matrix : float64 ``(3, 2)``, the target's unit optical-density vectors of hematoxylin and eosin.
    max_concentrations : float64 ``(2,)``, medians of the 99th percentiles of the target's tiles.
    background : float64 ``(3,)``, intensity of the target's glass, in levels.
    regularization : L1 penalty of the factorization, above 0 (published code: .01).
    patches : at least so many tiles of a slide are factorized (paper: 20), if it has them, and fewer than twice as many.
    max_white : tiles with a larger fraction of white pixels (all channels above 220) are not factorized (paper: .1),
        unless all are like that.
    """

    stain_matrix: np.ndarray
    max_concentrations: np.ndarray
    background: np.ndarray
    regularization: float = 0.01
    patches: int = 20
    max_white: float = 0.1

    method: ClassVar[str] = "ramakrishnan"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.regularization < 1:
            raise ParameterError(f"regularization is a penalty above 0 and below 1, got {self.regularization}")
        if type(self.patches) is not int or self.patches < 1:
            raise ParameterError(f"patches is a whole number of at least 1, got {self.patches!r}")
        if not 0 <= self.max_white <= 1:
            raise ParameterError(f"max_white is a fraction from 0 to 1, got {self.max_white}")

    @classmethod
    def fit(cls, images: Any, *, regularization: float = 0.01, patches: int = 20, max_white: float = 0.1) -> Self:
        """Fit on the tiles of one slide, or of a center.

        The tiles are read once, one by one; the colors of fewer than 4 x ``patches`` are held in memory.

        Raises
        ------
        NotEnoughTissueError : no tile shows two stains.
        """
        settings = cls(
            stain_matrix=np.eye(3, 2),
            max_concentrations=np.ones(2),
            background=np.full(3, 255.0),
            regularization=regularization,
            patches=patches,
            max_white=max_white,
        )
        return replace(settings, **settings._estimate(map(ColorHistogram.of, iterate(images)))._asdict())

    def map_for_tiles(self, tiles: Any) -> NonnegativeStainMap:
        """The one map for all tiles of a slide, estimated from them, or from some of them, as in :meth:`fit`.

        Parameters
        ----------
        tiles : anything that :meth:`fit` takes.

        Raises
        ------
        NotEnoughTissueError : no tile shows two stains.
        """
        return self._map(self._estimate(map(ColorHistogram.of, iterate(tiles))))

    def color_map(self, histogram: ColorHistogram) -> NonnegativeStainMap:
        """The map for one image, which the published code, too, takes as a single tile, however white it is."""
        return self._map(self._estimate([histogram]))

    def _map(self, source: SlideStains) -> NonnegativeStainMap:
        return NonnegativeStainMap(
            LeastSquares(source.stain_matrix, positive=True),
            self.stain_matrix * (self.max_concentrations / source.max_concentrations),
            density_below(source.background),
            density_below(self.background),
        )

    def _estimate(self, histograms: Iterable[ColorHistogram]) -> SlideStains:
        glass = np.zeros((3, 256), np.int64)
        full, pale = Spread(self.patches), Spread(self.patches)
        for histogram in histograms:
            glass += white_levels(histogram)
            if not is_blank(histogram, self.min_tissue):
                (full if white_fraction(histogram) <= self.max_white else pale).add(histogram)
        background = background_of(glass)
        space = density_below(background)
        problem = NotEnoughTissueError("every tile is blank")
        stained, matrices = [], []
        for histogram in full.kept or pale.kept:
            try:
                matrices.append(self._stains_of(histogram, space))
                stained.append(histogram)
            except NotEnoughTissueError as error:
                problem = error
        if not matrices:
            raise problem
        median = np.median(matrices, axis=0)
        stain_matrix = median / np.linalg.norm(median, axis=0)
        separate = LeastSquares(stain_matrix, positive=True)
        maxima = [positive_percentiles(separate(h.values(space)), h.counts) for h in stained]
        return SlideStains(stain_matrix, all_present(np.median(maxima, axis=0)), background)

    def _stains_of(self, histogram: ColorHistogram, space: BackgroundDensity) -> np.ndarray:
        """Stain matrix of one tile, from the pixels that absorb in every channel."""
        colored = histogram.where(histogram.colors.max(axis=0) < WHITE / 255)
        return sparse_stain_matrix(colored.values(space), colored.counts, penalty=self.regularization)

    def _arrays(self) -> dict[str, np.ndarray]:
        return {name: getattr(self, name) for name in SlideStains._fields}

    def _parameters(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("regularization", "patches", "max_white")}

    @classmethod
    def _from_state(cls, arrays: dict[str, np.ndarray], parameters: dict[str, Any]) -> Self:
        background = array_of(arrays, "background", (3,))
        if not ((background > 0) & (background <= 255)).all():
            raise ValueError(f"background is {background.tolist()}, not levels above 0 and up to 255")
        return cls(
            stain_matrix=array_of(arrays, "stain_matrix", (3, 2)),
            max_concentrations=array_of(arrays, "max_concentrations", (2,)),
            background=background,
            **parameters,
        )


def density_below(background: np.ndarray) -> BackgroundDensity:
    """Optical density below glass of these levels ``(3,)``."""
    red, green, blue = background.tolist()
    return BackgroundDensity((red, green, blue))


def positive_percentiles(amounts: np.ndarray, counts: np.ndarray) -> list[float]:
    """99th percentile of each stain ``(k, K)`` over the pixels that have any of it; 0 if none has."""
    return [weighted_percentile(row[row > 0], counts[row > 0], 99) if (row > 0).any() else 0.0 for row in amounts]


@dataclass
class Spread:
    """Some of a stream of unknown length, evenly spread over it: between ``least`` and twice as many, or all."""

    least: int
    kept: list[ColorHistogram] = field(default_factory=list)
    seen: int = 0
    every: int = 1

    def add(self, histogram: ColorHistogram) -> None:
        """Keep every n-th; when there are too many, keep every other one of them."""
        if self.seen % self.every == 0:
            self.kept.append(histogram)
        if len(self.kept) == 2 * self.least:
            self.kept, self.every = self.kept[::2], 2 * self.every
        self.seen += 1
