"""Color maps: pure functions from RGB to RGB.

A map is what a fitted normalizer applies to an image once the image's own statistics are known. The closed form of a
:class:`ColorMap` on float planes is the definition; calling the map applies it to an image of any layout, dtype or
host.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from stainxform.color import ColorSpace, OpticalDensity, Planes, mix, stack
from stainxform.images import Image, ImageSpec, ValueRange, check_image, map_pixels


class ImageMap(ABC):
    """A function from image to image whose parameters are fixed: the same map may serve every tile of a slide."""

    @abstractmethod
    def apply(self, image: Image, spec: ImageSpec) -> Image:
        """Map a checked image."""

    def __call__(
        self, image: Image, *, value_range: ValueRange | None = None, channel_axis: int | None = None
    ) -> Image:
        """Apply to an image or batch; type, layout, dtype and device are kept, the input is never written to.

        Raises InvalidImageError for what is no RGB image.
        """
        return self.apply(image, check_image(image, value_range, channel_axis))


class ColorMap(ImageMap):
    """A pointwise RGB -> RGB function."""

    @abstractmethod
    def evaluate(self, planes: Planes) -> Planes:
        """Map RGB planes ``(3, ...)`` in [0, 1], float numpy or torch, to planes nominally in [0, 1], unclipped."""

    def apply(self, image: Image, spec: ImageSpec) -> Image:
        """Evaluate every pixel, in blocks."""
        return map_pixels(image, spec, self.evaluate)


@dataclass(frozen=True)
class IdentityMap(ColorMap):
    """Returns its input."""

    def evaluate(self, planes: Planes) -> Planes:
        """RGB planes, unchanged."""
        return planes


@dataclass(frozen=True, eq=False)
class StainMatrixMap(ColorMap):
    """A linear map of optical density: OD' = matrix @ OD.

    Separating with a source stain matrix, scaling the concentrations and recombining with a target stain matrix is one
    3x3 matrix, ``W_target @ diag(scale) @ pinv(W_source)``.

    Parameters
    ----------
    matrix : float64 ``(3, 3)``.
    space : the optical-density convention of both sides.
    """

    matrix: np.ndarray
    space: OpticalDensity = OpticalDensity()

    def evaluate(self, planes: Planes) -> Planes:
        """RGB planes -> optical density -> matrix -> RGB planes."""
        return self.space.to_rgb(mix(self.matrix, self.space.from_rgb(planes)))


@dataclass(frozen=True, eq=False)
class ChannelAffineMap(ColorMap):
    """An affine map of each channel of a color space: v' = scale * v + shift.

    Parameters
    ----------
    space : color space in which the channels are mapped.
    scale, shift : float64 ``(3,)``, in the units of that space.
    """

    space: ColorSpace
    scale: np.ndarray
    shift: np.ndarray

    def evaluate(self, planes: Planes) -> Planes:
        """RGB planes -> color space -> affine -> RGB planes."""
        values = self.space.from_rgb(planes)
        return self.space.to_rgb(stack([values[c] * float(self.scale[c]) + float(self.shift[c]) for c in range(3)]))
