"""Color maps: pure functions from RGB to RGB.

A map is what a fitted normalizer applies to an image once the image's own statistics are known. The closed form of a
:class:`ColorMap` on float planes is the definition; calling the map applies it to an image of any layout, dtype or
host.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from stainxform._native import native
from stainxform._native.kernels import Kernel
from stainxform._optional import is_tensor
from stainxform.color import Planes
from stainxform.errors import ParameterError
from stainxform.image.layout import Image, ImageSpec, ValueRange, check_image, each_image, map_pixels

__all__ = ["ColorMap", "IdentityMap", "ImageMap", "TileMap", "checked_map"]


class ImageMap(ABC):
    """A function from image to image whose parameters are fixed: the same map may serve every tile of a slide.

    What :attr:`halo`, :attr:`align` and :attr:`tile` ask for, :mod:`stainxform.tiling` does: parts of an image that are
    mapped in this way and put together are what the whole would be.
    """

    @property
    def halo(self) -> int | None:
        """Pixels around a region, as far as the image has them, on which its result depends.

        0: none, each pixel by itself. None: the whole image, so that it cannot be mapped in parts.
        """
        return None

    @property
    def align(self) -> int:
        """A region, halo included, must start at multiples of this from the image's corner, down and across."""
        return 1

    @property
    def tile(self) -> int | None:
        """Side, in pixels, of the squares by which the image must be mapped, each by itself; None: any region will do.

        They start at the image's corner, and its far edges cut them off.
        """
        return None

    def torch_module(self) -> Any:
        """A ``torch.nn.Module`` of torch operations that does the same to unit images, float32 ``(N, 3, H, W)``.

        None, the default: there is none. A :class:`ColorMap` needs none: its ``evaluate`` is traced.
        """
        return None

    @abstractmethod
    def apply(self, image: Image, spec: ImageSpec, levels: np.ndarray | None = None) -> Image:
        """Map a checked image. ``levels``, uint8 ``(3, K)``: its distinct colors, if they are known; saves time."""

    def __call__(
        self, image: Image, *, value_range: ValueRange | None = None, channel_axis: int | None = None
    ) -> Image:
        """Apply to an image or batch; type, layout, dtype and device are kept, the input is never written to.

        Raises
        ------
        InvalidImageError
            No RGB image.
        """
        return self.apply(image, check_image(image, value_range, channel_axis))


class ColorMap(ImageMap):
    """A pointwise RGB -> RGB function."""

    @property
    def halo(self) -> int:
        """0: neighbors do not matter."""
        return 0

    @abstractmethod
    def evaluate(self, planes: Planes) -> Planes:
        """Map RGB planes ``(3, ...)`` in [0, 1], float numpy or torch, to planes nominally in [0, 1], unclipped."""

    @property
    def kernel(self) -> Kernel | None:
        """The same in compiled code, to 1e-5 of the range, or None."""
        return None

    def apply(self, image: Image, spec: ImageSpec, levels: np.ndarray | None = None) -> Image:
        """Map every pixel."""
        return map_pixels(image, spec, self.evaluate, self.kernel if native.active() else None, levels)


@dataclass(frozen=True, eq=False)
class TileMap(ImageMap):
    """Normalizes each square of a grid by its own statistics, as most papers do that go through a slide tile by tile.

    Neighboring squares get different maps, so seams show between them; squares with too little tissue stay as they are.

    Parameters
    ----------
    normalizer : callable
        A fitted normalizer, or any function called like one.
    side : int
        Side of the squares, in pixels.

    Raises
    ------
    ParameterError
        A side below 1.
    """

    normalizer: Callable[..., Image]
    side: int

    def __post_init__(self) -> None:
        if self.side < 1:
            raise ParameterError(f"the side of a tile must be at least 1 pixel, got {self.side}")

    @property
    def halo(self) -> int:
        """0: a square is normalized by itself."""
        return 0

    @property
    def align(self) -> int:
        """Squares are those of the grid."""
        return self.side

    @property
    def tile(self) -> int:
        """Side of the squares."""
        return self.side

    def apply(self, image: Image, spec: ImageSpec, levels: np.ndarray | None = None) -> Image:
        """Normalize each square of an image, or of each image of a batch."""
        return each_image(image, lambda one: self._by_squares(one, spec))

    def _by_squares(self, image: Image, spec: ImageSpec) -> Image:
        result = image.clone() if is_tensor(image) else image.copy(order="C")
        height, width = np.delete(image.shape, spec.channel_axis)
        for top in range(0, height, self.side):
            for left in range(0, width, self.side):
                square = [slice(top, top + self.side), slice(left, left + self.side)]
                square.insert(spec.channel_axis % 3, slice(None))
                part = image[tuple(square)]
                result[tuple(square)] = self.normalizer(
                    part, value_range=(spec.low, spec.high), channel_axis=spec.channel_axis
                )
        return result


@dataclass(frozen=True)
class IdentityMap(ColorMap):
    """Returns its input."""

    def evaluate(self, planes: Planes) -> Planes:
        """RGB planes, unchanged."""
        return planes


def checked_map(found: Any, owner: object) -> Any:
    """What a normalizer or an augmentation gave as a map; ParameterError, which names its class, if it is none."""
    if not isinstance(found, ImageMap):
        raise ParameterError(f"{type(owner).__name__} must give a map of stainxform.maps, got {type(found).__name__}")
    return found
