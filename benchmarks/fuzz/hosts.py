"""The hosts that images go through: how each wants its image, and its transform for a normalizer or a draw."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor

import stainxform.albumentations as for_albumentations
import stainxform.monai as for_monai
from stainxform import Normalizer
from stainxform._optional import is_tensor
from stainxform.augment import AUGMENTATIONS, Augmentation
from stainxform.image.layout import as_numpy
from stainxform.nn import Normalize


def import_torchvision() -> bool:
    """Import torchvision, with stand-ins for compiled operators of a build that does not fit torch: transforms need none."""
    try:
        import torchvision
    except ImportError:
        return False
    except Exception:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _kept.append(library)
        try:
            import torchvision  # noqa: F401
        except Exception:
            return False
    return True


_kept: list[Any] = []

HAS_TORCHVISION = import_torchvision()


def for_torchvision() -> ModuleType:
    """Our transforms for it."""
    import stainxform.torchvision as found

    return found


@dataclass(frozen=True)
class Host:
    """A way to call a normalizer.

    Attributes
    ----------
    first : whether the channels come first.
    batches : whether it takes them.
    unit : whether floats are 0..1 by convention.
    wrap : contiguous or other numpy array in the host's layout -> the host's image.
    make : normalizer, value_range, on_blank -> function of the host's image.
    """

    name: str
    first: bool
    batches: bool
    wrap: Callable[[np.ndarray], Any]
    make: Callable[[Normalizer, tuple[float, float], str], Callable[[Any], Any]]
    unit: bool = False
    numpy: bool = False


def tensor(array: np.ndarray) -> torch.Tensor:
    """A tensor with the strides of an array."""
    return torch.from_numpy(array)


def _meta(array: np.ndarray) -> MetaTensor:
    return MetaTensor(tensor(array), meta={"filename_or_obj": "tile.png"})


def _image_of(array: np.ndarray) -> Any:
    from torchvision import tv_tensors

    return tv_tensors.Image(tensor(array))


def _video_of(array: np.ndarray) -> Any:
    from torchvision import tv_tensors

    return (tv_tensors.Video if array.ndim == 4 else tv_tensors.Image)(tensor(array))


def _direct(axis: int) -> Callable[..., Callable[[Any], Any]]:
    def make(normalizer: Normalizer, value_range: tuple[float, float], on_blank: str) -> Callable[[Any], Any]:
        return lambda image: normalizer(image, value_range=value_range, channel_axis=axis, on_blank=on_blank)

    return make


def _monai(normalizer: Normalizer, value_range: tuple[float, float], on_blank: str) -> Callable[[Any], Any]:
    return for_monai.StainNormalize(normalizer, value_range, on_blank)


def _monai_dictionary(normalizer: Normalizer, value_range: tuple[float, float], on_blank: str) -> Callable[[Any], Any]:
    transform = for_monai.StainNormalized("image", normalizer, value_range, on_blank)
    return lambda image: transform({"image": image, "label": 1})["image"]


def _albumentations(normalizer: Normalizer, value_range: tuple[float, float], on_blank: str) -> Callable[[Any], Any]:
    transform = for_albumentations.StainNormalize(normalizer, on_blank)

    def call(image: Any) -> Any:
        target = "images" if getattr(image, "ndim", 3) == 4 else "image"
        return transform(**{target: image})[target]

    return call


def _albumentations_pipeline(
    normalizer: Normalizer, value_range: tuple[float, float], on_blank: str
) -> Callable[[Any], Any]:
    from albumentations import Compose

    transform = Compose([for_albumentations.StainNormalize(normalizer, on_blank)])

    def call(image: Any) -> Any:
        target = "images" if getattr(image, "ndim", 3) == 4 else "image"
        return transform(**{target: image})[target]

    return call


def _torchvision(normalizer: Normalizer, value_range: tuple[float, float], on_blank: str) -> Callable[[Any], Any]:
    return for_torchvision().StainNormalize(normalizer, value_range, on_blank)


def _torchvision_sample(
    normalizer: Normalizer, value_range: tuple[float, float], on_blank: str
) -> Callable[[Any], Any]:
    transform = for_torchvision().StainNormalize(normalizer, value_range, on_blank)
    return lambda image: transform({"image": image, "label": 3})["image"]


def _module(normalizer: Normalizer, value_range: tuple[float, float], on_blank: str) -> Callable[[Any], Any]:
    return Normalize(normalizer, value_range)


HOSTS = [
    Host("numpy, channels last", False, True, np.asarray, _direct(-1), numpy=True),
    Host("numpy, channels first", True, True, np.asarray, _direct(-3), numpy=True),
    Host("torch, channels first", True, True, tensor, _direct(-3)),
    Host("torch, channels last", False, True, tensor, _direct(-1)),
    Host("MONAI, numpy", True, False, np.asarray, _monai, numpy=True),
    Host("MONAI, MetaTensor", True, False, _meta, _monai),
    Host("MONAI, dictionary", True, False, _meta, _monai_dictionary),
    Host("albumentations", False, True, np.asarray, _albumentations, unit=True, numpy=True),
    Host("albumentations, Compose", False, True, np.asarray, _albumentations_pipeline, unit=True, numpy=True),
    Host("torch module", True, True, tensor, _module),
]
if HAS_TORCHVISION:
    HOSTS += [
        Host("torchvision, tensor", True, True, tensor, _torchvision),
        Host("torchvision, Image", True, True, _image_of, _torchvision),
        Host("torchvision, Video", True, True, _video_of, _torchvision),
        Host("torchvision, sample", True, True, _image_of, _torchvision_sample),
    ]


def host_augmentation(name: str, augmentation: Augmentation, value_range: tuple[float, float]) -> Callable[[Any], Any]:
    """The transform of a host, "monai", "albumentations" or "torchvision", that always applies an augmentation."""
    from stainxform._hosts.augment import parameter_names, transform_name

    kind = type(augmentation)
    arguments = {field: getattr(augmentation, field) for field in parameter_names(kind) if field != "preset"}
    title = transform_name(next(key for key, value in AUGMENTATIONS.items() if value is kind))
    if name == "monai":
        return getattr(for_monai, title)(prob=1, value_range=value_range, **arguments)
    if name == "torchvision":
        return getattr(for_torchvision(), title)(p=1, value_range=value_range, **arguments)
    transform = getattr(for_albumentations, title)(p=1, **arguments)
    return lambda image: transform(image=image)["image"]


def channels_last(image: Any, first: bool) -> np.ndarray:
    """A host's image as numpy ``(..., H, W, 3)``."""
    array = as_numpy(image) if is_tensor(image) else np.asarray(image)
    return np.moveaxis(array, -3, -1) if first else array
