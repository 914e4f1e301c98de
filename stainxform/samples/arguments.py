"""The arguments that several functions take, checked."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import SupportsIndex

import numpy as np

from stainxform.errors import ParameterError

__all__ = ["Seed", "Size", "count_of", "generator_of", "height_width"]

Seed = int | Sequence[int]
Size = int | tuple[int, int]


def count_of(n: int) -> int:
    """A number of tiles; ParameterError for what is none."""
    if not isinstance(n, SupportsIndex) or operator.index(n) < 0:
        raise ParameterError(f"n must be an integer >= 0, not {n!r}.")
    return operator.index(n)


def height_width(size: Size) -> tuple[int, int]:
    """(height, width) of a size; ParameterError for what is none."""
    try:
        height, width = map(operator.index, (size, size) if isinstance(size, SupportsIndex) else size)
    except (TypeError, ValueError):
        height = width = 0
    if min(height, width) < 1:
        raise ParameterError(f"size must be an integer >= 1 or (height, width) of such, not {size!r}.")
    return height, width


def generator_of(seed: Seed) -> np.random.Generator:
    """Random numbers of a seed; ParameterError for what is none."""
    try:
        if seed is None:
            raise TypeError("None would give different tissue every time")
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"seed must be an integer >= 0 or a sequence of such, not {seed!r}.") from error
