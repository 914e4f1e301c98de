"""Grayscale, the baseline without any stain color."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from stainxform.augment.base import Augmentation, Draw, Rng
from stainxform.color import Planes, gray, stack
from stainxform.image.histogram import ColorHistogram
from stainxform.maps import ColorMap

__all__ = ["GrayMap", "StainGrayscale"]


@dataclass(frozen=True)
class GrayMap(ColorMap):
    """BT.601 luma, three times."""

    def evaluate(self, planes: Planes) -> Planes:
        """RGB planes -> three equal planes."""
        return stack([gray(planes)] * 3)


@dataclass(frozen=True, kw_only=True)
class StainGrayscale(Augmentation):
    """Replace the image by its BT.601 luma, three times. Nothing is random but whether a host applies it."""

    name: ClassVar[str] = "grayscale"
    title: ClassVar[str] = "Gray image, three times: the baseline without color"
    source: ClassVar[str] = "ITU-R BT.601; as a baseline in Tellez et al., Medical Image Analysis 58, 2019"

    def sample(self, rng: Rng) -> dict[str, float]:
        """Nothing to draw."""
        return {}

    def color_map(self, draw: Draw, histogram: ColorHistogram | None = None) -> GrayMap:
        """The same map for every image."""
        return GrayMap()
