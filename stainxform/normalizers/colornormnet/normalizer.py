"""ColorNormNet: one CIELAB offset for an image or a slide, predicted by a network trained on one center alone.

arXiv 2011.15000 (ISBI 2021). No code is public: this is a reconstruction, see ``docs/methods/colornormnet.md`` for what
the paper states and what is reconstructed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch

from stainxform._native.native import each_in_order
from stainxform._torch import learning
from stainxform.color import CIELab
from stainxform.errors import NotEnoughTissueError
from stainxform.image.histogram import ColorHistogram
from stainxform.image.layout import Image, ImageSpec, ValueRange, as_numpy, check_image, read_planes
from stainxform.io.sources import as_tiles, iterate
from stainxform.maps import ChannelAffineMap
from stainxform.normalizers.colornormnet.network import ColorNormNetwork
from stainxform.normalizers.colornormnet.settings import ColorNormNetSettings
from stainxform.normalizers.colornormnet.training import tissue_offsets, train_colornormnet
from stainxform.normalizers.network import NetworkNormalizer, load_weights

__all__ = ["WINDOW", "ColorNormNet", "OffsetSum"]

WINDOW = 1024
"""Larger images are looked at in squares of this side, in pixels: feature maps are as large as the image."""


@dataclass(frozen=True, eq=False)
class OffsetSum:
    """Predicted offsets of tissue pixels.

    Parameters
    ----------
    pixels : int
        How many.
    total : ndarray
        float64 ``(2,)``, sums of the offsets of a* and b*, in Lab units.
    """

    pixels: int
    total: np.ndarray

    @classmethod
    def merge(cls, parts: Iterable[OffsetSum]) -> OffsetSum:
        """Of all pixels together, whatever the order of the parts."""
        found = list(parts)
        sums = [math.fsum(part.total[channel] for part in found) for channel in range(2)]
        return cls(sum(part.pixels for part in found), np.array(sums))

    @property
    def mean(self) -> np.ndarray:
        """Mean offset, float64 ``(2,)``; NotEnoughTissueError if there is no pixel."""
        if not self.pixels:
            raise NotEnoughTissueError("there is no tissue pixel to predict a color offset from")
        return self.total / self.pixels

    def arrays(self) -> dict[str, np.ndarray]:
        """The three numbers as arrays."""
        return {"pixels": np.array([self.pixels]), "total": self.total}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> OffsetSum:
        """Rebuild from :meth:`arrays`; KeyError, TypeError or ValueError for anything else: they come from a file."""
        pixels, total = int(arrays["pixels"].item()), arrays["total"].astype(np.float64)
        if pixels < 0 or total.shape != (2,):
            raise ValueError("offsets are a count and two sums")
        return cls(pixels, total)


@dataclass(frozen=True, eq=False, kw_only=True)
class ColorNormNet(NetworkNormalizer):
    """Predict how far an image's a* and b* are from the center's, and take that off.

    One offset serves the whole image, so structure cannot be hallucinated: what is applied is a fixed shift in CIELAB.

    Parameters
    ----------
    net : ColorNormNetwork
        The trained network, in eval mode.
    training : dict of str to float, optional
        ``offset_error``: mean absolute error, in Lab units, of the offsets of held-out tiles.
    """

    net: ColorNormNetwork

    method: ClassVar[str] = "colornormnet"
    Settings = ColorNormNetSettings

    @classmethod
    def fit_tiles(cls, images: Any, settings: ColorNormNetSettings) -> Self:
        """Train on tiles of one center."""
        net, training = train_colornormnet(as_tiles(images), settings)
        return cls(net=net, training=training)

    def offset(
        self, image: Image, *, value_range: ValueRange | None = None, channel_axis: int | None = None
    ) -> np.ndarray:
        """The image's a* and b* minus what our center would show, in Lab units: float64 ``(2,)``.

        It is the mean prediction over the tissue pixels of an image, or of a batch together.

        Raises
        ------
        InvalidImageError
            No RGB image.
        NotEnoughTissueError
            Not one tissue pixel.
        """
        return self._sum(image, check_image(image, value_range, channel_axis)).mean

    def map_for_tiles(self, tiles: Any) -> ChannelAffineMap:
        """One offset for a slide: the mean prediction over all tissue of a sample of its tiles.

        Raises
        ------
        NotEnoughTissueError
            There is none.
        """
        sums = each_in_order(lambda tile: self._sum(tile, check_image(tile)), iterate(tiles))
        return self.map_from(OffsetSum.merge(sums))

    def summary(self, tile: np.ndarray, histogram: ColorHistogram) -> OffsetSum:
        """Three numbers: tissue pixels, and the sums of their predicted offsets."""
        return self._sum(tile, check_image(tile))

    def map_from(self, summary: OffsetSum) -> ChannelAffineMap:
        """The shift that takes the mean offset off."""
        return _shift(summary.mean)

    def image_map(self, image: Image, spec: ImageSpec, histogram: ColorHistogram) -> ChannelAffineMap:
        """The shift that takes the offset of the image off."""
        return self.map_from(self._sum(image, spec))

    def _sum(self, image: Image, spec: ImageSpec) -> OffsetSum:
        """Predictions summed over tissue."""
        pixels = np.moveaxis(as_numpy(image), spec.channel_axis, 0)
        total, count = np.zeros(2), 0
        height, width = pixels.shape[-2:]
        for index in np.ndindex(*pixels.shape[1:-2]):
            for top in range(0, height, WINDOW):
                for left in range(0, width, WINDOW):
                    window = pixels[:, *index, top : top + WINDOW, left : left + WINDOW]
                    part, tissue = tissue_offsets(self.net, read_planes(window, spec), self.device)
                    total, count = total + part, count + tissue
        return OffsetSum(count, total)

    def parameters(self) -> dict[str, Any]:
        """The scale of the network, and how well it was trained."""
        return {"max_offset": self.net.max_offset, "training": self.training}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], parameters: dict[str, Any]) -> Self:
        """See :meth:`Normalizer.from_arrays`."""
        with learning(), torch.device("meta"):
            net = ColorNormNetwork(float(parameters["max_offset"]))
        load_weights(net, arrays)
        return cls(net=net, training=dict(parameters["training"]))


def _shift(offset: np.ndarray) -> ChannelAffineMap:
    return ChannelAffineMap(CIELab(), np.ones(3), np.array([0.0, -offset[0], -offset[1]]))
