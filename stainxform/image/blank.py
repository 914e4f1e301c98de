"""What happens to images with too little tissue: the one rule of normalizers, augmentations and hosts."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Literal, get_args

from stainxform._optional import is_tensor
from stainxform.errors import NotEnoughTissueError, ParameterError, StainXformWarning
from stainxform.image.layout import Image, each_image

__all__ = ["OnBlank", "check_on_blank", "each_unless_blank"]

OnBlank = Literal["keep", "warn", "raise"]


def check_on_blank(on_blank: str) -> None:
    """Raise ParameterError for anything but "keep", "warn" and "raise"."""
    if on_blank not in get_args(OnBlank):
        raise ParameterError(f"on_blank must be 'keep', 'warn' or 'raise', got {on_blank!r}")


def each_unless_blank(image: Image, on_blank: OnBlank, function: Callable[[Image], Image]) -> Image:
    """Apply a function of one image to an image, or to each image of a batch by itself.

    Where it raises NotEnoughTissueError, that image is copied ("keep"), copied with a StainXformWarning ("warn"), or the
    error goes on ("raise").
    """

    def attempt(one: Image) -> Image:
        try:
            return function(one)
        except NotEnoughTissueError as error:
            if on_blank == "raise":
                raise
            if on_blank == "warn":
                # The caller of __call__: attempt, each_image, each_unless_blank and __call__ lie between.
                warnings.warn(f"tile returned unchanged: {error}", StainXformWarning, stacklevel=5)
            return one.clone() if is_tensor(one) else one.copy(order="C")

    return each_image(image, attempt)
