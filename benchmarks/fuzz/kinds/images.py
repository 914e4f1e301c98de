"""Images of every kind through every host, every normalizer, calibration and augmentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from checks import Where, attempt, check_input, check_kind, check_same, check_values, passed_through, snapshot
from hosts import HAS_TORCHVISION, HOSTS, Host, channels_last, host_augmentation
from pictures import Picture, in_memory, picture, wrong
from subjects import NETWORKS, augmentations, normalizers

from stainxform import Normalizer
from stainxform.augment import Augmentation
from stainxform.errors import NotEnoughTissueError


class Images:
    """See the module."""

    seconds = 10.0
    memory = 1 << 30

    def __init__(self, folder: Path):
        torch.set_num_threads(1)
        self._normalizers = list(normalizers().items())
        self._augmentations = list(augmentations().items())

    def case(self, number: int) -> str:
        """One image."""
        rng = np.random.default_rng((13, number))
        turn = rng.random()
        if turn < 0.06:
            return self._wrong(rng)
        if turn < 0.7:
            return self._normalized(rng)
        return self._augmented(rng)

    # ---- normalizers

    def _normalized(self, rng: np.random.Generator) -> str:
        name, normalizer = self._normalizers[rng.integers(len(self._normalizers))]
        shown = picture(rng)
        host = HOSTS[rng.integers(len(HOSTS))]
        if host.unit and shown.pixels.dtype != np.uint8:
            shown = Picture(*_to_unit(shown))
        on_blank = str(rng.choice(["keep", "keep", "warn", "raise"]))
        where = Where(host.name, name)
        image = _host_image(shown.pixels, host, rng)
        before = snapshot(image)
        result, error = attempt(lambda: host.make(normalizer, shown.value_range, on_blank)(image))
        check_input(image, before, where)
        if error is not None:
            return self._refused(error, shown, normalizer, host, where)
        if shown.poison and not (host.name == "torch module"):
            raise where.broken(f"{shown.poison} was taken")
        if shown.poison:
            return "taken by the module"
        check_kind(result, image, where)
        self._compare(channels_last(result, host.first), shown, on_blank, normalizer, host, where)
        return "normalized"

    def _refused(self, error: BaseException, shown: Picture, normalizer: Normalizer, host: Host, where: Where) -> str:
        """Whether an error was due: for a poison, a blank tile, a batch where the host takes none."""
        if shown.poison or (shown.is_batch and not host.batches):
            return "refused"
        if isinstance(error, NotEnoughTissueError) or isinstance(error.__cause__, NotEnoughTissueError):
            images = shown.pixels if shown.is_batch else shown.pixels[None]
            if not any(_blank(normalizer, one, shown) for one in images):
                raise where.broken("refused as blank, though it is not", str(error))
            return "refused as blank"
        _, plain_error = attempt(lambda: normalizer(shown.pixels, value_range=shown.value_range))
        if plain_error is None and shown.pixels.size:
            raise where.broken("refused by the host alone", str(error)) from error
        return "refused"

    def _compare(
        self, result: np.ndarray, shown: Picture, on_blank: str, normalizer: Normalizer, host: Host, where: Where
    ) -> None:
        """Each tile is what numpy makes of it alone; the torch module, which computes otherwise, changes each tile."""
        images, results = (shown.pixels, result) if shown.is_batch else (shown.pixels[None], result[None])
        check_values(results, images, shown.value_range, where)
        tolerance = 1.01 if any(net in where.subject for net in NETWORKS) else 0.0
        for one, found in zip(images, results):
            if host.name != "torch module":
                wanted, _ = attempt(
                    lambda one=one: normalizer(one.copy(), value_range=shown.value_range, on_blank=on_blank)
                )
                check_same(found, wanted, tolerance, shown.value_range, where)
            if passed_through(found, one) and not _blank(normalizer, one, shown):
                raise where.broken("silent pass-through")

    def _wrong(self, rng: np.random.Generator) -> str:
        """What is no image: refused, or what it stands for, normalized."""
        name, normalizer = self._normalizers[rng.integers(len(self._normalizers))]
        host = HOSTS[rng.integers(len(HOSTS))]
        given = wrong(rng)
        where = Where(f"{host.name}, wrong input", name)
        if isinstance(given, np.ndarray) and given.ndim >= 3 and host.first:
            given = np.moveaxis(given, -1, -3)
        try:
            image = host.wrap(given) if isinstance(given, np.ndarray) else given
        except Exception:  # torch has no such dtype
            image = given
        before = snapshot(image)
        result, error = attempt(lambda: host.make(normalizer, (0.0, 1.0), "keep")(image))
        check_input(image, before, where)
        if error is not None:
            return "wrong and refused"
        if result is image and image is not None and isinstance(given, np.ndarray) and given.size:
            raise where.broken("silent pass-through", f"{type(given).__name__} {given.dtype} {given.shape}")
        if isinstance(given, np.ndarray) and given.ndim >= 3 and given.dtype.kind in "uf":
            found, kept = channels_last(result, host.first), channels_last(given, host.first)
            plain, refused = attempt(lambda: normalizer(np.array(kept, kept.dtype.newbyteorder("="))))
            if refused is None and kept.shape[-1] == 3 and not np.array_equal(np.asarray(found, plain.dtype), plain):
                check_same(np.asarray(found, plain.dtype), plain, 1.01, (0.0, 1.0), where)
        return "wrong and taken"

    # ---- augmentations

    def _augmented(self, rng: np.random.Generator) -> str:
        name, augmentation = self._augmentations[rng.integers(len(self._augmentations))]
        shown = picture(rng)
        if rng.random() < 0.5:
            return self._in_host(name, augmentation, shown, rng)
        where = Where("augmentation in numpy", name)
        draw = augmentation.sample(rng)
        image = in_memory(shown.pixels, rng)
        before = snapshot(image)
        result, error = attempt(lambda: augmentation(image, draw, value_range=shown.value_range))
        check_input(image, before, where)
        if error is not None:
            if not shown.poison:
                raise where.broken("a proper image was refused", str(error)) from error
            return "refused"
        if shown.poison:
            raise where.broken(f"{shown.poison} was taken")
        check_kind(result, image, where)
        images, results = (shown.pixels, result) if shown.is_batch else (shown.pixels[None], result[None])
        check_values(results, images, shown.value_range, where)
        for one, found in zip(images, results):
            alone = augmentation(one.copy(), draw, value_range=shown.value_range)
            check_same(found, alone, 0.0, shown.value_range, where)
        return "augmented"

    def _in_host(self, name: str, augmentation: Augmentation, shown: Picture, rng: np.random.Generator) -> str:
        names = ["monai", "albumentations", *(["torchvision"] if HAS_TORCHVISION else [])]
        host = str(rng.choice(names))
        if shown.is_batch and host != "torchvision":
            shown = Picture(np.ascontiguousarray(shown.pixels[0]), shown.value_range, shown.poison and "maybe")
        if host == "albumentations" and shown.pixels.dtype != np.uint8:
            shown = Picture(*_to_unit(shown))
        where = Where(f"augmentation in {host}", name)
        array = shown.pixels if host == "albumentations" else np.moveaxis(shown.pixels, -1, -3)
        numpy = host == "albumentations" or (host == "monai" and rng.random() < 0.5)
        laid = in_memory(array, rng, numpy)
        image: Any = laid if numpy else torch.from_numpy(laid)
        before = snapshot(image)
        result, error = attempt(lambda: host_augmentation(host, augmentation, shown.value_range)(image))
        check_input(image, before, where)
        if error is not None:
            if not shown.poison and shown.pixels.size:
                raise where.broken("a proper image was refused", str(error)) from error
            return "refused"
        if shown.poison in ("nan", "inf", "outside"):
            raise where.broken(f"{shown.poison} was taken")
        check_kind(result, image, where)
        last = channels_last(result, host != "albumentations")
        images, results = (shown.pixels, last) if shown.is_batch else (shown.pixels[None], last[None])
        check_values(results, images, shown.value_range, where)
        return "augmented in a host"


def _host_image(pixels: np.ndarray, host: Host, rng: np.random.Generator) -> Any:
    array = np.moveaxis(pixels, -1, -3) if host.first else pixels
    return host.wrap(in_memory(array, rng, host.numpy))


def _to_unit(shown: Picture) -> tuple[np.ndarray, tuple[float, float], str]:
    low, high = shown.value_range
    with np.errstate(all="ignore"):
        return ((shown.pixels - low) / (high - low)).astype(shown.pixels.dtype), (0.0, 1.0), shown.poison


def _blank(normalizer: Normalizer, image: np.ndarray, shown: Picture) -> bool:
    """Whether the documented rule keeps an image."""
    try:
        normalizer(np.ascontiguousarray(image), value_range=shown.value_range, on_blank="raise")
    except NotEnoughTissueError:
        return True
    return False
