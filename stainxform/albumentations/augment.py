"""Images augmented by albumentations."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from albumentations.core.transforms_interface import BaseTransformInitSchema
from pydantic import create_model

from stainxform._hosts.augment import build, draw_from, parameter_names, signature, transform_doc, transform_name
from stainxform.albumentations.base import ColorTransform, is_printing
from stainxform.augment import Augmentation, Draw
from stainxform.errors import ParameterError
from stainxform.image.blank import OnBlank

__all__ = ["RandAugmentation", "of_augmentation"]


class RandAugmentation(ColorTransform):
    """Draw from an augmentation, and apply the draw, with a probability. The base of ``RandHED`` and the others.

    Targets: image, images, volume (slice by slice), volumes; RGB, uint8 in 0..255 or float in 0..1. All images of a
    call get the same draw; masks, boxes and keypoints are left alone.

    Parameters
    ----------
    on_blank : {"keep", "warn", "raise"}, optional
        An image with too little tissue to estimate from is returned unchanged ("keep"), with a StainXformWarning
        ("warn"), or raises NotEnoughTissueError ("raise").
    p : float, optional
        Probability of applying it.
    **parameters
        Arguments of the augmentation.
    """

    __module__ = "stainxform.albumentations"

    kind: ClassVar[type[Augmentation]]
    """The augmentation."""

    def __init__(self, *, on_blank: OnBlank = "keep", p: float = 0.5, **parameters: Any) -> None:
        super().__init__(p=p)
        self.augmentation = build(self.kind, parameters)
        self.on_blank = on_blank
        for name, value in parameters.items():
            setattr(self, name, _plain(value))

    def get_params(self) -> dict[str, Any]:
        """Draw."""
        return {"draw": draw_from(self.augmentation, self.random_generator)}

    def apply(self, img: np.ndarray, draw: Draw, **params: Any) -> np.ndarray:
        """Augment an image ``(H, W, 3)``."""
        return self.augmentation(img, draw, on_blank=self.on_blank)

    def to_dict_private(self) -> dict[str, Any]:
        """The arguments, for serialization; ParameterError if some are objects rather than numbers and paths."""
        state = dict(super().to_dict_private())
        if is_printing():
            return state
        try:
            json.dumps(state)
        except TypeError:
            raise ParameterError(
                f"{type(self).__name__} holds fitted objects, which cannot be serialized; save them and pass paths"
            ) from None
        return state


class _Schema(BaseTransformInitSchema):
    on_blank: OnBlank

    def model_dump(self, **options: Any) -> dict[str, Any]:
        """The arguments as they are: pydantic would take fitted objects, dataclasses, apart into dictionaries."""
        return dict(self)


def _plain(value: Any) -> Any:
    """Paths as strings, also within a list."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def of_augmentation(kind: type[Augmentation]) -> tuple[type[RandAugmentation]]:
    """The transform for one augmentation."""
    arguments = signature(kind, inspect.signature(RandAugmentation))

    def init(self: RandAugmentation, **given: Any) -> None:
        RandAugmentation.__init__(self, **given)

    # albumentations reads the arguments, their defaults, and what to serialize, from this.
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    init.__signature__ = inspect.Signature([itself, *arguments.parameters.values()])  # type: ignore[attr-defined]
    fields: dict[str, Any] = dict.fromkeys(parameter_names(kind), (Any, None))
    members = {
        "__module__": RandAugmentation.__module__,
        "__doc__": transform_doc(kind, arguments, RandAugmentation.__doc__),
        "__init__": init,
        "InitSchema": create_model("InitSchema", __base__=_Schema, **fields),
        "kind": kind,
    }
    return (type(transform_name(kind.name), (RandAugmentation,), members),)
