"""Rules that every result is held to."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from faults import Fault, documented

from stainxform._optional import is_tensor
from stainxform.errors import StainXformWarning
from stainxform.image.layout import as_numpy

COLORS = 32
"""An image with fewer distinct colors may be a fixed point of a map."""

LAST_BITS = 0.01
"""8-bit levels by which floats may depend on how they lie in memory: compiled kernels, and numpy for what is not aligned."""


@contextmanager
def only_our_warnings(overflow: bool = False) -> Iterator[None]:
    """A warning of numpy is a division by zero that nobody meant: an error. Ours, and those of hosts, are none.

    ``overflow``: infinite values and NaN on the way are none either, as models of hostile numbers have them; in the result
    they are.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", category=RuntimeWarning)
        warnings.filterwarnings("ignore", category=StainXformWarning)
        if overflow:
            warnings.filterwarnings(
                "ignore",
                message="(divide by zero|overflow|invalid value encountered in (?!cast))",
                category=RuntimeWarning,
            )
        yield


def attempt(function: Callable[[], Any], overflow: bool = False) -> tuple[Any, BaseException | None]:
    """The result of a function, or the documented error it ended with; any other goes on."""
    try:
        with only_our_warnings(overflow):
            return function(), None
    except Exception as error:
        if not documented(error):
            raise
        return None, error


def snapshot(image: Any) -> bytes:
    """What an image holds, to see later whether it was written to."""
    if is_tensor(image):
        return as_numpy(image).tobytes()
    return image.tobytes() if isinstance(image, np.ndarray) and image.dtype != object else repr(image).encode()


@dataclass(frozen=True)
class Where:
    """What an image went through: faults are told apart by the host, and name the subject."""

    host: str
    subject: str

    def broken(self, rule: str, details: str = "") -> Fault:
        """A fault at this place."""
        return Fault(f"{rule}: {self.host}", f"{self.subject} {details}".strip())


def check_kind(result: Any, image: Any, where: Where) -> None:
    """Type, dtype and shape come back."""
    if type(result) is not type(image) or result.dtype != image.dtype or tuple(result.shape) != tuple(image.shape):
        raise where.broken("another kind comes back",
                    f"{type(image).__name__} {image.dtype} {tuple(image.shape)} -> "
                    f"{type(result).__name__} {getattr(result, 'dtype', '')} {getattr(result, 'shape', '')}")  # fmt: skip


def check_values(result: np.ndarray, image: np.ndarray, value_range: tuple[float, float], where: Where) -> None:
    """Each of ``(N, H, W, 3)`` is finite and within the range, unless it is kept as it was."""
    if result.dtype == np.uint8 or not result.size:
        return
    low, high = value_range
    slack = 4 * float(np.finfo(result.dtype).eps) * max(abs(low), abs(high))
    for found, one in zip(result, image):
        if not np.isfinite(found).all():
            raise where.broken("NaN or infinite values")
        if (found.min() < low - slack or found.max() > high + slack) and not np.array_equal(found, one):
            raise where.broken("outside the range", f"{found.min()}..{found.max()} of {value_range}")


def check_same(
    result: np.ndarray, wanted: np.ndarray, levels: float, value_range: tuple[float, float], where: Where
) -> None:
    """Equal: uint8 but for so many levels, floats also but for their last bits."""
    if result.shape != wanted.shape:
        raise where.broken("differs from numpy, alone", f"{result.shape} and {wanted.shape}")
    if np.array_equal(result, wanted):
        return
    scale = 255.0 if result.dtype == np.uint8 else value_range[1] - value_range[0]
    off = np.abs(result.astype(np.float64) - wanted.astype(np.float64)).max() / scale * 255
    last_bits = 0.0 if result.dtype == np.uint8 else max(LAST_BITS, 512 * float(np.finfo(result.dtype).eps))
    if not off <= max(levels, last_bits):
        raise where.broken("differs from numpy, alone", f"by {off:.3g} levels, {result.dtype} {result.shape}")


def check_input(image: Any, before: bytes, where: Where) -> None:
    """The input was not written to."""
    if snapshot(image) != before:
        raise where.broken("the input was written to")


def passed_through(result: np.ndarray, image: np.ndarray) -> bool:
    """Whether an image of many colors came back as it was."""
    if not image.size or not np.array_equal(result, image):
        return False
    return len(np.unique(image.reshape(-1, 3), axis=0)) > COLORS
