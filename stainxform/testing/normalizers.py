"""What every normalizer must hold to, as a test class that a plug-in derives in three lines.

>>> from stainxform.testing import NormalizerTests
>>> class TestMeanDensity(NormalizerTests):  # doctest: +SKIP
...     method = "mean_density"
"""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

import stainxform as sx
from stainxform._hosts.normalize import class_name
from stainxform.errors import MissingDependencyError, ParameterError
from stainxform.image.layout import as_numpy
from stainxform.maps import ColorMap
from stainxform.maps.tiling import apply_in_tiles
from stainxform.normalizers.base import Normalizer, PointwiseNormalizer
from stainxform.samples import pair
from stainxform.testing.images import DTYPES
from stainxform.testing.laws import Case, TransformLaws

__all__ = ["NormalizerTests", "Unreadable"]


class Unreadable:
    """Stands for tiles that must not be read: a wrong setting is noticed before."""

    def __len__(self) -> int:
        raise AssertionError("tiles were read before the settings were checked")

    __getitem__ = __iter__ = __len__


class NormalizerTests(TransformLaws):
    """One pytest test for each thing that a registered normalizer must hold to, the laws of transforms included.

    Attributes
    ----------
    method : str
        The name under which it is registered.
    settings : mapping
        Settings of the fit, for example few steps of a training.
    without : sequence of str
        Names of laws that are left out.
    """

    method: ClassVar[str]
    settings: ClassVar[Mapping[str, Any]] = {}

    @classmethod
    def fitted(cls) -> Normalizer:
        """The normalizer, fitted once on tiles of a synthetic center."""
        if cls not in _FITTED:
            _FITTED[cls] = sx.fit_center(_tiles()[0], cls.method, center="ours", **cls.settings)
        return _FITTED[cls]

    @property
    def case(self) -> Case:  # type: ignore[override]
        """The normalizer in numpy and torch, for the laws."""
        normalizer = self.fitted()
        layouts = ("HWC", "NHWC", "torch CHW", "torch NCHW")
        return Case(normalizer, DTYPES, layouts, pointwise=normalizer.fixed_map is not None, examples=3)

    def test_it_is_registered_with_its_source(self) -> None:
        """The registry says what it does and who published it."""
        entry = sx.methods()[self.method]
        assert entry.name == self.method
        assert entry.title, "say in a few words what the method does, as title"
        assert entry.source, "name the publication, as source"

    def test_a_wrong_setting_is_refused_before_a_tile_is_read(self) -> None:
        """Settings check themselves."""
        message = ""
        try:
            sx.fit_center(Unreadable(), self.method, **dict(self.settings) | {"no_such_setting": 1})
        except ParameterError as error:
            message = str(error)
        assert "no_such_setting" in message, "an unknown setting was accepted, or its error does not name it"

    def test_a_fit_says_what_it_is_of(self) -> None:
        """The model carries the name of the center and how many tiles it saw."""
        info = self.fitted().info
        assert (info.name, info.tiles) == ("ours", len(_tiles()[0]))

    def test_a_saved_model_does_the_same(self, tmp_path: Path) -> None:
        """Saved, loaded, applied: the same pixels; saved again: the same bytes."""
        normalizer, (_, theirs) = self.fitted(), _tiles()
        normalizer.save(tmp_path / "one.safetensors")
        loaded = sx.load(str(tmp_path / "one.safetensors"))
        loaded.save(tmp_path / "two.safetensors")
        assert type(loaded) is type(normalizer)
        assert np.array_equal(loaded(theirs), normalizer(theirs))
        assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()

    def test_a_pickled_model_does_the_same(self) -> None:
        """DataLoader workers get a pickle."""
        normalizer, (_, theirs) = self.fitted(), _tiles()
        assert np.array_equal(pickle.loads(pickle.dumps(normalizer))(theirs), normalizer(theirs))

    def test_it_changes_another_center(self) -> None:
        """Images of another center do not come back as they were."""
        normalizer, (_, theirs) = self.fitted(), _tiles()
        assert not np.array_equal(normalizer(theirs), theirs)

    def test_one_map_of_a_slide_leaves_no_seams(self) -> None:
        """Where there is a map for several tiles, an image mapped in parts is what it is at once."""
        normalizer, (_, theirs) = self.fitted(), _tiles()
        try:
            image_map = normalizer.map_for_tiles(theirs)
        except ParameterError:
            assert not isinstance(normalizer, PointwiseNormalizer)
            return
        if image_map.halo is None:
            return
        whole, parts = image_map(theirs[0]), apply_in_tiles(image_map, theirs[0], 24)
        limit = 0 if isinstance(image_map, ColorMap) else 1
        assert np.abs(whole.astype(int) - parts).max() <= limit

    def test_hosts_give_the_same_pixels(self) -> None:
        """MONAI, albumentations and torchvision, those that are installed: by the method's own transform."""
        normalizer, image = self.fitted(), _tiles()[1][0]
        wanted, name, first = normalizer(image), class_name(sx.methods()[self.method]), np.moveaxis(image, -1, 0).copy()
        for host in ("monai", "albumentations", "torchvision"):
            try:
                module = importlib.import_module(f"stainxform.{host}")
            except MissingDependencyError:
                continue
            if host == "albumentations":
                assert np.array_equal(getattr(module, name)(model=normalizer)(image=image)["image"], wanted), host
                continue
            import torch

            result = getattr(module, name)(normalizer)(torch.from_numpy(first))
            assert np.array_equal(np.moveaxis(as_numpy(result), 0, -1), wanted), host
            if host == "monai":
                dictionary = getattr(module, f"{name}d")("image", normalizer)
                result = as_numpy(dictionary({"image": torch.from_numpy(first)})["image"])
                assert np.array_equal(np.moveaxis(result, 0, -1), wanted), f"{host}, dictionary"


@cache
def _tiles() -> tuple[np.ndarray, np.ndarray]:
    """The same tissue at two centers, uint8 ``(3, 72, 56, 3)`` each."""
    ours, theirs = pair(3, (72, 56), seed=1)
    return ours, theirs


_FITTED: dict[type[NormalizerTests], Normalizer] = {}
