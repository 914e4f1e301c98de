"""Which parts of a torchvision sample are images, and how they are stored."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch.utils._pytree import tree_flatten, tree_unflatten
from torchvision import tv_tensors
from torchvision.transforms import v2

from stainxform.errors import InvalidImageError
from stainxform.image.blank import OnBlank, check_on_blank
from stainxform.image.layout import ValueRange, check_range

__all__ = ["ColorTransform"]


class ColorTransform(v2.Transform):
    """What both kinds share: which parts of a sample are images, and how they are stored.

    Images are found as torchvision finds them: every ``tv_tensors.Image``, ``tv_tensors.Video`` and PIL image; where
    there is none of these, the first tensor or, which torchvision would leave as it is, numpy array. Unlike torchvision,
    a sample without an image is an error, and so is one in which several tensors or arrays may be images: none is passed
    on un-normalized without a word.
    """

    __module__ = "stainxform.torchvision"

    def __init__(self, value_range: ValueRange, on_blank: OnBlank) -> None:
        super().__init__()
        check_on_blank(on_blank)
        self.value_range = check_range(value_range)
        self.on_blank = on_blank

    def forward(self, *inputs: Any) -> Any:
        """Change the colors of the images of a sample; the rest of it comes back as it is.

        Raises
        ------
        InvalidImageError
            No image, several things that may be it, no RGB image, NaN, or values far outside ``value_range``.
        NotEnoughTissueError
            A blank image, with ``on_blank="raise"``.
        """
        parts, structure = tree_flatten(inputs if len(inputs) != 1 else inputs[0])
        images = _images_among(parts)
        params = self.make_params([parts[index] for index in images])
        for index in images:
            parts[index] = self.transform(parts[index], params)
        return tree_unflatten(parts, structure)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Change the colors of an Image, a Video, a tensor or an array ``(..., H, W, 3)``, or a PIL image.

        Raises
        ------
        InvalidImageError
            No RGB image, NaN, or values far outside ``value_range``.
        NotEnoughTissueError
            A blank image, with ``on_blank="raise"``.
        """
        if not isinstance(inpt, PIL.Image.Image):
            return self.change(inpt, -1 if isinstance(inpt, np.ndarray) else -3, params)
        return PIL.Image.fromarray(self.change(np.asarray(inpt), -1, params))

    @abstractmethod
    def change(self, image: Any, channel_axis: int, params: dict[str, Any]) -> Any:
        """The image with its colors changed; ``params`` are what ``make_params`` drew."""


def _images_among(parts: list[Any]) -> list[int]:
    """Which parts of a sample are its images."""
    named = [
        i for i, part in enumerate(parts) if isinstance(part, tv_tensors.Image | tv_tensors.Video | PIL.Image.Image)
    ]
    for part in (parts[i] for i in named):
        if isinstance(part, PIL.Image.Image) and part.mode != "RGB":
            raise InvalidImageError(
                f"expected an RGB image, got a PIL image of mode {part.mode}; convert it: image.convert('RGB')"
            )
    if named:
        return named
    unnamed = [i for i, part in enumerate(parts) if _may_be_an_image(part)]
    if not unnamed:
        kinds = ", ".join(dict.fromkeys(type(part).__name__ for part in parts)) or "nothing"
        raise InvalidImageError(
            f"the sample holds no image, but {kinds}; pass a tv_tensors.Image, a PIL image, a tensor or a numpy array"
        )
    first, *others = unnamed
    if any(_looks_like_one(parts[i]) for i in others):
        raise InvalidImageError(
            "several tensors or arrays of the sample may be its image; wrap images as tv_tensors.Image and masks as "
            "tv_tensors.Mask"
        )
    return [first]


def _may_be_an_image(part: Any) -> bool:
    plain_tensor = isinstance(part, torch.Tensor) and not isinstance(part, tv_tensors.TVTensor)
    return plain_tensor or isinstance(part, np.ndarray)


def _looks_like_one(part: Any) -> bool:
    """Whether shape and dtype are those of an RGB image, its channels first or last."""
    kind = str(part.dtype)
    return part.ndim >= 3 and 3 in (part.shape[-3], part.shape[-1]) and ("uint8" in kind or "float" in kind)
