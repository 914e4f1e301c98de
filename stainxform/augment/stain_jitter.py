"""Stain-concentration jitter, as in StainTools (MIT) and in its many descendants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stainxform.augment.base import Augmentation, Draw, Interval, Rng, draw_each, per_stain
from stainxform.augment.presets import TELLEZ_2019, Preset, symmetric
from stainxform.augment.spaces import Concentrations
from stainxform.color import Planes, ReversibleDensity, namespace
from stainxform.errors import NotEnoughTissueError, ParameterError
from stainxform.image.histogram import ColorHistogram
from stainxform.image.tissue import is_blank, tissue_planes
from stainxform.maps import ChannelAffineMap, ColorMap
from stainxform.stains.estimate import ESTIMATORS, estimate
from stainxform.stains.macenko import MIN_STAIN_ANGLE
from stainxform.stains.references import complement_stains, match_stains, stain_angles, stain_matrix_of

__all__ = ["StainJitter", "TissueMap"]

_DENSITY = ReversibleDensity(io=240, offset=1)
"""Macenko's; the offset is taken away again, so that a neutral draw changes nothing."""

_STAINS = "he"


@dataclass(frozen=True)
class TissueMap(ColorMap):
    """``inner`` for the colors of tissue; glass and black stay."""

    inner: ColorMap

    def evaluate(self, planes: Planes) -> Planes:
        """RGB planes, mapped where they are tissue."""
        return namespace(planes).where(tissue_planes(planes), self.inner.evaluate(planes), planes)


@dataclass(frozen=True, kw_only=True)
class StainJitter(Augmentation):
    """Scale and shift the concentration of the image's own hematoxylin and eosin: c' = c (1 + sigma) + bias.

    Parameters
    ----------
    sigma, bias : (float, float), optional
        (low, high), within -1..1; drawn for each stain by itself. The bias is an optical density, natural logarithm.
    estimator : str, optional
        What estimates the image's stain matrix, a name in ``stainxform.stains.ESTIMATORS``.
    stain_matrix : str or tuple of tuple of float, optional
        Instead of an estimate: the name of published stains ("he", "hdab", ..., see
        :func:`stainxform.stains.references.reference_stains`), or three rows (red, green, blue) of two optical
        densities, which are scaled to unit length.
    residual : bool, optional
        Keep what the two stains cannot explain (pigment, blood, ink; a neutral draw then changes nothing), or drop it,
        which moves every color into the plane of the two stains, as StainTools does.
    tissue_only : bool, optional
        Leave glass and black as they are (StainTools' default).
    """

    sigma: Interval = (-0.05, 0.05)
    bias: Interval = (-0.05, 0.05)
    estimator: str = "macenko"
    stain_matrix: str | tuple[tuple[float, ...], ...] | None = None
    residual: bool = True
    tissue_only: bool = True

    name: ClassVar[str] = "stain_jitter"
    title: ClassVar[str] = "Scaled and shifted hematoxylin and eosin, with the image's own stain vectors"
    source: ClassVar[str] = "StainTools (Byfield 2018); Macenko et al., ISBI 2009, for the stain vectors"
    presets: ClassVar[Mapping[str, Preset]] = {
        "light": Preset(
            symmetric(0.05, "sigma", "bias"), f"the range of HED-light, {TELLEZ_2019}, in this space (ours)"
        ),
        "strong": Preset(symmetric(0.2, "sigma", "bias"), "StainTools' default, sigma1 = sigma2 = 0.2"),
    }

    def __post_init__(self) -> None:
        self.check_intervals(-1, 1, "sigma", "bias")
        if self.stain_matrix is not None:
            checked = _two_stains(self.stain_matrix)
            if not isinstance(self.stain_matrix, str):
                self.set_fields(stain_matrix=tuple(map(tuple, checked.tolist())))
        if self.estimator not in ESTIMATORS:
            raise ParameterError(f"estimator must be a method that estimates stain vectors, got {self.estimator!r}")

    @property
    def uses_image(self) -> bool:
        """Its stain vectors are estimated, unless they are given."""
        return self.stain_matrix is None

    @property
    def neutral(self) -> Draw | None:
        """No scale, no shift; none if the residual is dropped."""
        return per_stain(_STAINS, sigma=0.0, bias=0.0) if self.residual else None

    def sample(self, rng: Rng) -> dict[str, float]:
        """Draw ``sigma_h``, ``sigma_e``, ``bias_h``, ``bias_e``."""
        return draw_each(rng, per_stain(_STAINS, sigma=self.sigma, bias=self.bias))

    def color_map(self, draw: Draw, histogram: ColorHistogram | None = None) -> ColorMap:
        """The map of a draw for an image with these colors.

        Raises
        ------
        NotEnoughTissueError
            It shows no two stains.
        """
        space = Concentrations(complement_stains(self._stains(histogram)), _DENSITY)
        scale = [1 + draw["sigma_h"], 1 + draw["sigma_e"], float(self.residual)]
        jitter = ChannelAffineMap(space, np.array(scale), np.array([draw["bias_h"], draw["bias_e"], 0.0]))
        return TissueMap(jitter) if self.tissue_only else jitter

    def _stains(self, histogram: ColorHistogram | None) -> np.ndarray:
        if self.stain_matrix is not None:
            return _two_stains(self.stain_matrix)
        histogram = self.require_histogram(histogram)
        if is_blank(histogram):
            raise NotEnoughTissueError("too little tissue to estimate stain vectors from")
        return match_stains(estimate(histogram, self.estimator).stain_matrix, "he")


def _two_stains(stains: Any) -> np.ndarray:
    """Unit columns of hematoxylin and eosin; ParameterError if that is not what ``stains`` are."""
    try:
        matrix = stain_matrix_of(stains if isinstance(stains, str) else np.array(stains, np.float64))
    except (TypeError, ValueError) as error:  # rows of different lengths, or no numbers
        raise ParameterError(f"stain_matrix is not valid: {error}") from None
    if matrix.shape[1] != 2:
        raise ParameterError(f"stain_matrix must hold 2 stains, got {matrix.shape[1]}")
    unit = matrix / np.linalg.norm(matrix, axis=0)
    if stain_angles(unit[:, :1], unit[:, 1:]) < MIN_STAIN_ANGLE:
        raise ParameterError(
            f"the stains of stain_matrix must be {MIN_STAIN_ANGLE:g} degrees apart, got {matrix.tolist()}"
        )
    return np.asarray(unit)
