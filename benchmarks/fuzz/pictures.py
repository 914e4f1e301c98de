"""Images as users hold them, drawn at random: tissue, blank, ink, noise; any size, dtype, range, memory; and wrong ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from subjects import tiles

from stainxform.testing.corruptions import PENS, folded, one_stain, overexposed, saturated, with_strokes
from stainxform.testing.images import he_image, in_range

Rng = np.random.Generator

RANGES = ((0.0, 1.0), (0.0, 255.0), (-1.0, 1.0), (0.0, 65535.0), (-0.5, 0.25))


@dataclass(frozen=True)
class Picture:
    """Images in one dtype and range; ``pixels`` is ``(H, W, 3)`` or, a batch, ``(N, H, W, 3)``, contiguous."""

    pixels: np.ndarray
    value_range: tuple[float, float]
    poison: str = ""
    """What was put in that must be refused: "nan", "inf", "outside"; "" for nothing."""

    @property
    def is_batch(self) -> bool:
        return self.pixels.ndim == 4


def side(rng: Rng) -> int:
    """Mostly small, sometimes 0 or 1, seldom hundreds."""
    return int(rng.choice([0, 1, rng.integers(2, 8), rng.integers(8, 40), rng.integers(40, 97), rng.integers(97, 300)],
                          p=[0.01, 0.04, 0.1, 0.4, 0.42, 0.03]))  # fmt: skip


def pixels(rng: Rng) -> np.ndarray:
    """uint8 ``(H, W, 3)``."""
    height, width = side(rng), side(rng)
    kinds: tuple[Callable[[], Any], ...] = (
        lambda: he_image(int(rng.integers(1 << 30)), height, width),
        lambda: _crop(rng, height, width),
        lambda: _crop(rng, height, width),
        lambda: _crop(rng, height, width),
        lambda: with_strokes(_crop(rng, height, width), PENS[str(rng.choice(list(PENS)))], int(rng.integers(1, 36))),
        lambda: folded(_crop(rng, height, width), float(rng.uniform(0.1, 0.9))) if width else _crop(rng, height, width),
        lambda: saturated(_crop(rng, height, width), float(rng.uniform(1, 10))),
        lambda: overexposed(_crop(rng, height, width), float(rng.uniform(0.1, 3))),
        lambda: np.full((height, width, 3), rng.integers(0, 256)),
        lambda: np.full((height, width, 3), rng.choice([0, 255, 245])),
        lambda: np.broadcast_to(rng.integers(0, 256, 3), (height, width, 3)),
        lambda: rng.integers(0, 256, (height, width, 3)),
        lambda: rng.integers(0, 256, (3, 3))[rng.integers(0, 3, (height, width))],
        lambda: rng.choice([0, 255], (height, width, 3)),
        lambda: np.repeat(rng.integers(0, 256, (height, width, 1)), 3, axis=-1),
        lambda: np.clip(rng.integers(0, 256, 3) + rng.integers(-1, 2, (height, width, 3)), 0, 255),
        lambda: _some_tissue(rng, height, width),
        lambda: np.resize(one_stain(16), (height, width, 3)),
    )
    return np.ascontiguousarray(kinds[rng.integers(len(kinds))](), np.uint8)


def _crop(rng: Rng, height: int, width: int) -> np.ndarray:
    center = tiles()[int(rng.integers(2))]
    tile = center[rng.integers(len(center))]
    rows, columns = (np.arange(size) + rng.integers(96) for size in (height, width))
    return tile[rows % 96][:, columns % 96]


def _some_tissue(rng: Rng, height: int, width: int) -> np.ndarray:
    """Glass with a few pixels of tissue: at the border of what counts as blank."""
    image = np.full((height, width, 3), 244, np.uint8)
    flat = image.reshape(-1, 3)
    count = min(int(rng.integers(20, 60)), len(flat))
    flat[:count] = _crop(rng, 8, 8).reshape(-1, 3)[:count]
    return image


def picture(rng: Rng) -> Picture:
    """One image, or a batch of up to three of one size."""
    first = pixels(rng)
    count = int(rng.choice([0, 0, 0, 1, 2, 3]))
    if count:
        others = [first, *(np.resize(pixels(rng), first.shape) for _ in range(count - 1))]
        first = np.stack(others)
    dtype = str(rng.choice(["uint8", "float32", "float64", "float16"], p=[0.5, 0.25, 0.15, 0.1]))
    value_range = RANGES[int(rng.choice(len(RANGES), p=[0.6, 0.15, 0.15, 0.05, 0.05]))]
    if dtype == "float16" and value_range[1] > 1000:
        value_range = (0.0, 1.0)
    values = in_range(first, dtype, value_range)
    if dtype == "uint8":
        return Picture(values, value_range)
    values = np.ascontiguousarray(values)
    if values.size and rng.random() < 0.3:  # between the levels, as after interpolation
        low, high = value_range
        noise = rng.normal(0, 0.01 * (high - low), values.shape)
        values = np.clip(values + noise, low - 0.2 * (high - low), high + 0.2 * (high - low)).astype(dtype)
    if values.size and rng.random() < 0.1:
        return Picture(*_poisoned(values, value_range, rng))
    return Picture(values, value_range)


def _poisoned(values: np.ndarray, value_range: tuple[float, float], rng: Rng) -> tuple[np.ndarray, Any, str]:
    kind = str(rng.choice(["nan", "inf", "outside"]))
    low, high = value_range
    poison = {"nan": np.nan, "inf": float(rng.choice([-1, 1])) * np.inf, "outside": high + 3 * (high - low)}[kind]
    values = values.copy()
    values.reshape(-1)[rng.integers(values.size)] = poison
    return values, value_range, kind


def in_memory(array: np.ndarray, rng: Rng, numpy: bool = True) -> np.ndarray:
    """The same values laid out otherwise in memory; torch has no negative strides and no read-only memory."""
    kinds = ["contiguous", "contiguous", "fortran", "strided", "swapped"]
    kind = str(rng.choice([*kinds, "backwards", "frozen", "unaligned"] if numpy else kinds))
    if kind == "fortran":
        return np.asfortranarray(array)
    if kind == "swapped":
        return np.ascontiguousarray(array.swapaxes(-1, -2)).swapaxes(-1, -2)
    if kind == "strided":
        wide = np.zeros([2 * length for length in array.shape], array.dtype)
        view = wide[(slice(None, None, 2),) * array.ndim]
        view[...] = array
        return view
    if kind == "backwards":
        turned = (slice(None, None, -1),) * array.ndim
        return array[turned].copy()[turned]
    if kind == "unaligned":
        memory = np.empty(array.nbytes + 1, np.uint8)[1:]
        view = memory.view(array.dtype).reshape(array.shape)
        view[...] = array
        return view
    copied = array.copy()
    copied.setflags(write=kind != "frozen")
    return copied


def wrong(rng: Rng) -> Any:
    """What is no RGB image that we take; to be refused, or, where it is one after all, normalized."""
    height, width = side(rng), side(rng)
    tile = _crop(rng, height, width)
    kinds: tuple[Callable[[], Any], ...] = (
        lambda: tile[..., 0],
        lambda: tile[..., :1],
        lambda: np.concatenate([tile, tile[..., :1]], axis=-1),
        lambda: tile[..., :2],
        lambda: tile[None, None],
        lambda: np.zeros(3, np.uint8),
        lambda: np.uint8(7),
        lambda: tile.astype(
            rng.choice(["int16", "uint16", "int8", "int32", "int64", "bool", "complex64", "object", "S3", "U2"])
        ),
        lambda: (tile / 255).astype(rng.choice([">f4", ">f8", ">f2", "longdouble", "m8[s]"])),
        lambda: tile.astype(np.float32),  # 0..255 where 0..1 is said
        lambda: (tile / 255).astype(np.float32) / 255,
        lambda: tile.tolist(),
        lambda: None,
        lambda: "tile.png",
        lambda: {"image": tile},
        lambda: [tile, tile],
        lambda: np.ma.masked_array(tile, tile > 200),
        lambda: memoryview(np.ascontiguousarray(tile)),
    )
    return kinds[rng.integers(len(kinds))]()
