"""torchvision v2 transforms: images and videos are normalized, masks, boxes and labels are left alone.

>>> from torchvision.transforms import v2  # doctest: +SKIP
>>> from stainxform.torchvision import RandHED, StainLUT  # doctest: +SKIP
>>> pipeline = v2.Compose([StainLUT("center_a.safetensors"), RandHED(preset="light", p=0.5)])  # doctest: +SKIP
>>> image, boxes, mask = pipeline(image, boxes, mask)  # doctest: +SKIP

``StainNormalize`` takes a model of any method; ``Macenko``, ``Reinhard``, ``StainLUT`` ... only their own. ``RandHED``,
``RandHSV`` ... draw from torch's random generator, once for all images and frames of a call.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from stainxform._hosts.augment import build, parameter_names, signature, transform_doc, transform_name
from stainxform._hosts.normalize import for_method, resolve_model
from stainxform._optional import require
from stainxform.augment import AUGMENTATIONS, Augmentation
from stainxform.errors import InvalidImageError, ParameterError
from stainxform.image.blank import OnBlank, check_on_blank
from stainxform.image.layout import ValueRange, check_range
from stainxform.normalizers.base import Normalizer

require("torchvision.transforms.v2", "torchvision")

import PIL.Image  # noqa: E402
import torch  # noqa: E402
from torchvision import tv_tensors  # noqa: E402
from torchvision.transforms import v2  # noqa: E402


class _ColorTransform(v2.Transform):
    """What both kinds share: which parts of a sample are images, and how they are stored."""

    def __init__(self, value_range: ValueRange, on_blank: OnBlank) -> None:
        super().__init__()
        check_on_blank(on_blank)
        self.value_range = check_range(value_range)
        self.on_blank = on_blank

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Change the colors of an Image, a Video, a pure tensor or a PIL image; anything else is returned as it is.

        Raises
        ------
        InvalidImageError : no RGB image, NaN, or values far outside ``value_range``.
        NotEnoughTissueError : a blank image, with ``on_blank="raise"``.
        """
        if isinstance(inpt, tv_tensors.TVTensor) and not isinstance(inpt, tv_tensors.Image | tv_tensors.Video):
            return inpt
        if not isinstance(inpt, PIL.Image.Image):
            return self._change(inpt, -3, params)
        if inpt.mode != "RGB":
            raise InvalidImageError(f"expected an RGB image, got a PIL image of mode {inpt.mode}; convert it to RGB")
        return PIL.Image.fromarray(self._change(np.asarray(inpt), -1, params))

    def _change(self, image: Any, channel_axis: int, params: dict[str, Any]) -> Any:
        raise NotImplementedError


class StainNormalize(_ColorTransform):
    """Make images look like they came from the center that a model was fitted on.

    Parameters
    ----------
    model : path of a model file of any method, or a fitted :class:`~stainxform.Normalizer`. The file is read once, now.
    value_range : (low, high) of float images. Ignored for uint8.
    on_blank : an image with too little tissue is returned unchanged ("keep"), with a StainXformWarning ("warn"), or
        raises NotEnoughTissueError ("raise").

    Takes any sample of torchvision's transforms v2. Changed are ``tv_tensors.Image``, ``tv_tensors.Video`` (frame by
    frame) and PIL images of mode RGB; where there is none of these, the first pure tensor.

    Raises
    ------
    ModelFileError : the file is missing or no valid model.
    ParameterError : an argument makes no sense, or the model is of a method that this transform does not take.
    """

    method: ClassVar[str | None] = None
    """The one method whose models are accepted; None: any."""

    def __init__(
        self, model: str | Path | Normalizer, value_range: ValueRange = (0, 1), on_blank: OnBlank = "keep"
    ) -> None:
        super().__init__(value_range, on_blank)
        self.normalizer = resolve_model(model, self.method)
        self.model = model if isinstance(model, Normalizer) else str(model)

    def _change(self, image: Any, channel_axis: int, params: dict[str, Any]) -> Any:
        return self.normalizer(image, value_range=self.value_range, channel_axis=channel_axis, on_blank=self.on_blank)


class _TorchRandom:
    """torch's default generator as a source of draws: seeded by ``torch.manual_seed``, and apart in each worker."""

    def uniform(self, low: float, high: float, /) -> float:
        return low + (high - low) * torch.rand((), dtype=torch.float64).item()


class RandAugmentation(_ColorTransform):
    """Draw from an augmentation, and apply the draw, with a probability. The base of the transforms below."""

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
        applied = torch.rand(()).item() < self.p
        return {"draw": self.augmentation.sample(_TorchRandom()) if applied else None}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Apply a draw, ``{"draw": draw}``, see :meth:`stainxform.augment.Augmentation.sample`; None changes nothing."""
        return inpt if params["draw"] is None else super().transform(inpt, params)

    def _change(self, image: Any, channel_axis: int, params: dict[str, Any]) -> Any:
        return self.augmentation(
            image,
            params["draw"],
            value_range=self.value_range,
            channel_axis=channel_axis,
            on_blank=self.on_blank,
        )


def _of(method: str) -> type[StainNormalize]:
    """The transform for one method."""
    return for_method(StainNormalize, method)


_ARGUMENTS = """    p : probability of applying it.
    value_range : (low, high) of float images. Ignored for uint8.
    on_blank : an image with too little tissue to estimate from is returned unchanged ("keep"), with a StainXformWarning
        ("warn"), or raises NotEnoughTissueError ("raise").

    All images and frames of a call get the same draw; masks, boxes and labels are left alone.
"""


def _augment(name: str) -> type[RandAugmentation]:
    """The transform for one augmentation."""
    kind = AUGMENTATIONS[name]
    members = {
        "__module__": __name__,
        "__doc__": transform_doc(kind, "", _ARGUMENTS),
        "__signature__": signature(RandAugmentation, names=parameter_names(kind)),
        "kind": kind,
    }
    return type(transform_name(name), (RandAugmentation,), members)


ColorNormNet = _of("colornormnet")
HistogramMatching = _of("histogram_matching")
Khan = _of("khan")
Macenko = _of("macenko")
Ramakrishnan = _of("ramakrishnan")
Reinhard = _of("reinhard")
ReinhardModified = _of("reinhard_modified")
StainGAN = _of("staingan")
StainLUT = _of("stainlut")
StainNet = _of("stainnet")
Vahadane = _of("vahadane")

RandBrightnessContrast = _augment("brightness_contrast")
RandHED = _augment("hed")
RandHSV = _augment("hsv")
RandStainGrayscale = _augment("grayscale")
RandStainJitter = _augment("stain_jitter")
RandStainNA = _augment("randstainna")
RandStainStyle = _augment("style")
