"""The bytes of a BigTIFF: its header, and directories of tags (little-endian, 64-bit offsets)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

__all__ = ["FIRST_DIRECTORY", "HEADER", "Tag", "directory", "rational"]

HEADER = struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0)
FIRST_DIRECTORY = 8
"""Where in the header the offset of the first directory stands."""

BYTES, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, LONG8, IFD8 = 1, 2, 3, 4, 5, 7, 16, 18
_FORMATS = {SHORT: "<u2", LONG: "<u4", LONG8: "<u8", IFD8: "<u8"}


class Tag(NamedTuple):
    """One entry of a directory; ``value`` is bytes for ASCII and UNDEFINED, Fractions for RATIONAL, else integers."""

    code: int
    type: int
    value: bytes | Sequence[int] | Sequence[Fraction] | np.ndarray


def directory(tags: Sequence[Tag], offset: int, following: int = 0) -> bytes:
    """A directory to be stored at ``offset``, its values behind it; ``following``: where the next one is."""
    entries, values = [], b""
    values_at = offset + 8 + 20 * len(tags) + 8
    for tag in sorted(tags):
        count, data = _packed(tag)
        if len(data) <= 8:
            entries.append(struct.pack("<HHQ8s", tag.code, tag.type, count, data))
        else:
            entries.append(struct.pack("<HHQQ", tag.code, tag.type, count, values_at + len(values)))
            values += data + bytes(-len(data) % 8)
    return struct.pack("<Q", len(tags)) + b"".join(entries) + struct.pack("<Q", following) + values


def _packed(tag: Tag) -> tuple[int, bytes]:
    if isinstance(tag.value, bytes):
        data = tag.value + b"\0" if tag.type == ASCII else tag.value
        return len(data), data
    if tag.type == RATIONAL:
        pairs = [int(part) for value in tag.value for part in (value.numerator, value.denominator)]
        return len(tag.value), struct.pack(f"<{len(pairs)}I", *pairs)
    return len(tag.value), np.asarray(tag.value, _FORMATS[tag.type]).tobytes()


def rational(value: float) -> Fraction:
    """The fraction of two 32-bit numbers nearest to a positive value, nearly."""
    largest = (1 << 32) - 1
    denominator = max(1, min(largest, int(largest / max(value, 1.0))))
    return Fraction(value).limit_denominator(denominator)
