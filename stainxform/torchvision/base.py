"""Which parts of a torchvision sample are images, and how they are stored."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import PIL.Image
from torchvision import tv_tensors
from torchvision.transforms import v2

from stainxform.errors import InvalidImageError
from stainxform.image.blank import OnBlank, check_on_blank
from stainxform.image.layout import ValueRange, check_range

__all__ = ["ColorTransform"]


class ColorTransform(v2.Transform):
    """What both kinds share: which parts of a sample are images, and how they are stored."""

    __module__ = "stainxform.torchvision"

    def __init__(self, value_range: ValueRange, on_blank: OnBlank) -> None:
        super().__init__()
        check_on_blank(on_blank)
        self.value_range = check_range(value_range)
        self.on_blank = on_blank

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Change the colors of an Image, a Video, a pure tensor or a PIL image; anything else is returned as it is.

        Raises
        ------
        InvalidImageError
            No RGB image, NaN, or values far outside ``value_range``.
        NotEnoughTissueError
            A blank image, with ``on_blank="raise"``.
        """
        if isinstance(inpt, tv_tensors.TVTensor) and not isinstance(inpt, tv_tensors.Image | tv_tensors.Video):
            return inpt
        if not isinstance(inpt, PIL.Image.Image):
            return self.change(inpt, -3, params)
        if inpt.mode != "RGB":
            raise InvalidImageError(f"expected an RGB image, got a PIL image of mode {inpt.mode}; convert it to RGB")
        return PIL.Image.fromarray(self.change(np.asarray(inpt), -1, params))

    @abstractmethod
    def change(self, image: Any, channel_axis: int, params: dict[str, Any]) -> Any:
        """The image with its colors changed; ``params`` are what ``make_params`` drew."""
