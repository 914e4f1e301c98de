"""The same tiles as a user may have them: files, arrays, PIL images, Datasets, loaders, columns of a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stainxform.testing.images import memory_layouts

__all__ = ["SOURCES", "Items", "Source"]

Source = Callable[[Sequence[np.ndarray], Path], Any]
"""From uint8 tiles ``(H, W, 3)`` of one size, and an empty folder, to what holds the same tiles in the same order."""


class Items(Sequence[Any]):
    """The protocol of Datasets, a length and items; ``asked`` are the numbers of the items that were asked for."""

    def __init__(self, items: Sequence[Any]):
        self.items, self.asked = items, list[int]()

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: Any) -> Any:
        self.asked.append(index)
        return self.items[index]


class Column:
    """A column of a table, numbered by something else than positions, as pandas has it after a selection."""

    dtype = "object"

    def __init__(self, values: Sequence[Any]):
        self._values = {10 * number: value for number, value in enumerate(values)}

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, label: int) -> Any:
        return self._values[label]

    def to_list(self) -> list[Any]:
        """Its values."""
        return list(self._values.values())


class Stored:
    """An array that lies on a disk, as of HDF5: rows are read when they are asked for."""

    def __init__(self, array: np.ndarray):
        self._array, self.shape, self.dtype = array, array.shape, array.dtype

    def __getitem__(self, index: Any) -> Any:
        return self._array[index]


def _files(tiles: Sequence[np.ndarray], folder: Path, suffix: str = ".png") -> list[Path]:
    from PIL import Image

    found = [folder / f"{number:04d}{suffix}" for number in range(len(tiles))]
    for path, tile in zip(found, tiles):
        Image.fromarray(tile).save(path, lossless=True)
    return found


def _folder(tiles: Sequence[np.ndarray], folder: Path) -> Path:
    _files(tiles, folder)
    return folder


def _linked(tiles: Sequence[np.ndarray], folder: Path) -> Path:
    real, links = folder / "real", folder / "links"
    real.mkdir()
    links.mkdir()
    _files(tiles, real)
    (links / "to").symlink_to(real, target_is_directory=True)
    return links


def _memmap(tiles: Sequence[np.ndarray], folder: Path) -> np.ndarray:
    np.save(folder / "tiles.npy", np.stack(tiles))
    return np.asanyarray(np.load(folder / "tiles.npy", mmap_mode="r"))


def _pil(tiles: Sequence[np.ndarray]) -> list[Any]:
    from PIL import Image

    return [Image.fromarray(tile) for tile in tiles]


def _first(tiles: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [np.moveaxis(tile, -1, 0) for tile in tiles]


def _tensors(tiles: Sequence[np.ndarray]) -> list[Any]:
    import torch

    return [torch.from_numpy(np.ascontiguousarray(tile)) for tile in _first(tiles)]


def _loader(items: Sequence[Any], **options: Any) -> Any:
    from torch.utils.data import DataLoader

    return DataLoader(items, **{"batch_size": 2, **options})  # type: ignore[arg-type]


def _iterable(tiles: Sequence[np.ndarray]) -> Any:
    from torch.utils.data import IterableDataset

    class Stream(IterableDataset[Any]):
        def __iter__(self) -> Any:
            return iter(_tensors(tiles))

    return Stream()


def _tensor_dataset(tiles: Sequence[np.ndarray]) -> Any:
    import torch
    from torch.utils.data import TensorDataset

    return TensorDataset(torch.stack(_tensors(tiles)), torch.zeros(len(tiles)))


def _monai(tiles: Sequence[np.ndarray], cached: bool) -> Any:
    from monai.data import CacheDataset, Dataset, MetaTensor  # type: ignore[attr-defined]

    items = [{"image": MetaTensor(tensor), "label": 1} for tensor in _tensors(tiles)]
    return CacheDataset(items, lambda item: item, progress=False) if cached else Dataset(items)


def _pairs(tiles: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [np.stack(tiles[start : start + 2]) for start in range(0, len(tiles), 2)]


def _zarr(tiles: Sequence[np.ndarray]) -> Any:
    import zarr

    return zarr.array(np.stack(tiles))


SOURCES: dict[str, Source] = {
    "folder": _folder,
    "folder of links": _linked,
    "folder as text": lambda tiles, folder: str(_folder(tiles, folder)),
    "glob": lambda tiles, folder: f"{_folder(tiles, folder)}/*.png",
    "deep glob": lambda tiles, folder: f"{_linked(tiles, folder)}/**/*.png",
    "glob of folders": lambda tiles, folder: f"{_linked(tiles, folder)}/*",
    "webp": lambda tiles, folder: _files(tiles, folder, ".webp"),
    "files": _files,
    "files as an array": lambda tiles, folder: np.array(list(map(str, _files(tiles, folder)))),
    "files as an array of objects": lambda tiles, folder: np.array(_files(tiles, folder), object),
    "files as a column": lambda tiles, folder: Column(_files(tiles, folder)),
    "files one by one": lambda tiles, folder: iter(_files(tiles, folder)),
    "files as a set": lambda tiles, folder: set(_files(tiles, folder)),
    "files and labels": lambda tiles, folder: Items([(path, 0) for path in _files(tiles, folder)]),
    "dictionaries of files": lambda tiles, folder: [{"image": str(path)} for path in _files(tiles, folder)],
    "list": lambda tiles, folder: list(tiles),
    "tuple": lambda tiles, folder: tuple(tiles),
    "generator": lambda tiles, folder: iter(tiles),
    "batch": lambda tiles, folder: np.stack(tiles),
    "batches": lambda tiles, folder: _pairs(tiles),
    "batches one by one": lambda tiles, folder: iter(_pairs(tiles)),
    "list of lists": lambda tiles, folder: [list(pair) for pair in _pairs(tiles)],
    "list of lists of files": lambda tiles, folder: [_files(tiles, folder)[:1], _files(tiles, folder)[1:]],
    "array of arrays": lambda tiles, folder: np.stack(tiles)[None],
    "memory map": _memmap,
    "array on a disk": lambda tiles, folder: Stored(np.stack(tiles)),
    "zarr": lambda tiles, folder: _zarr(tiles),
    "channels first": lambda tiles, folder: _first(tiles),
    "batch, channels first": lambda tiles, folder: np.stack(_first(tiles)),
    "float16": lambda tiles, folder: [(tile / 255).astype("<f2") for tile in tiles],
    "big-endian": lambda tiles, folder: [(tile / 255).astype(">f4") for tile in tiles],
    "float64": lambda tiles, folder: np.stack(tiles) / 255,
    **{
        name: lambda tiles, folder, name=name: [memory_layouts(tile)[name] for tile in tiles]  # type: ignore[misc]
        for name in ("transposed", "strided", "negative strides", "read-only")
    },
    "PIL": lambda tiles, folder: _pil(tiles),
    "PIL with alpha": lambda tiles, folder: [image.convert("RGBA") for image in _pil(tiles)],
    "ImageFolder": lambda tiles, folder: Items([(image, 0) for image in _pil(tiles)]),
    "Hugging Face": lambda tiles, folder: Items([{"image": image, "label": 0} for image in _pil(tiles)]),
    "Dataset": lambda tiles, folder: Items(tiles),
    "Dataset of pairs": lambda tiles, folder: Items([(tile, tile[::-1]) for tile in tiles]),
    "Dataset of batches": lambda tiles, folder: Items([{"image": pair} for pair in _pairs(tiles)]),
    "Dataset of lists": lambda tiles, folder: Items([[{"image": tile} for tile in pair] for pair in _pairs(tiles)]),
    "tensors": lambda tiles, folder: _tensors(tiles),
    "tensors, channels last": lambda tiles, folder: [tensor.movedim(0, -1) for tensor in _tensors(tiles)],
    "TensorDataset": lambda tiles, folder: _tensor_dataset(tiles),
    "IterableDataset": lambda tiles, folder: _iterable(tiles),
    "DataLoader": lambda tiles, folder: _loader(_tensors(tiles)),
    "DataLoader of tuples": lambda tiles, folder: _loader([(tensor, 0) for tensor in _tensors(tiles)]),
    "DataLoader of pairs": lambda tiles, folder: _loader([(tensor, tensor + 1) for tensor in _tensors(tiles)]),
    "DataLoader of dictionaries": lambda tiles, folder: _loader([{"image": one} for one in _tensors(tiles)]),
    "DataLoader of files": lambda tiles, folder: _loader([(str(path), 0) for path in _files(tiles, folder)]),
    "DataLoader of PIL": lambda tiles, folder: _loader([(one, 0) for one in _pil(tiles)], collate_fn=list),
    "DataLoader without batches": lambda tiles, folder: _loader([(one, 0) for one in _tensors(tiles)], batch_size=None),
    "zipped by a DataLoader": lambda tiles, folder: _loader(
        [(one, {"boxes": 0}) for one in _tensors(tiles)], collate_fn=lambda batch: tuple(zip(*batch))
    ),
    "zipped by a DataLoader, as lists": lambda tiles, folder: _loader(
        [(one, 0) for one in tiles], collate_fn=lambda batch: [list(part) for part in zip(*batch)]
    ),
    "what a DataLoader gave": lambda tiles, folder: list(_loader([(tensor, 0) for tensor in _tensors(tiles)])),
    "MONAI": lambda tiles, folder: _monai(tiles, cached=False),
    "MONAI, cached": lambda tiles, folder: _monai(tiles, cached=True),
}
"""The sources by name. Some need torch, MONAI or zarr: they raise ImportError without."""
