"""What tiles may be held in: files, arrays, PIL images, Datasets, loaders, tables; and the image in an item of these.

Types are known by what they can do, or are called: nothing is imported to ask.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

import numpy as np

from stainxform._optional import is_tensor
from stainxform.errors import InvalidImageError, ParameterError, StainXformError
from stainxform.image.layout import Image, ValueRange, as_numpy, check_image
from stainxform.io.decode import rgb_of
from stainxform.io.images import read_image
from stainxform.io.paths import as_path, is_path
from stainxform.io.search import files_of, find

__all__ = ["channels_in_place", "image_in", "items_of", "pixels_of", "stream", "to_uint8"]

_TAKEN = "a folder, a glob, files, arrays, PIL images, a Dataset or a DataLoader"


def items_of(images: Any, image_key: str = "image", value_range: ValueRange | None = None) -> Sequence[Any]:
    """The items that hold the tiles, one tile in each.

    Whatever can be asked for by number is asked when it is needed: files, Datasets, arrays on a disk. What can only be
    gone through (iterators, loaders), and Datasets whose items hold several tiles, are gone through here, once, and
    their tiles are kept as uint8.

    Raises
    ------
    ParameterError
        No source of images.
    InvalidImageError
        Nothing found, a file is missing, or an item that is read here holds no tile.
    """
    if is_path(images):
        return files_of(images)
    if _is_listed(images):
        found: Sequence[Any] = _entries(_list(images), image_key)
    elif _is_array(images):
        found = [images] if _dimensions(images) <= 3 else _Rows(images)
    elif _is_dataset(images):
        found = _of_dataset(images, image_key, value_range)
    else:
        found = _kept(stream(images, image_key), image_key, value_range)
    if not len(found):
        raise InvalidImageError(f"no images were given; pass {_TAKEN}")
    return found


def stream(images: Any, image_key: str = "image") -> Iterator[Any]:
    """The items that hold the tiles, one after the other; nothing is kept."""
    if is_path(images):
        yield from files_of(images)
    elif _is_listed(images):
        yield from _entries(_list(images), image_key)
    elif _is_array(images):
        yield from [images] if _dimensions(images) <= 3 else _Rows(images)
    elif _is_dataset(images):
        for index in range(len(images)):
            yield from _parts(_fetched(images, index), image_key)
    elif _is_iterable(images):
        collated = _is_collating(images)
        for entry in _each(images):
            yield from files_of(entry) if is_path(entry) else _parts(entry, image_key, collated)
    else:
        raise ParameterError(_refusal(images))


def image_in(item: Any, image_key: str = "image") -> Image:
    """The image in one item: an array as it is, a file or a PIL image as uint8 ``(H, W, 3)``."""
    if is_path(item):
        return read_image(as_path(item))
    if isinstance(item, Mapping):
        if image_key not in item:
            raise InvalidImageError(
                f"there is no key {image_key!r} (its keys: {', '.join(map(str, item))}); pass image_key="
            )
        return image_in(item[image_key], image_key)
    if isinstance(item, tuple | list) and item:
        return image_in(item[0], image_key)
    if _is_pil(item):
        return rgb_of(item, "the PIL image")
    return item if isinstance(item, np.ndarray) or not _is_array(item) or is_tensor(item) else np.asarray(item[...])


def pixels_of(item: Any, index: int, image_key: str = "image", value_range: ValueRange | None = None) -> np.ndarray:
    """The tile in one item as uint8 ``(H, W, 3)``; InvalidImageError names a file by its path, all else by number."""
    try:
        image = image_in(item, image_key)
        return image if _is_kept(image) else to_uint8(image, value_range)
    except InvalidImageError as error:
        raise error if _is_file(item, image_key) else InvalidImageError(f"item {index}: {error}") from error
    except (StainXformError, MemoryError):
        raise
    except Exception as error:
        raise InvalidImageError(f"item {index} cannot be read ({type(error).__name__}: {error})") from error


def to_uint8(image: Image, value_range: ValueRange | None = None) -> np.ndarray:
    """A tile as a new uint8 array ``(H, W, 3)``; where it cannot be mistaken, channels may be first or last."""
    image = channels_in_place(image)
    spec = check_image(image, value_range)
    if len(image.shape) != 3:
        raise InvalidImageError(f"expected one tile, got a batch of shape {tuple(image.shape)}")
    pixels = np.moveaxis(as_numpy(image), spec.channel_axis, -1)
    if spec.integer:
        return np.array(pixels, order="C")
    unit = np.clip((pixels.astype(np.float64) - spec.low) / spec.scale, 0, 1)
    return np.ascontiguousarray(np.rint(unit * 255).astype(np.uint8))


def channels_in_place(image: Image) -> Image:
    """One image with channels where its kind has them: MONAI gives numpy ``(3, H, W)``, Hugging Face torch ``(H, W, 3)``."""
    shape = tuple(getattr(image, "shape", ()))
    if len(shape) != 3 or (shape[0] == 3) == (shape[-1] == 3) or (is_tensor(image) == (shape[0] == 3)):
        return image
    return image.movedim(-1, 0) if is_tensor(image) else np.moveaxis(image, 0, -1)


def _is_kept(image: Any) -> bool:
    """Whether it is a tile already, in memory of its own that nobody writes to."""
    if type(image) is not np.ndarray or image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
        return False
    return image.flags.c_contiguous and image.flags.owndata and not image.flags.writeable


class _Rows(Sequence[Any]):
    """The images of a batch: of an array that lies on a disk (zarr, HDF5), each is read when it is asked for."""

    def __init__(self, array: Any):
        self._array, self._batch = array, tuple(array.shape)[:-3]

    def __len__(self) -> int:
        return int(np.prod(self._batch))

    def __getitem__(self, index: Any) -> Any:
        row = np.unravel_index(range(len(self))[index], self._batch)
        with _named(self._array, index):
            image = self._array[tuple(map(int, row))]
            return image if is_tensor(image) else np.asarray(image)


class _Fetched(Sequence[Any]):
    """Items of a Dataset, fetched when they are asked for; the first, which has been looked at already, only once."""

    def __init__(self, dataset: Any, first: Any):
        self._dataset, self._first = dataset, [first]

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: Any) -> Any:
        index = range(len(self))[index]
        return self._first.pop() if index == 0 and self._first else _fetched(self._dataset, index)

    @property
    def paths(self) -> Any:
        """The file that each item is from, if the Dataset says so."""
        return getattr(self._dataset, "paths", None)


def _of_dataset(dataset: Any, image_key: str, value_range: ValueRange | None) -> Sequence[Any]:
    if not len(dataset):
        return []
    first = _fetched(dataset, 0)
    parts = list(_parts(first, image_key))
    if len(parts) == 1 and parts[0] is first:
        return _Fetched(dataset, first)
    others = (part for index in range(1, len(dataset)) for part in _parts(_fetched(dataset, index), image_key))
    return _kept((part for some in (parts, others) for part in some), image_key, value_range)


def _kept(items: Iterable[Any], image_key: str, value_range: ValueRange | None) -> list[Any]:
    """Items that are gone through once: their tiles as uint8; files are read when they are needed."""
    kept: list[Any] = []
    for item in items:
        if not is_path(item):
            item = pixels_of(item, len(kept), image_key, value_range)
            item.setflags(write=False)
        kept.append(item)
    return kept


def _entries(entries: Sequence[Any], image_key: str) -> list[Any]:
    """Entries of a list: a path stands for all its files, a batch or a list for all its images."""
    files = iter(find([entry for entry in entries if is_path(entry)]))
    found: list[Any] = []
    for entry in entries:
        found += (file.path for file in next(files)) if is_path(entry) else _parts(entry, image_key)
    return found


def _parts(entry: Any, image_key: str, collated: bool = False) -> Iterator[Any]:
    """The items in an entry, each with one image: of a batch, or of a list of images or dictionaries, all of them.

    A tuple is one item, and its first element the image, unless a loader has ``collated`` it from several.
    """
    if isinstance(entry, Mapping):
        parts = list(_parts(entry.get(image_key), image_key, collated))
        yield from [entry] if len(parts) == 1 and parts[0] is entry.get(image_key) else parts
    elif isinstance(entry, list | tuple) and entry:
        yield from _parts_of_several(entry, image_key, collated)
    elif _is_batch(entry):
        yield from _Rows(entry)
    elif not (is_path(entry) or _is_array(entry)) and (_is_dataset(entry) or _is_iterable(entry)):
        yield from stream(entry, image_key)
    else:
        yield entry


def _parts_of_several(entry: Sequence[Any], image_key: str, collated: bool) -> Iterator[Any]:
    first, others = entry[0], entry[1:]
    batch = _is_batch(first) and (collated or isinstance(entry, tuple) or not all(map(_is_batch, others)))
    if batch or (collated and _is_zipped(entry)):
        yield from _parts(first, image_key, collated)  # images, and their labels
    elif (collated or isinstance(entry, list)) and (all(map(_is_item, entry)) or all(map(is_path, entry))):
        for other in entry:
            yield from _parts(other, image_key)
    elif isinstance(first, list):
        yield from _parts(first, image_key, collated)  # a list of images, and a list of their labels
    else:
        yield entry


def _is_zipped(entry: Sequence[Any]) -> bool:
    """Whether a loader gave all images, or all paths, and then what belongs to them."""
    first = entry[0]
    if not (isinstance(first, list | tuple) and first):
        return False
    return all(map(is_path, first)) or (isinstance(entry, tuple) and all(map(_is_image, first)))


def _is_batch(value: Any) -> bool:
    return _is_array(value) and _dimensions(value) > 3


def _is_image(value: Any) -> bool:
    return _is_pil(value) or (_is_array(value) and _dimensions(value) >= 3)


def _is_item(value: Any) -> bool:
    """Whether something holds an image by itself."""
    starts = isinstance(value, list | tuple) and bool(value) and (_is_image(value[0]) or is_path(value[0]))
    return _is_image(value) or isinstance(value, Mapping) or starts


def _is_pil(value: Any) -> bool:
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(value, pillow.Image)


def _is_array(value: Any) -> bool:
    """An array of pixels, or what is like one, as of zarr and HDF5; a PIL image is no array, nor is a table."""
    if isinstance(value, np.ndarray) or is_tensor(value):
        return True
    like = all(hasattr(value, name) for name in ("shape", "dtype", "__getitem__"))
    return like and not (isinstance(value, np.generic) or _is_column(value))


def _dimensions(array: Any) -> int:
    return len(array.shape)


def _is_listed(images: Any) -> bool:
    """Entries that are all there: lists, sets, columns of tables, arrays of paths, and a PIL image, which stands alone."""
    if isinstance(images, list | tuple | set | frozenset) or _is_pil(images) or _is_column(images):
        return True
    return isinstance(images, np.ndarray) and images.dtype.kind in "OUST"


def _is_column(images: Any) -> bool:
    """Whether it is a column of a table (pandas, polars)."""
    return hasattr(images, "to_list") and hasattr(images, "dtype")


def _list(images: Any) -> list[Any]:
    if _is_pil(images):
        return [images]
    if isinstance(images, np.ndarray):
        images = images.ravel().tolist()
        return [os.fsdecode(entry) if isinstance(entry, bytes) else entry for entry in images]
    if isinstance(images, set | frozenset):
        return sorted(images, key=str)
    return list(images.to_list() if _is_column(images) else images)


def _is_iterable(images: Any) -> bool:
    """Whether it can be gone through, and holds no bytes, keys or columns."""
    return isinstance(images, Iterable) and not (
        isinstance(images, bytes | bytearray | Mapping | type) or hasattr(images, "iloc")
    )


def _is_dataset(images: Any) -> bool:
    """Whether items are got by number."""
    if isinstance(images, bytes | bytearray | Mapping | type) or hasattr(images, "iloc"):
        return False
    return hasattr(images, "__len__") and hasattr(images, "__getitem__") and "IterableDataset" not in _names(images)


def _is_collating(images: Any) -> bool:
    """Whether it is a loader that makes batches of the items."""
    alone = getattr(images, "batch_size", 1) is None and getattr(images, "batch_sampler", None) is None
    return not alone and any(name.endswith("Loader") for name in _names(images))


def _names(thing: Any) -> list[str]:
    return [kind.__name__ for kind in type(thing).__mro__]


def _fetched(dataset: Any, index: int) -> Any:
    with _named(dataset, index):
        return dataset[index]


def _each(images: Iterable[Any]) -> Iterator[Any]:
    entries = iter(images)
    for index in count():
        with _named(images, index):
            try:
                entry = next(entries)
            except StopIteration:
                return
        yield entry


@contextmanager
def _named(images: Any, index: int) -> Iterator[None]:
    """Whatever a source raises becomes an InvalidImageError with the number of the item; our own errors are left alone."""
    try:
        yield
    except (StainXformError, MemoryError):
        raise
    except Exception as error:
        raise InvalidImageError(
            f"item {index} of the {type(images).__name__} cannot be read ({type(error).__name__}: {error})"
        ) from error


def _is_file(item: Any, image_key: str) -> bool:
    """Whether the image of an item is a file."""
    if isinstance(item, Mapping):
        return is_path(item.get(image_key))
    return is_path(item[0] if isinstance(item, tuple | list) and item else item)


def _refusal(images: Any) -> str:
    if isinstance(images, Mapping):
        keys = ", ".join(map(str, list(images)[:5]))
        return f"expected {_TAKEN}, got a dictionary ({keys}); pass one of its values, and each center by itself"
    if hasattr(images, "iloc"):
        return f"expected {_TAKEN}, got a table; pass its column of paths"
    return f"expected {_TAKEN}, got {'the class ' + images.__name__ if isinstance(images, type) else type(images).__name__}"
