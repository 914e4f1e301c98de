"""A plug-in as another package would bring it: one method, one augmentation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from stainxform.augment import Augmentation, Draw, Interval, Preset, Rng
from stainxform.color import Planes
from stainxform.image.histogram import ColorHistogram
from stainxform.maps import ColorMap
from stainxform.normalizers.registry import Method
from stainxform.normalizers.reinhard import Reinhard

METHOD = Method("toy", "toy_plugin:Toy", "Reinhard under another name", "nobody, 2026")


@dataclass(frozen=True, eq=False, kw_only=True)
class Toy(Reinhard):
    """Reinhard under another name."""

    method: ClassVar[str] = "toy"


@dataclass(frozen=True)
class Dimmed(ColorMap):
    """All channels times ``factor``."""

    factor: float

    def evaluate(self, planes: Planes) -> Planes:
        """RGB planes -> darker ones."""
        return planes * self.factor


@dataclass(frozen=True, kw_only=True)
class Dim(Augmentation):
    """Darken.

    Parameters
    ----------
    factor : (low, high), within 0..1.
    """

    factor: Interval = (0.9, 1.0)

    name: ClassVar[str] = "dim"
    title: ClassVar[str] = "Darker"
    source: ClassVar[str] = "nobody, 2026"
    presets: ClassVar[Mapping[str, Preset]] = {
        "light": Preset({"factor": (0.9, 1.0)}, "nobody"),
        "strong": Preset({"factor": (0.5, 1.0)}, "nobody"),
    }

    def __post_init__(self) -> None:
        self.check_intervals(0, 1, "factor")

    def sample(self, rng: Rng) -> dict[str, float]:
        """Draw ``factor``."""
        return {"factor": float(rng.uniform(*self.factor))}

    def color_map(self, draw: Draw, histogram: ColorHistogram | None = None) -> Dimmed:
        """The map of a draw."""
        return Dimmed(draw["factor"])
