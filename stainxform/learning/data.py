"""What the trainers do with tiles: hold some out, cut windows, turn them, recognize them again."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np

from stainxform.errors import NotEnoughTissueError
from stainxform.io.sources import Tiles

__all__ = ["digest_of", "hold_out", "random_crop", "smallest_side", "some_of", "turn", "unit_planes", "window"]


def unit_planes(tile: np.ndarray) -> np.ndarray:
    """A uint8 tile ``(H, W, 3)`` as float32 planes ``(3, H, W)`` in [0, 1]."""
    return np.ascontiguousarray(np.moveaxis(tile, -1, 0), dtype=np.float32) / np.float32(255)


def turn(planes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One of the eight rotations and mirrorings of planes ``(3, H, W)``."""
    turned = np.rot90(planes, int(rng.integers(4)), axes=(1, 2))
    return np.ascontiguousarray(turned[:, :, ::-1] if rng.random() < 0.5 else turned)


def window(shape: Sequence[int], crop: int | None, rng: np.random.Generator | None) -> tuple[slice, slice]:
    """A random (or, without rng, the central) square of side ``crop``, as far as an image of ``shape`` reaches."""
    sides = [min(side, crop or side) for side in shape]
    room = [whole - side for whole, side in zip(shape, sides)]
    starts = [int(rng.integers(r + 1)) if rng else r // 2 for r in room]
    rows, columns = (slice(start, start + side) for start, side in zip(starts, sides))
    return rows, columns


def random_crop(tiles: Sequence[np.ndarray], crop: int, rng: np.random.Generator) -> np.ndarray:
    """A random square of a random tile, as float32 planes in [0, 1]."""
    tile = tiles[int(rng.integers(len(tiles)))]
    return unit_planes(tile[window(tile.shape[:2], crop, rng)])


def hold_out(count: int, fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Indices of the tiles to train on and of those to validate on.

    With a single tile, or a fraction of 0, all tiles serve for both.
    """
    order = [int(i) for i in np.random.default_rng((seed, 0)).permutation(count)]
    held = min(math.ceil(fraction * count), count - 1)
    return order[held:], order[:held] or order


def smallest_side(tiles: Sequence[np.ndarray], minimum: int, method: str) -> int:
    """Shortest side of all tiles, in pixels; NotEnoughTissueError if it is less than ``minimum``."""
    if isinstance(tiles, Tiles):
        shapes = [tiles.shape(i) for i in range(len(tiles))]
    else:
        shapes = [tile.shape[:2] for tile in tiles]
    height, width = min(shapes, key=min)
    if min(height, width) < minimum:
        raise NotEnoughTissueError(
            f"{method} learns from neighborhoods; a tile of {height}x{width} px is smaller than {minimum}x{minimum}"
        )
    return int(min(height, width))


def digest_of(tiles: Sequence[np.ndarray]) -> str:
    """SHA-256 over the pixels of all tiles, in order: what a checkpoint is recognized by."""
    if isinstance(tiles, Tiles):
        parts = [tiles.sha256(i) for i in range(len(tiles))]
    else:
        parts = [hashlib.sha256(tile.tobytes()).digest() for tile in tiles]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def some_of(tiles: Sequence[np.ndarray], indices: Sequence[int]) -> Sequence[np.ndarray]:
    """The tiles with these indices; of :class:`Tiles` none is decoded before it is asked for."""
    return tiles.subset(indices) if isinstance(tiles, Tiles) else [tiles[i] for i in indices]
