"""Our transforms within pipelines of MONAI, albumentations and torchvision, between others that move and crop."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from checks import Where, attempt, check_input, check_same, check_values, passed_through, snapshot
from hosts import HAS_TORCHVISION, for_albumentations, for_monai, for_torchvision
from pictures import in_memory, pixels
from subjects import NETWORKS, augmentations, normalizers

from stainxform import Normalizer
from stainxform._optional import is_tensor
from stainxform.errors import NotEnoughTissueError
from stainxform.image.layout import as_numpy

STEPS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "left to right": lambda image: image[:, ::-1],
    "upside down": lambda image: image[::-1],
    "cropped": lambda image: _middle(image),
}
"""What stands before and after ours, on numpy ``(H, W, 3)``; each host has the same."""


def _middle(image: np.ndarray) -> np.ndarray:
    height, width = (max(side // 2, 1) for side in image.shape[:2])
    top, left = ((side - half) // 2 for side, half in zip(image.shape[:2], (height, width)))
    return image[top : top + height, left : left + width]


class Pipelines:
    """See the module."""

    seconds = 10.0
    memory = 1 << 30

    def __init__(self, folder: Path):
        torch.set_num_threads(1)
        self._normalizers = list(normalizers().items())
        self._augmentations = list(augmentations().items())
        self._hosts: list[tuple[str, Callable[..., Any]]] = [("MONAI", _monai), ("albumentations", _albumentations)]
        if HAS_TORCHVISION:
            self._hosts.append(("torchvision", _torchvision))

    def case(self, number: int) -> str:
        """One image through one pipeline."""
        rng = np.random.default_rng((15, number))
        host, build = self._hosts[rng.integers(len(self._hosts))]
        name, normalizer = self._normalizers[rng.integers(len(self._normalizers))]
        before, after = (list(rng.permutation(list(STEPS))[: rng.integers(0, 3)]) for _ in range(2))
        as_float = bool(rng.random() < 0.5)
        image = pixels(rng)
        if min(image.shape[:2]) < 4:
            image = np.resize(image if image.size else np.uint8(200), (16, 16, 3))
        augmentation = self._augmentations[rng.integers(len(self._augmentations))][1] if rng.random() < 0.3 else None
        where = Where(f"pipeline of {host}", name)
        given = in_memory(image, rng, numpy=True)
        kept = snapshot(given)
        result, error = attempt(lambda: build(normalizer, before, after, as_float, augmentation)(given))
        check_input(given, kept, where)
        if error is not None:
            raise where.broken("a proper image was refused", str(error)) from error
        wanted = np.ascontiguousarray(_through(image, before))
        if as_float:
            wanted = (wanted / np.float32(255)).astype(np.float32)
        normalized = normalizer(wanted)
        if augmentation is None:
            check_same(result, _through(normalized, after), _tolerance(name, as_float), (0.0, 1.0), where)
            if passed_through(normalized, wanted) and not _is_blank(normalizer, wanted):
                raise where.broken("silent pass-through")
        elif result.shape != _through(normalized, after).shape or result.dtype != wanted.dtype:
            raise where.broken("another kind comes back", f"{result.dtype} {result.shape}")
        check_values(result[None], result[None] * 0 - 9 if as_float else result[None], (0.0, 1.0), where)
        return "normalized" if augmentation is None else "normalized and augmented"


def _through(image: np.ndarray, steps: list[str]) -> np.ndarray:
    for step in steps:
        image = STEPS[step](image)
    return image


def _tolerance(name: str, as_float: bool) -> float:
    """8-bit levels. To floats, hosts divide by 255 or multiply by 1/255: last bits, which estimates and networks amplify."""
    if any(net in name for net in NETWORKS):
        return 4.0 if as_float else 1.01
    return 0.6 if as_float else 0.0


def _is_blank(normalizer: Normalizer, image: np.ndarray) -> bool:
    try:
        normalizer(image, on_blank="raise")
    except NotEnoughTissueError:
        return True
    return False


def _plain(image: Any) -> np.ndarray:
    return as_numpy(image) if is_tensor(image) else np.asarray(image)


def _arguments(augmentation: Any) -> tuple[str, dict[str, Any]]:
    from stainxform._hosts.augment import parameter_names, transform_name

    kind = type(augmentation)
    return transform_name(kind.name), {f: getattr(augmentation, f) for f in parameter_names(kind) if f != "preset"}


def _monai(normalizer: Normalizer, before: list[str], after: list[str], as_float: bool, augmentation: Any) -> Any:
    from monai.transforms import Compose, FlipD, Lambdad, ScaleIntensityRanged

    def steps(names: list[str]) -> list[Any]:
        crop = Lambdad("image", lambda x: x[:, *_slices(x)])
        return [
            {"left to right": FlipD("image", 1), "upside down": FlipD("image", 0), "cropped": crop}[name]
            for name in names
        ]

    scale = [ScaleIntensityRanged("image", 0, 255, 0, 1, dtype=np.float32)] if as_float else []
    more = []
    if augmentation is not None:
        title, arguments = _arguments(augmentation)
        more = [getattr(for_monai, f"{title}d")("image", prob=1, value_range=(0, 1), **arguments)]
    ours = for_monai.StainNormalized("image", normalizer, (0, 1))
    pipeline = Compose([*steps(before), *scale, ours, *more, *steps(after)])
    return lambda image: np.moveaxis(_plain(pipeline({"image": np.moveaxis(image, -1, 0), "label": 1})["image"]), 0, -1)


def _slices(image: Any) -> tuple[slice, slice]:
    sizes = [(side, max(side // 2, 1)) for side in image.shape[-2:]]
    return tuple(slice((side - half) // 2, (side - half) // 2 + half) for side, half in sizes)  # type: ignore[return-value]


def _albumentations(
    normalizer: Normalizer, before: list[str], after: list[str], as_float: bool, augmentation: Any
) -> Any:
    from albumentations import Compose, HorizontalFlip, Lambda, ToFloat, VerticalFlip

    def steps(names: list[str]) -> list[Any]:
        crop = Lambda(image=lambda image, **_: _middle(image), name="middle", p=1)
        made = {"left to right": HorizontalFlip(p=1), "upside down": VerticalFlip(p=1), "cropped": crop}
        return [made[name] for name in names]

    more = []
    if augmentation is not None:
        title, arguments = _arguments(augmentation)
        more = [getattr(for_albumentations, title)(p=1, **arguments)]
    scale = [ToFloat(max_value=255)] if as_float else []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = Compose(
            [*steps(before), *scale, for_albumentations.StainNormalize(normalizer), *more, *steps(after)]
        )
    return lambda image: pipeline(image=image)["image"]


def _torchvision(normalizer: Normalizer, before: list[str], after: list[str], as_float: bool, augmentation: Any) -> Any:
    from torchvision import tv_tensors
    from torchvision.transforms import v2

    def steps(names: list[str]) -> list[Any]:
        crop = v2.Lambda(lambda x: tv_tensors.wrap(x[..., *_slices(x)], like=x), tv_tensors.Image)
        made = {"left to right": v2.RandomHorizontalFlip(1), "upside down": v2.RandomVerticalFlip(1), "cropped": crop}
        return [made[name] for name in names]

    more = []
    if augmentation is not None:
        title, arguments = _arguments(augmentation)
        more = [getattr(for_torchvision(), title)(p=1, **arguments)]
    scale = [v2.ToDtype(torch.float32, scale=True)] if as_float else []
    ours = for_torchvision().StainNormalize(normalizer)
    pipeline = v2.Compose([*steps(before), *scale, ours, *more, *steps(after)])

    def call(image: np.ndarray) -> np.ndarray:
        tensor = tv_tensors.Image(torch.from_numpy(np.array(np.moveaxis(image, -1, 0))))
        return np.moveaxis(_plain(pipeline({"image": tensor, "label": 1})["image"]), 0, -1)

    return call
