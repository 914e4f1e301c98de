"""Images normalized by albumentations."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from stainxform._hosts.normalize import check_group_key, for_method, in_group
from stainxform.errors import ParameterError
from stainxform.image.blank import OnBlank
from stainxform.normalizers.base import Normalizer
from stainxform.normalizers.models import resolve_model
from stainxform.normalizers.registry import Method

__all__ = ["StainNormalize", "of_method"]

from albumentations.core.transforms_interface import BaseTransformInitSchema

from stainxform.albumentations.base import ColorTransform, is_printing


class StainNormalize(ColorTransform):
    """Make images look like they came from the center that a model was fitted on.

    Targets: image, images, volume (slice by slice), volumes; RGB, uint8 in 0..255 or float in 0..1.

    Parameters
    ----------
    model : str, Path or Normalizer
        Path of a model file of any method, or a fitted :class:`~stainxform.Normalizer`. The file is read once, now.
        Only a pipeline made from paths can be serialized.
    on_blank : {"keep", "warn", "raise"}, optional
        An image with too little tissue is returned unchanged ("keep"), with a StainXformWarning ("warn"), or raises
        NotEnoughTissueError ("raise").
    p : float, optional
        Probability of applying the transform; it has no other randomness.
    group_key : str, optional
        The argument of a call that names the slide, patient or other group that its images are from, for a calibration,
        which may have a map for each: ``transform(image=image, slide="17")`` with ``group_key="slide"``. None, here or
        in the call, and a group that is not known: the center's map. A call without it raises MissingKeyError.

    Raises
    ------
    ModelFileError
        The file is missing or no valid model.
    ParameterError
        The model is neither path nor normalizer, or of a method that this transform does not take; or a ``group_key``
        for a model that is no calibration.
    InvalidImageError
        When applied to something that is no RGB image, holds NaN, or values far outside 0..1.
    NotEnoughTissueError
        When applied to a blank image, with ``on_blank="raise"``.
    """

    __module__ = "stainxform.albumentations"
    method: ClassVar[str | None] = None
    """The one method whose models are accepted; None: any."""

    class InitSchema(BaseTransformInitSchema):
        """Validation of the arguments."""

        model: Any
        on_blank: OnBlank
        group_key: str | None

        def model_dump(self, **options: Any) -> dict[str, Any]:
            """The arguments as they are: pydantic would take a Normalizer, a dataclass, apart into a dictionary."""
            return dict(self)

    def __init__(
        self,
        model: str | Path | Normalizer,
        on_blank: OnBlank = "keep",
        p: float = 1.0,
        group_key: str | None = None,
    ) -> None:
        super().__init__(p=p)
        self.normalizer = resolve_model(model, self.method)
        check_group_key(self.normalizer, group_key)
        self.model = model if isinstance(model, Normalizer) else str(model)
        self.on_blank = on_blank
        self.group_key = group_key

    @property
    def targets_as_params(self) -> list[str]:
        """What a call must give besides images."""
        return [] if self.group_key is None else [self.group_key]

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """The group of the images."""
        return {} if self.group_key is None else in_group(self.normalizer, data[self.group_key])

    def apply(self, img: np.ndarray, *args: Any, **params: Any) -> np.ndarray:
        """Normalize an image ``(H, W, 3)``."""
        return self.normalizer(img, on_blank=self.on_blank, **in_group(self.normalizer, params.get("group")))

    def to_dict_private(self) -> dict[str, Any]:
        """The arguments, for serialization; ParameterError if the model is an object rather than a path."""
        if isinstance(self.model, Normalizer) and not is_printing():
            raise ParameterError(
                f"{type(self).__name__} holds a Normalizer, which cannot be serialized; "
                "save it with normalizer.save(path) and pass model=path"
            )
        return dict(super().to_dict_private())


def of_method(method: Method) -> tuple[type[StainNormalize]]:
    """The transform for one method."""
    return (for_method(StainNormalize, method, method=method.name),)
