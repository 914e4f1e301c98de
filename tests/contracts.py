"""The hosts that call a normalizer, and the images to call it with: what the contract tests iterate over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from torchvision_stand_ins import let_torchvision_import

import stainxform.albumentations as for_albumentations
import stainxform.monai as for_monai
from stainxform import Normalizer
from stainxform.errors import MissingDependencyError
from stainxform.image.layout import as_numpy

let_torchvision_import()  # here, too, for workers that are spawned
try:
    import stainxform.torchvision as for_torchvision
except MissingDependencyError:
    for_torchvision = None

UNIT = (0.0, 1.0)

PIXELS = (
    ("uint8", UNIT),
    ("float16", UNIT),
    ("float32", UNIT),
    ("float64", UNIT),
    ("float32", (0.0, 255.0)),
    ("float32", (-1.0, 1.0)),
)
"""dtypes and value ranges of images."""


@dataclass(frozen=True)
class Options:
    """How an image is stored, and what to do if it is blank."""

    value_range: tuple[float, float] = UNIT
    channel_axis: int = -1
    on_blank: str = "keep"


@dataclass(frozen=True)
class Host:
    """One way to call a normalizer.

    Attributes
    ----------
    layouts : of HWC, NHWC, CHW and NCHW those it takes; the first is that of a single image.
    wrap : numpy array -> the host's image.
    transform : normalizer and options -> picklable function of the host's image.
    numpy : whether its images are numpy arrays, which may be read-only or have negative strides.
    unit_only : whether floats are 0..1 by convention.
    """

    name: str
    layouts: tuple[str, ...]
    wrap: Callable[[np.ndarray], Any]
    transform: Callable[[Normalizer, Options], Callable[[Any], Any]]
    numpy: bool = False
    unit_only: bool = False

    def __str__(self) -> str:
        return self.name

    def __call__(self, normalizer: Normalizer, image: np.ndarray, **options: Any) -> np.ndarray:
        """The host's result for ``(H, W, 3)``."""
        channels = 0 if self.layouts[0] == "CHW" else -1
        transform = self.transform(normalizer, Options(**options))
        return np.moveaxis(as_numpy(transform(self.wrap(np.moveaxis(image, -1, channels)))), channels, -1)


@dataclass(frozen=True)
class Direct:
    """A normalizer with its options."""

    normalizer: Normalizer
    options: Options

    def __call__(self, image: Any) -> Any:
        return self.normalizer(image, **vars(self.options))


@dataclass(frozen=True)
class MonaiDictionary:
    """The dictionary transform as a function of an image."""

    transform: for_monai.StainNormalized

    def __call__(self, image: Any) -> Any:
        return self.transform({"image": image})["image"]


@dataclass(frozen=True)
class Albumentations:
    """The albumentations transform as a function of an image or a batch."""

    transform: for_albumentations.StainNormalize

    def __call__(self, image: np.ndarray) -> np.ndarray:
        target = "images" if image.ndim == 4 else "image"
        return self.transform(**{target: image})[target]


def monai_array(normalizer: Normalizer, options: Options) -> for_monai.StainNormalize:
    return for_monai.StainNormalize(normalizer, options.value_range, options.on_blank)


def monai_dictionary(normalizer: Normalizer, options: Options) -> MonaiDictionary:
    return MonaiDictionary(for_monai.StainNormalized("image", normalizer, options.value_range, options.on_blank))


def albumentations(normalizer: Normalizer, options: Options) -> Albumentations:
    return Albumentations(for_albumentations.StainNormalize(normalizer, options.on_blank))


def tensor(image: np.ndarray) -> torch.Tensor:
    """A tensor with the strides of ``image``; torch shares no memory that is read-only or runs backwards."""
    return torch.from_numpy(image if image.flags.writeable else image.copy())


def meta_tensor(image: np.ndarray) -> MetaTensor:
    """A MetaTensor with some history."""
    return MetaTensor(tensor(image), meta={"filename_or_obj": "tile.png"}, applied_operations=[{"class": "Flip"}])


def torchvision_transform(normalizer: Normalizer, options: Options) -> Any:
    return for_torchvision.StainNormalize(normalizer, options.value_range, options.on_blank)


def tv_image(image: np.ndarray) -> torch.Tensor:
    """An image of torchvision; it gives gray ones a channel."""
    from torchvision import tv_tensors

    return tv_tensors.Image(tensor(image))


ALL_LAYOUTS = ("HWC", "NHWC", "CHW", "NCHW")

HOSTS = (
    Host("numpy", ALL_LAYOUTS, np.asarray, Direct, numpy=True),
    Host("torch", ALL_LAYOUTS, tensor, Direct),
    Host("monai-numpy", ("CHW",), np.asarray, monai_array, numpy=True),
    Host("monai-tensor", ("CHW",), tensor, monai_array),
    Host("monai-metatensor", ("CHW",), meta_tensor, monai_array),
    Host("monai-dictionary", ("CHW",), meta_tensor, monai_dictionary),
    Host("albumentations", ("HWC", "NHWC"), np.asarray, albumentations, numpy=True, unit_only=True),
)
if for_torchvision is not None:
    HOSTS = (
        *HOSTS,
        Host("torchvision-tensor", ("CHW", "NCHW"), tensor, torchvision_transform),
        Host("torchvision-image", ("CHW", "NCHW"), tv_image, torchvision_transform),
    )

CASES = [
    (host, layout, dtype, value_range)
    for host in HOSTS
    for layout in host.layouts
    for dtype, value_range in PIXELS
    if value_range == UNIT or not host.unit_only
]
"""Every combination that makes sense."""


def arrange(images: np.ndarray, layout: str) -> np.ndarray:
    """``(N, H, W, 3)`` in another layout, contiguous and writable; a layout without N takes the first."""
    array = images if layout.startswith("N") else images[0]
    return np.array(np.moveaxis(array, -1, -3) if layout.endswith("CHW") else array, order="C")


class Everything(torch.utils.data.Dataset[np.ndarray]):
    """Every tile as every host and normalizer makes it, ``(hosts, normalizers, H, W, 3)``."""

    def __init__(self, normalizers: list[Normalizer], tiles: np.ndarray):
        self._normalizers, self._tiles = normalizers, tiles

    def __len__(self) -> int:
        return len(self._tiles)

    def __getitem__(self, index: int) -> np.ndarray:
        return np.stack([[host(n, self._tiles[index]) for n in self._normalizers] for host in HOSTS])
