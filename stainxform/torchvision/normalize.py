"""Samples normalized by torchvision."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from stainxform._hosts.normalize import for_method
from stainxform.image.blank import OnBlank
from stainxform.image.layout import ValueRange
from stainxform.normalizers.base import Normalizer
from stainxform.normalizers.models import resolve_model
from stainxform.normalizers.registry import Method
from stainxform.torchvision.base import ColorTransform

__all__ = ["StainNormalize", "of_method"]


class StainNormalize(ColorTransform):
    """Make images look like they came from the center that a model was fitted on.

    Takes any sample of torchvision's transforms v2. Changed are ``tv_tensors.Image``, ``tv_tensors.Video`` (frame by
    frame) and PIL images of mode RGB; where there is none of these, the first pure tensor.

    Parameters
    ----------
    model : str, Path or Normalizer
        Path of a model file of any method, or a fitted :class:`~stainxform.Normalizer`. The file is read once, now.
    value_range : (float, float), optional
        (low, high) of float images. Ignored for uint8.
    on_blank : {"keep", "warn", "raise"}, optional
        An image with too little tissue is returned unchanged ("keep"), with a StainXformWarning ("warn"), or raises
        NotEnoughTissueError ("raise").

    Raises
    ------
    ModelFileError
        The file is missing or no valid model.
    ParameterError
        An argument makes no sense, or the model is of a method that this transform does not take.
    """

    __module__ = "stainxform.torchvision"
    method: ClassVar[str | None] = None
    """The one method whose models are accepted; None: any."""

    def __init__(
        self, model: str | Path | Normalizer, value_range: ValueRange = (0, 1), on_blank: OnBlank = "keep"
    ) -> None:
        super().__init__(value_range, on_blank)
        self.normalizer = resolve_model(model, self.method)
        self.model = model if isinstance(model, Normalizer) else str(model)

    def change(self, image: Any, channel_axis: int, params: dict[str, Any]) -> Any:
        """Normalize an image, or each frame of a video."""
        return self.normalizer(image, value_range=self.value_range, channel_axis=channel_axis, on_blank=self.on_blank)


def of_method(method: Method) -> tuple[type[StainNormalize]]:
    """The transform for one method."""
    return (for_method(StainNormalize, method, method=method.name),)
