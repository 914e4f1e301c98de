"""Samples normalized by torchvision."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, ClassVar, cast

from stainxform._hosts.normalize import check_group_key, for_method, group_at, in_group
from stainxform.errors import InvalidImageError
from stainxform.image.blank import OnBlank
from stainxform.image.layout import ValueRange
from stainxform.normalizers.base import Normalizer
from stainxform.normalizers.calibration import Calibration
from stainxform.normalizers.models import resolve_model
from stainxform.normalizers.registry import Method
from stainxform.torchvision.base import ColorTransform

__all__ = ["StainNormalize", "of_method"]


class StainNormalize(ColorTransform):
    """Make images look like they came from the center that a model was fitted on.

    Takes any sample of torchvision's transforms, v1 and v2. Changed are ``tv_tensors.Image``, ``tv_tensors.Video`` (frame
    by frame) and PIL images of mode RGB; where there is none of these, the first tensor, or numpy array ``(H, W, 3)`` or
    ``(N, H, W, 3)``. A sample without an image, or in which several tensors or arrays may be images, is refused.

    Parameters
    ----------
    model : str, Path or Normalizer
        Path of a model file of any method, or a fitted :class:`~stainxform.Normalizer`. The file is read once, now.
    value_range : (float, float), optional
        (low, high) of float images. Ignored for uint8.
    on_blank : {"keep", "warn", "raise"}, optional
        An image with too little tissue is returned unchanged ("keep"), with a StainXformWarning ("warn"), or raises
        NotEnoughTissueError ("raise").
    group_key : hashable, optional
        Where a sample, a dictionary or a tuple that holds one, names the slide, patient or other group that its images
        are from, for a calibration, which may have a map for each. None, here or in the sample, and a group that is not
        known: the center's map. A sample without this key raises MissingKeyError, a KeyError; one of several dictionaries
        that name different groups, InvalidImageError.

    Raises
    ------
    ModelFileError
        The file is missing or no valid model.
    ParameterError
        An argument makes no sense, or the model is of a method that this transform does not take; or a ``group_key`` for
        a model that is no calibration.
    """

    __module__ = "stainxform.torchvision"
    method: ClassVar[str | None] = None
    """The one method whose models are accepted; None: any."""

    def __init__(
        self,
        model: str | Path | Normalizer,
        value_range: ValueRange = (0, 1),
        on_blank: OnBlank = "keep",
        group_key: Hashable | None = None,
    ) -> None:
        super().__init__(value_range, on_blank)
        self.normalizer = resolve_model(model, self.method)
        self.model = model if isinstance(model, Normalizer) else str(model)
        check_group_key(self.normalizer, group_key)
        self.group_key = group_key

    def forward(self, *inputs: Any) -> Any:
        """Normalize the images of a sample."""
        if self.group_key is None:
            return super().forward(*inputs)
        parts = inputs[0] if len(inputs) == 1 and isinstance(inputs[0], tuple | list) else inputs
        samples = [part for part in parts if isinstance(part, Mapping)]
        of_group = copy.copy(self)  # torchvision shows a transform the images of a sample, and not the rest
        grouped = in_group(self.normalizer, group_at(samples[0] if samples else {}, self.group_key))
        for other in samples[1:]:
            if self.group_key in other and in_group(self.normalizer, other[self.group_key]) != grouped:
                raise InvalidImageError(
                    f"the dictionaries of the sample differ in their group, {self.group_key!r}; pass each by itself"
                )
        if grouped:
            of_group.normalizer = cast(Calibration, self.normalizer).for_group(**grouped)
        return super(StainNormalize, of_group).forward(*inputs)

    def change(self, image: Any, channel_axis: int, params: dict[str, Any]) -> Any:
        """Normalize an image, or each frame of a video."""
        return self.normalizer(image, value_range=self.value_range, channel_axis=channel_axis, on_blank=self.on_blank)


def of_method(method: Method) -> tuple[type[StainNormalize]]:
    """The transform for one method."""
    return (for_method(StainNormalize, method, method=method.name),)
