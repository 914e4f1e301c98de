"""Every registered normalizer and augmentation on images that no method is made for: what docs/bad_input.md says."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from augment_cases import make

import stainxform as sx
from stainxform.augment import AUGMENTATIONS
from stainxform.errors import InvalidImageError, StainXformWarning
from stainxform.image.layout import as_numpy
from stainxform.testing import corrupted_tiles

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import method_tables

PAGE = Path(__file__).parents[1] / "docs" / "bad_input.md"
IMAGES = corrupted_tiles()
NAMES = [*sx.methods(), *AUGMENTATIONS]
DTYPES = ("uint8", "float16", "float32", "float64")


@pytest.fixture(scope="session")
def transforms(normalizers, tiles) -> dict[str, Callable[..., Any]]:
    """Everything that is registered and can be imported, as a function of an image; augmentations with one draw."""
    made: dict[str, Callable[..., Any]] = dict(normalizers)
    for name in AUGMENTATIONS:
        augmentation = make(name, {}, *tiles)
        made[name] = _Drawn(augmentation, augmentation.sample(np.random.default_rng(6)))
    return made


@dataclass(frozen=True)
class _Drawn:
    augmentation: Any
    draw: Any

    def __call__(self, image: Any, **options: Any) -> Any:
        return self.augmentation(image, self.draw, **options)


@pytest.fixture(params=NAMES)
def transform(request, transforms):
    if request.param not in transforms:
        pytest.skip(f"{request.param} needs an extra that is not installed")
    return transforms[request.param]


def as_dtype(image, dtype):
    return image if dtype == "uint8" else (image / 255).astype(dtype)


def as_tensor(image):
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, -1, 0)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", IMAGES)
def test_bad_images_are_kept_or_changed_within_the_range(transform, name, dtype):
    """pytest turns the warnings of numpy and torch into errors."""
    image = as_dtype(IMAGES[name], dtype)
    before = image.copy()
    result = transform(image)
    assert (type(result), result.dtype, result.shape) == (np.ndarray, image.dtype, image.shape)
    assert np.isfinite(result).all()
    assert result.min() >= 0
    assert result.max() <= (255 if dtype == "uint8" else 1)
    np.testing.assert_array_equal(as_numpy(transform(as_tensor(image))), np.moveaxis(result, -1, 0))
    np.testing.assert_array_equal(image, before)
    if method_tables.outcome(transform, image) == "kept":
        np.testing.assert_array_equal(result, before)
        with pytest.warns(StainXformWarning, match="unchanged"):
            transform(image, on_blank="warn")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", DTYPES[1:])
def test_one_value_that_is_no_number_is_an_error(transform, value, dtype):
    image = as_dtype(IMAGES["green pen"], dtype).copy()
    image[5, 7, 1] = value
    for kind in (np.asarray, as_tensor):
        with pytest.raises(InvalidImageError, match="NaN or infinite"):
            transform(kind(image))


class Everything(torch.utils.data.Dataset):
    """Each bad image as each transform makes it."""

    def __init__(self, transforms):
        self.transforms = list(transforms.values())

    def __len__(self):
        return len(IMAGES)

    def __getitem__(self, index):
        image = list(IMAGES.values())[index]
        return np.stack([transform(image) for transform in self.transforms])


def test_no_bad_image_stops_a_dataloader(transforms):
    everything = Everything(transforms)
    loader = torch.utils.data.DataLoader(everything, batch_size=None, num_workers=2, multiprocessing_context="fork")
    for i, results in enumerate(loader):
        np.testing.assert_array_equal(results, everything[i])


def test_the_page_says_what_happens(transform, transforms):
    """A new transform, or another outcome: python benchmarks/method_tables.py writes the table."""
    (name,) = (name for name, made in transforms.items() if made is transform)
    row = "| " + " | ".join(method_tables.bad_input_row(name, transform)) + " |"
    assert row in PAGE.read_text().splitlines(), row
