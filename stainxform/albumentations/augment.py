"""albumentations' random transforms, one for each augmentation; import them from :mod:`stainxform.albumentations`.

>>> from stainxform.albumentations import RandHED  # doctest: +SKIP
>>> A.Compose([RandHED(preset="light", p=0.5)])(image=image, mask=mask)  # doctest: +SKIP

Arguments are given by keyword. Pipelines made of numbers and paths are saved by ``A.save``, and replayed by
``A.ReplayCompose``. In a DataLoader with forked workers, albumentations 2.0 draws the same in all of them unless the
pipeline is seeded in ``worker_init_fn``.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np

from stainxform._hosts.augment import build, parameter_names, transform_doc, transform_name
from stainxform._optional import require
from stainxform.augment import AUGMENTATIONS, Augmentation, Draw
from stainxform.errors import ParameterError
from stainxform.image.blank import OnBlank

require("albumentations", "albumentations")

from albumentations.core.transforms_interface import BaseTransformInitSchema, ImageOnlyTransform  # noqa: E402
from pydantic import create_model  # noqa: E402

__all__ = [
    "RandBrightnessContrast",
    "RandHED",
    "RandHSV",
    "RandStainGrayscale",
    "RandStainJitter",
    "RandStainNA",
    "RandStainStyle",
]

_PUBLIC = "stainxform.albumentations"

_ARGUMENTS = """    on_blank : an image with too little tissue to estimate from is returned unchanged ("keep"), with a
        StainXformWarning ("warn"), or raises NotEnoughTissueError ("raise").
    p : probability of applying it.

    Targets: image, images, volume (slice by slice), volumes; RGB, uint8 in 0..255 or float in 0..1. All images of a
    call get the same draw; masks, boxes and keypoints are left alone.
"""


class RandAugmentation(ImageOnlyTransform):
    """Draw from an augmentation, and apply the draw, with a probability. The base of the transforms below."""

    augmentation: Augmentation
    on_blank: OnBlank

    def get_params(self) -> dict[str, Any]:
        """Draw."""
        return {"draw": self.augmentation.sample(self.random_generator)}

    def apply(self, img: np.ndarray, draw: Draw, **params: Any) -> np.ndarray:
        """Augment an image ``(H, W, 3)``."""
        return self.augmentation(img, draw, on_blank=self.on_blank)

    def apply_to_images(self, images: np.ndarray, *args: Any, **params: Any) -> np.ndarray:
        """Augment each of ``(N, H, W, 3)`` by itself, with the same draw."""
        return self.apply(np.asarray(images), **params)

    def to_dict_private(self) -> dict[str, Any]:
        """The arguments, for serialization; ParameterError if some are objects rather than numbers and paths."""
        state = dict(super().to_dict_private())
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


def _of(name: str) -> type[RandAugmentation]:
    """The transform for one augmentation."""
    kind, title = AUGMENTATIONS[name], transform_name(name)
    names = parameter_names(kind)

    def init(self: RandAugmentation, on_blank: OnBlank, p: float, **parameters: Any) -> None:
        ImageOnlyTransform.__init__(self, p=p)
        self.augmentation = build(kind, parameters)
        self.on_blank = on_blank
        for parameter, value in parameters.items():
            setattr(self, parameter, _plain(value))

    # albumentations reads the arguments, their defaults, and what to serialize, from this.
    arguments = [("self", inspect.Parameter.empty), *((n, None) for n in names), ("on_blank", "keep"), ("p", 0.5)]
    init.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default) for n, default in arguments]
    )
    fields: dict[str, Any] = dict.fromkeys(names, (Any, None))
    members = {
        "__module__": _PUBLIC,
        "__doc__": transform_doc(kind, "", _ARGUMENTS),
        "__init__": init,
        "InitSchema": create_model("InitSchema", __base__=_Schema, **fields),
    }
    return type(title, (RandAugmentation,), members)


RandBrightnessContrast = _of("brightness_contrast")
RandHED = _of("hed")
RandHSV = _of("hsv")
RandStainGrayscale = _of("grayscale")
RandStainJitter = _of("stain_jitter")
RandStainNA = _of("randstainna")
RandStainStyle = _of("style")
