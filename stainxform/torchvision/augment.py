"""Samples augmented by torchvision."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

import torch

from stainxform._hosts.augment import build, draw_from, signature, transform_doc, transform_name
from stainxform.augment import Augmentation
from stainxform.errors import ParameterError
from stainxform.image.blank import OnBlank
from stainxform.image.layout import ValueRange
from stainxform.torchvision.base import ColorTransform

__all__ = ["RandAugmentation", "TorchRandom", "of_augmentation"]


class TorchRandom:
    """torch's default generator as a source of draws: seeded by ``torch.manual_seed``, and apart in each worker."""

    def uniform(self, low: float, high: float, /) -> float:
        """A number between ``low`` and ``high``."""
        return low + (high - low) * torch.rand((), dtype=torch.float64, device="cpu").item()


class RandAugmentation(ColorTransform):
    """Draw from an augmentation, and apply the draw, with a probability. The base of ``RandHED`` and the others.

    All images and frames of a call get the same draw; masks, boxes and labels are left alone. Images are found as by
    :class:`StainNormalize`.

    Parameters
    ----------
    p : float, optional
        Probability of applying it.
    value_range : (float, float), optional
        (low, high) of float images. Ignored for uint8.
    on_blank : {"keep", "warn", "raise"}, optional
        An image with too little tissue to estimate from is returned unchanged ("keep"), with a StainXformWarning
        ("warn"), or raises NotEnoughTissueError ("raise").
    **parameters
        Arguments of the augmentation.
    """

    __module__ = "stainxform.torchvision"

    kind: ClassVar[type[Augmentation]]
    """The augmentation."""

    def __init__(
        self, *, p: float = 0.5, value_range: ValueRange = (0, 1), on_blank: OnBlank = "keep", **parameters: Any
    ) -> None:
        super().__init__(value_range, on_blank)
        if not 0 <= p <= 1:
            raise ParameterError(f"p is a probability from 0 to 1, got {p}")
        self.augmentation = build(self.kind, parameters)
        self.p = p

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Decide whether to apply the augmentation, and draw: ``{"draw": None}`` if it is not applied."""
        applied = torch.rand((), dtype=torch.float32, device="cpu").item() < self.p
        return {"draw": draw_from(self.augmentation, TorchRandom()) if applied else None}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Apply a draw, ``{"draw": draw}``, see :meth:`stainxform.augment.Augmentation.sample`; None changes nothing."""
        return inpt if params["draw"] is None else super().transform(inpt, params)

    def change(self, image: Any, channel_axis: int, params: dict[str, Any]) -> Any:
        """Apply ``params["draw"]`` to an image, or to each frame of a video."""
        return self.augmentation(
            image,
            params["draw"],
            value_range=self.value_range,
            channel_axis=channel_axis,
            on_blank=self.on_blank,
        )


def of_augmentation(kind: type[Augmentation]) -> tuple[type[RandAugmentation]]:
    """The transform for one augmentation."""
    arguments = signature(kind, inspect.signature(RandAugmentation))
    members = {
        "__module__": RandAugmentation.__module__,
        "__doc__": transform_doc(kind, arguments, RandAugmentation.__doc__),
        "__signature__": arguments,
        "kind": kind,
    }
    return (type(transform_name(kind.name), (RandAugmentation,), members),)
