"""HED augmentation: Tellez et al., IEEE TMI 37(9), 2018, and Medical Image Analysis 58, 2019."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from stainxform.augment.base import Augmentation, Draw, Interval, Rng, draw_each, per_stain
from stainxform.augment.presets import TELLEZ_2019, Preset, symmetric
from stainxform.augment.spaces import Concentrations
from stainxform.color import ColorSpace, LogDensity, Planes, ReversibleDensity, namespace
from stainxform.image.histogram import ColorHistogram
from stainxform.maps import ChannelAffineMap, ColorMap, IdentityMap
from stainxform.stains.references import REFERENCES

__all__ = ["DEFINITIONS", "HED", "RUIFROK_HED", "FlooredDensity"]

RUIFROK_HED = np.array(REFERENCES["hed"].densities).T
"""Hematoxylin, eosin, DAB in the columns; scikit-image does not scale them to unit length."""

_FLOOR = 1e-6


@dataclass(frozen=True)
class FlooredDensity(ColorSpace):
    """scikit-image's since 0.18: ln(max(I, 1e-6)) / ln(1e-6), so 0 for white and 1 for black."""

    def from_rgb(self, planes: Planes) -> Planes:
        """RGB planes in [0, 1] to density."""
        xp = namespace(planes)
        return xp.log(xp.clip(planes, _FLOOR, None)) / float(np.log(_FLOOR))

    def to_rgb(self, planes: Planes) -> Planes:
        """Density to RGB planes, unclipped."""
        return namespace(planes).exp(planes * float(np.log(_FLOOR)))

    @property
    def logarithm(self) -> LogDensity:
        """The same as numbers."""
        same, none = (1.0,) * 3, (0.0,) * 3
        return LogDensity(same, none, same, lowest=_FLOOR, unit=-float(np.log(_FLOOR)))


DEFINITIONS: dict[str, Concentrations] = {
    # scikit-image up to 0.17: -ln(I + 2) and back, no density at all, but what the published ranges were chosen for.
    "legacy": Concentrations(RUIFROK_HED, ReversibleDensity(io=255, offset=510)),
    # scikit-image since 0.19 (0.18 kept negative concentrations).
    "current": Concentrations(RUIFROK_HED, FlooredDensity(), positive=True),
}

_STAINS = "hed"


@dataclass(frozen=True, kw_only=True)
class HED(Augmentation):
    """Scale and shift each of three fixed stains, hematoxylin, eosin and DAB: c' = c (1 + sigma) + bias.

    Parameters
    ----------
    sigma, bias : (float, float), optional
        (low, high), within -1..1; drawn for each stain by itself.
    definition : str, optional
        "legacy" (-ln(I + 2), scikit-image up to 0.17; the published ranges are meant for it) or "current" (scikit-image
        since 0.19). Ranges do not carry over: in "current" the same sigma changes colors much less and the same bias
        twice as much; and colors that the three stains cannot mix change in every draw.
    cutoff : (float, float), optional
        An image whose mean, in 0..1, lies outside is left as it is: mostly glass, or mostly black.
    """

    sigma: Interval = (-0.05, 0.05)
    bias: Interval = (-0.05, 0.05)
    definition: str = "legacy"
    cutoff: Interval = (0.15, 0.85)

    name: ClassVar[str] = "hed"
    title: ClassVar[str] = "Scaled and shifted hematoxylin, eosin and DAB, with fixed stain vectors"
    source: ClassVar[str] = "Tellez et al., IEEE TMI 37(9), 2018; Medical Image Analysis 58, 2019"
    presets: ClassVar[Mapping[str, Preset]] = {
        "light": Preset(symmetric(0.05, "sigma", "bias") | {"definition": "legacy"}, f"{TELLEZ_2019}, HED-light"),
        "strong": Preset(symmetric(0.2, "sigma", "bias") | {"definition": "legacy"}, f"{TELLEZ_2019}, HED-strong"),
    }

    def __post_init__(self) -> None:
        self.check_intervals(-1, 1, "sigma", "bias")
        self.check_intervals(0, 1, "cutoff")
        self.check_choice("definition", list(DEFINITIONS))

    @property
    def uses_image(self) -> bool:
        """Its mean decides whether it is augmented."""
        return True

    @property
    def neutral(self) -> Draw | None:
        """No scale, no shift; none for "current", which loses negative concentrations."""
        return per_stain(_STAINS, sigma=0.0, bias=0.0) if self.definition == "legacy" else None

    def sample(self, rng: Rng) -> dict[str, float]:
        """Draw ``sigma_h``, ``sigma_e``, ``sigma_d``, ``bias_h``, ``bias_e``, ``bias_d``."""
        return draw_each(rng, per_stain(_STAINS, sigma=self.sigma, bias=self.bias))

    def color_map(self, draw: Draw, histogram: ColorHistogram | None = None) -> ColorMap:
        """The map of a draw; the identity for an image outside the cutoff."""
        histogram = self.require_histogram(histogram)
        if not histogram.total or not self.cutoff[0] <= histogram.mean <= self.cutoff[1]:
            return IdentityMap()
        scale, shift = ([draw[f"{kind}_{stain}"] for stain in _STAINS] for kind in ("sigma", "bias"))
        return ChannelAffineMap(DEFINITIONS[self.definition], 1 + np.array(scale), np.array(shift))
