"""What every augmentation must hold to, as a test class that a plug-in derives in three lines.

>>> from stainxform.testing import AugmentationTests
>>> class TestDim(AugmentationTests):  # doctest: +SKIP
...     kind = Dim
"""

from __future__ import annotations

import importlib
import json
import pickle
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar

import numpy as np

from stainxform._hosts.augment import transform_name
from stainxform.augment import AUGMENTATIONS, Augmentation
from stainxform.errors import MissingDependencyError
from stainxform.image.histogram import ColorHistogram
from stainxform.image.layout import as_numpy
from stainxform.maps import ColorMap
from stainxform.samples import pair

__all__ = ["AugmentationTests"]

DRAWS = 20
"""Draws that each test tries."""


class AugmentationTests:
    """One pytest test for each thing that a registered augmentation must hold to.

    Attributes
    ----------
    kind : type of Augmentation
        The class.
    parameters : mapping of str to object
        What it is made with, for example a fitted model; the defaults where it is empty.
    """

    kind: ClassVar[type[Augmentation]]
    parameters: ClassVar[Mapping[str, Any]] = {}

    def made(self) -> Augmentation:
        """An augmentation."""
        return self.kind(**self.parameters)

    def draws(self) -> list[Mapping[str, float]]:
        """Some draws, always the same."""
        rng, augmentation = np.random.default_rng(0), self.made()
        return [augmentation.sample(rng) for _ in range(DRAWS)]

    def test_it_is_registered_with_its_source(self) -> None:
        """The registry knows the class by its name, and it says what it does and who published it."""
        assert AUGMENTATIONS[self.kind.name] is self.kind
        assert self.kind.title, "say in a few words what it does, as title"
        assert self.kind.source, "name the publication, as source"

    def test_a_draw_is_plain_numbers(self) -> None:
        """A draw goes through JSON unchanged, so that it can be logged and repeated."""
        for draw in self.draws():
            assert json.loads(json.dumps(draw)) == draw

    def test_the_same_random_state_gives_the_same_draw(self) -> None:
        """All randomness comes from the generator, and every draw takes as many numbers of it."""
        augmentation, taken = self.made(), set()
        for seed in range(DRAWS):
            one, other = (_Counting(seed) for _ in range(2))
            assert augmentation.sample(one) == augmentation.sample(other)
            taken.add(one.count)
        assert len(taken) == 1, f"draws take {sorted(taken)} random numbers: workers and keys would drift apart"

    def test_the_map_follows_from_the_draw(self) -> None:
        """The same draw gives the same pixels, from another instance and after other draws."""
        image, (first, second, *_) = _image(), self.draws()
        wanted = self.made()(image, first)
        augmentation = self.made()
        augmentation(image, second)
        assert np.array_equal(augmentation(image, first), wanted)
        histogram = ColorHistogram.of(image) if augmentation.uses_image else None
        assert isinstance(augmentation.color_map(first, histogram), ColorMap)

    def test_the_image_is_kept_and_the_result_is_like_it(self) -> None:
        """The input is not written to; type, shape and dtype come back, within the range."""
        for dtype, scale in (("uint8", 1), ("float32", 255), ("float64", 255)):
            image = (_image() / scale).astype(dtype) if scale > 1 else _image().copy()
            before = image.copy()
            for draw in self.draws():
                result = self.made()(image, draw)
                assert (result.shape, result.dtype) == (image.shape, image.dtype)
                assert np.isfinite(result).all()
                assert 0 <= result.min() <= result.max() <= (255 if dtype == "uint8" else 1)
                assert not np.shares_memory(result, image)
            assert np.array_equal(image, before)

    def test_the_neutral_draw_changes_nothing(self) -> None:
        """Where there is one; to a level."""
        neutral = self.made().neutral
        if neutral is not None:
            assert np.abs(self.made()(_image(), neutral).astype(int) - _image()).max() <= 1

    def test_presets_can_be_made(self) -> None:
        """Each says where it comes from."""
        for name, preset in self.kind.presets.items():
            others = {key: value for key, value in self.parameters.items() if key not in preset.parameters}
            assert isinstance(self.kind.preset(name, **others), self.kind)
            assert preset.source, f"say where the preset {name!r} comes from"

    def test_it_can_be_pickled(self) -> None:
        """DataLoader workers get a pickle."""
        draw, augmentation = self.draws()[0], self.made()
        clone = pickle.loads(pickle.dumps(augmentation))
        assert np.array_equal(clone(_image(), draw), augmentation(_image(), draw))

    def test_hosts_give_the_same_pixels(self) -> None:
        """MONAI's and albumentations' transform, those that are installed, do what its draw says."""
        image, name = _image(), transform_name(self.kind.name)
        first = np.moveaxis(image, -1, 0).copy()
        for host in ("monai", "albumentations"):
            try:
                transform = getattr(importlib.import_module(f"stainxform.{host}"), name)
            except MissingDependencyError:
                continue
            if host == "monai":
                made = transform(prob=1.0, **self.parameters)
                result = np.moveaxis(as_numpy(made(first)), 0, -1)
                draw = made.draw
            else:
                made = transform(p=1.0, **self.parameters)
                draw = made.get_params()["draw"]
                result = made.apply(image, draw=draw)
            assert draw is not None
            assert np.array_equal(result, self.made()(image, draw)), host


class _Counting:
    """A random generator that counts how many numbers it gave."""

    def __init__(self, seed: int):
        self.count, self._rng = 0, np.random.default_rng(seed)

    def uniform(self, low: float, high: float, /) -> float:
        """A number between ``low`` and ``high``."""
        self.count += 1
        return float(self._rng.uniform(low, high))


@cache
def _image() -> np.ndarray:
    """Tissue, uint8 ``(72, 56, 3)``."""
    image = pair(1, (72, 56), seed=1)[0][0]
    image.setflags(write=False)
    return image
