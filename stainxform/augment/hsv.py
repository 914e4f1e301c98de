"""HSV augmentation: Tellez et al., Medical Image Analysis 58, 2019."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from stainxform._native.kernels import HsvKernel
from stainxform.augment.base import Augmentation, Draw, Interval, Rng, draw_each
from stainxform.augment.presets import TELLEZ_2019, Preset, symmetric
from stainxform.color import ColorSpace, Planes, namespace, stack
from stainxform.image.histogram import ColorHistogram
from stainxform.maps import ColorMap

__all__ = ["HSV", "HSVMap", "HueSaturationValue"]


@dataclass(frozen=True)
class HueSaturationValue(ColorSpace):
    """The hexcone of Smith 1978: hue in turns, saturation and value, all 0..1; gray has hue 0, black saturation 0."""

    def from_rgb(self, planes: Planes) -> Planes:
        """RGB planes in [0, 1] to hue, saturation, value."""
        xp = namespace(planes)
        red, green, blue = planes
        value = xp.maximum(xp.maximum(red, green), blue)
        chroma = value - xp.minimum(xp.minimum(red, green), blue)
        divisor = xp.where(chroma > 0, chroma, xp.ones_like(chroma))
        sector = xp.where(
            value == red,
            (green - blue) / divisor,
            xp.where(value == green, (blue - red) / divisor + 2, (red - green) / divisor + 4),
        )
        hue = sector / 6
        return stack([hue - xp.floor(hue), chroma / xp.where(value > 0, value, xp.ones_like(value)), value])

    def to_rgb(self, planes: Planes) -> Planes:
        """Hue (any number of turns), saturation and value to RGB planes."""
        xp = namespace(planes)
        hue, saturation, value = planes
        rgb = []
        for start in (5 / 6, 3 / 6, 1 / 6):  # where on the circle red, green and blue have their valley begin
            turn = hue + start
            sector = 6 * (turn - xp.floor(turn))
            rgb.append(value - value * saturation * xp.clip(xp.minimum(sector, 4 - sector), 0, 1))
        return stack(rgb)


_SPACE = HueSaturationValue()


@dataclass(frozen=True)
class HSVMap(ColorMap):
    """Turn the hue by ``hue`` turns; change saturation S to S (1 + s), or S (1 + (1 - S) s) where s > 0."""

    hue: float
    saturation: float

    @property
    def kernel(self) -> HsvKernel:
        """The same in one pass."""
        return HsvKernel(self.hue, self.saturation)

    def evaluate(self, planes: Planes) -> Planes:
        """RGB planes -> hue, saturation, value -> RGB planes."""
        hue, s, value = _SPACE.from_rgb(planes)
        room = 1 - s if self.saturation > 0 else 1
        return _SPACE.to_rgb(stack([hue + self.hue, s * (1 + room * self.saturation), value]))


@dataclass(frozen=True, kw_only=True)
class HSV(Augmentation):
    """Turn the hue and change the saturation; brightness (value) stays.

    Parameters
    ----------
    hue : (float, float), optional
        (low, high), in turns, within -1..1.
    saturation : (float, float), optional
        (low, high), within -1..1; -1 is gray.
    """

    hue: Interval = (-0.1, 0.1)
    saturation: Interval = (-0.1, 0.1)

    name: ClassVar[str] = "hsv"
    title: ClassVar[str] = "Turned hue and changed saturation"
    source: ClassVar[str] = TELLEZ_2019
    presets: ClassVar[Mapping[str, Preset]] = {
        "light": Preset(symmetric(0.1, "hue", "saturation"), f"{TELLEZ_2019}, HSV-light"),
        "strong": Preset(symmetric(1.0, "hue", "saturation"), f"{TELLEZ_2019}, HSV-strong"),
    }

    def __post_init__(self) -> None:
        self.check_intervals(-1, 1, "hue", "saturation")

    @property
    def neutral(self) -> Draw:
        """No turn, the same saturation."""
        return {"hue": 0.0, "saturation": 0.0}

    def sample(self, rng: Rng) -> dict[str, float]:
        """Draw ``hue`` and ``saturation``."""
        return draw_each(rng, {"hue": self.hue, "saturation": self.saturation})

    def color_map(self, draw: Draw, histogram: ColorHistogram | None = None) -> HSVMap:
        """The map of a draw, whatever the image."""
        return HSVMap(draw["hue"], draw["saturation"])
