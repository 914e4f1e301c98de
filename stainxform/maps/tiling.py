"""Maps applied part by part: images of any size in little memory, and not a seam between the parts."""

from __future__ import annotations

import numpy as np

from stainxform._optional import is_tensor
from stainxform.errors import ParameterError
from stainxform.image.layout import Image, ValueRange, check_image
from stainxform.maps import ImageMap

__all__ = ["Box", "apply_in_tiles", "surroundings"]

Box = tuple[int, int, int, int]
"""(x, y, width, height) in pixels."""


def surroundings(image_map: ImageMap, box: Box, shape: tuple[int, int]) -> Box:
    """The region of an image that a map must be given, so that its result holds on a box of it.

    Parameters
    ----------
    image_map : ImageMap
        The map.
    box : (int, int, int, int)
        Box within the image; a square of its grid where the map has a ``tile``.
    shape : (int, int)
        (height, width) of the image.

    Raises
    ------
    ParameterError
        A map that needs the whole image.
    """
    halo, align = image_map.halo, image_map.align
    if halo is None:
        raise ParameterError("this map depends on the whole image and cannot be applied in parts; use map_for_tiles")
    spans = []
    for start, length, whole in zip(box[:2], box[2:], shape[::-1]):
        first = max(0, start - halo) // align * align
        spans.append((first, min(whole, start + length + halo) - first))
    (x, width), (y, height) = spans
    return x, y, width, height


def apply_in_tiles(
    image_map: ImageMap,
    image: Image,
    tile: int = 512,
    *,
    value_range: ValueRange | None = None,
    channel_axis: int | None = None,
) -> Image:
    """Apply a map to an image or batch in squares: the same result as at once, in less memory.

    Parameters
    ----------
    image_map : ImageMap
        The map.
    image : ndarray or Tensor
        As every image: numpy ``(H, W, 3)`` or ``(N, H, W, 3)``, or torch ``(..., 3, H, W)``.
    tile : int, optional
        Side of the squares, in pixels; a map with a ``tile`` of its own takes that.
    value_range : (float, float), optional
        As for every image.
    channel_axis : int, optional
        As for every image.

    Raises
    ------
    InvalidImageError
        No RGB image.
    ParameterError
        The map depends on the whole image, or ``tile`` is below 1.
    """
    if tile < 1:
        raise ParameterError(f"tile must be at least 1 pixel, got {tile}")
    spec = check_image(image, value_range, channel_axis)
    side, rows, columns = image_map.tile or tile, *((-3, -2) if spec.channel_axis == -1 else (-2, -1))
    height, width = image.shape[rows], image.shape[columns]
    result = image.clone() if is_tensor(image) else np.array(image, order="C")

    def window(x: int, y: int, width: int, height: int) -> tuple[slice, ...]:
        index = [slice(None)] * len(image.shape)
        index[rows], index[columns] = slice(y, y + height), slice(x, x + width)
        return tuple(index)

    for y in range(0, height, side):
        for x in range(0, width, side):
            box = x, y, min(side, width - x), min(side, height - y)
            region = surroundings(image_map, box, (height, width))
            mapped = image_map.apply(image[window(*region)], spec)
            result[window(*box)] = mapped[window(x - region[0], y - region[1], *box[2:])]
    return result
