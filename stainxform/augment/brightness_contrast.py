"""Brightness and contrast: Tellez et al., Medical Image Analysis 58, 2019."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from stainxform.augment.base import Augmentation, Draw, Interval, Rng, draw_each
from stainxform.augment.presets import TELLEZ_2019, Preset
from stainxform.color import Planes, gray, namespace
from stainxform.image.histogram import ColorHistogram
from stainxform.maps import ColorMap, IdentityMap

__all__ = ["BrightnessContrast", "BrightnessContrastMap", "brighten"]


@dataclass(frozen=True)
class BrightnessContrastMap(ColorMap):
    """Multiply by ``brightness`` and clip; then stretch by ``contrast`` about ``pivot``."""

    brightness: float
    contrast: float
    pivot: float

    def evaluate(self, planes: Planes) -> Planes:
        """RGB planes, each channel by itself."""
        lit = brighten(planes, self.brightness)
        return (lit - self.pivot) * self.contrast + self.pivot


def brighten(planes: Planes, factor: float) -> Planes:
    """``planes`` times ``factor``, clipped to 1."""
    return namespace(planes).clip(planes * factor, None, 1)


@dataclass(frozen=True, kw_only=True)
class BrightnessContrast(Augmentation):
    """Multiply all channels, then stretch them about the image's mean gray.

    As Pillow's ``ImageEnhance.Brightness`` and ``Contrast``, which the authors use, but in float: Pillow rounds in
    between. albumentations' RandomBrightnessContrast is another one (it adds, and about the middle of the range).

    Parameters
    ----------
    brightness, contrast : (float, float), optional
        (low, high) of the factors, within 0..10; 1 changes nothing.
    """

    brightness: Interval = (0.825, 1.175)
    contrast: Interval = (0.75, 1.25)

    name: ClassVar[str] = "brightness_contrast"
    title: ClassVar[str] = "Changed brightness, and contrast about the image's mean gray"
    source: ClassVar[str] = TELLEZ_2019
    presets: ClassVar[Mapping[str, Preset]] = {
        "light": Preset(
            {"brightness": (0.825, 1.175), "contrast": (0.75, 1.25)}, f"half the range of {TELLEZ_2019} (ours)"
        ),
        "strong": Preset({"brightness": (0.65, 1.35), "contrast": (0.5, 1.5)}, TELLEZ_2019),
    }

    def __post_init__(self) -> None:
        self.check_intervals(0, 10, "brightness", "contrast")

    @property
    def uses_image(self) -> bool:
        """Its mean gray is the pivot."""
        return True

    @property
    def neutral(self) -> Draw:
        """Both factors 1."""
        return {"brightness": 1.0, "contrast": 1.0}

    def sample(self, rng: Rng) -> dict[str, float]:
        """Draw ``brightness`` and ``contrast``."""
        return draw_each(rng, {"brightness": self.brightness, "contrast": self.contrast})

    def color_map(self, draw: Draw, histogram: ColorHistogram | None = None) -> ColorMap:
        """The map of a draw; contrast turns about the mean gray (BT.601) of the brightened image."""
        histogram = self.require_histogram(histogram)
        if not histogram.total:
            return IdentityMap()
        levels = gray(brighten(histogram.colors, draw["brightness"]))
        pivot = float((levels * histogram.counts).sum() / histogram.total)
        return BrightnessContrastMap(draw["brightness"], draw["contrast"], pivot)
