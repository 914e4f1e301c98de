"""Style mixing: images as other, fitted centers would have made them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from stainxform.augment.base import Augmentation, Draw, Rng
from stainxform.color import Planes, ReversibleDensity, namespace
from stainxform.errors import NotEnoughTissueError, ParameterError
from stainxform.image.histogram import ColorHistogram
from stainxform.image.tissue import is_blank
from stainxform.maps import ColorMap
from stainxform.normalizers.base import Normalizer, PointwiseNormalizer

__all__ = ["BlendMap", "StainStyle"]

_DENSITY = ReversibleDensity(io=255, offset=1)


@dataclass(frozen=True)
class BlendMap(ColorMap):
    """Between two maps, in optical density: stains, not intensities, are averaged.

    Parameters
    ----------
    first, second : ColorMap
        The maps.
    weight : float
        Weight of the second, 0..1.
    """

    first: ColorMap
    second: ColorMap
    weight: float

    def evaluate(self, planes: Planes) -> Planes:
        """RGB planes -> both maps -> weighted mean of optical densities -> RGB planes."""
        xp = namespace(planes)
        first, second = (_DENSITY.from_rgb(xp.clip(map.evaluate(planes), 0, 1)) for map in (self.first, self.second))
        return _DENSITY.to_rgb((1 - self.weight) * first + self.weight * second)


@dataclass(frozen=True, kw_only=True)
class StainStyle(Augmentation):
    """Normalize to a center drawn from several, each as likely, or to a mixture of two of them.

    Parameters
    ----------
    models : sequence of (str, Path or Normalizer)
        Fitted normalizers of pointwise methods (Macenko, Reinhard, ...), or the paths of their model files. The files
        are read once, now.
    interpolate : bool, optional
        Draw two centers and a weight, and go between their results.
    """

    models: Sequence[str | Path | Normalizer]
    interpolate: bool = False
    normalizers: tuple[PointwiseNormalizer, ...] = field(init=False, repr=False, compare=False)
    """What ``models`` stand for."""

    name: ClassVar[str] = "style"
    title: ClassVar[str] = "Normalization to a center, or a mixture of two, drawn from several"
    source: ClassVar[str] = "stainxform; any fitted pointwise method"

    def __post_init__(self) -> None:
        if isinstance(self.models, str | Path | Normalizer) or not isinstance(self.models, Sequence):
            raise ParameterError(f"models must be a list of paths or fitted Normalizers, got {self.models!r}")
        self.set_fields(
            models=tuple(model if isinstance(model, Normalizer) else str(model) for model in self.models),
            normalizers=tuple(_pointwise(model) for model in self.models),
        )
        needed = 1 + bool(self.interpolate)
        if len(self.models) < needed:
            raise ParameterError(f"models must hold at least {needed} with interpolate={self.interpolate}")

    @property
    def uses_image(self) -> bool:
        """A normalizer needs the image's own colors."""
        return True

    def sample(self, rng: Rng) -> dict[str, float]:
        """Draw ``center``, an index of ``models``; with ``interpolate`` also ``other`` and its ``weight``."""
        count = len(self.models)
        draw: dict[str, float] = {"center": _index(rng, count)}
        if self.interpolate:
            step = 1 + _index(rng, count - 1)
            draw |= {"other": (int(draw["center"]) + step) % count, "weight": float(rng.uniform(0, 1))}
        return draw

    def color_map(self, draw: Draw, histogram: ColorHistogram | None = None) -> ColorMap:
        """The map of a draw for an image with these colors.

        Raises
        ------
        NotEnoughTissueError
            It cannot be estimated.
        """
        histogram = self.require_histogram(histogram)
        center = self._map_to(draw["center"], histogram)
        if "other" not in draw:
            return center
        return BlendMap(center, self._map_to(draw["other"], histogram), draw["weight"])

    def _map_to(self, index: float, histogram: ColorHistogram) -> ColorMap:
        normalizer = self.normalizers[int(index)]
        if is_blank(histogram, normalizer.min_tissue):
            raise NotEnoughTissueError("too little tissue to estimate colors from")
        return normalizer.color_map(histogram)


def _index(rng: Rng, count: int) -> int:
    return min(int(rng.uniform(0, count)), count - 1)


def _pointwise(model: Any) -> PointwiseNormalizer:
    if isinstance(model, str | Path):
        model = Normalizer.load(model)
    if not isinstance(model, PointwiseNormalizer):
        what = f"a {model.method!r} model" if isinstance(model, Normalizer) else type(model).__name__
        raise ParameterError(f"models must be paths or fitted Normalizers of pointwise methods, got {what}")
    return model
