"""3D lookup tables as ``.cube`` files, for other viewers and editors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from stainxform.color.interpolation import Interpolation
from stainxform.errors import ModelFileError, ParameterError
from stainxform.io.atomic import atomic_write
from stainxform.maps.lut3d import MAX_NODES, UNIT, Domain, Lut3DMap

__all__ = ["read_cube", "write_cube"]

_MAX_BYTES = 1 << 30
_LONGEST_TITLE = 240


def write_cube(path: str | Path, lut: Lut3DMap, title: str = "stainxform") -> None:
    """Write a table as an Adobe/Resolve ``.cube`` file, with 8 decimals, atomically.

    Parameters
    ----------
    path : str or Path
        Usually ends in ``.cube``.
    lut : Lut3DMap
        A table of any size; many programs read at most 65 nodes. The format says nothing of interpolation.
    title : str, optional
        Shown by some programs; printable ASCII without quotes.

    Raises
    ------
    ParameterError
        A title that the format cannot hold, or a table that is not finite.
    """
    if not (title.isascii() and title.isprintable()) or '"' in title or len(title) > _LONGEST_TITLE:
        raise ParameterError(f"the title must be printable ASCII without quotes, of at most 240 characters: {title!r}")
    if not np.isfinite(lut.table).all():
        raise ParameterError("the table holds NaN or infinite values and cannot be written")
    low, high = (" ".join(f"{value:.8f}" for value in corner) for corner in lut.domain)
    head = f'TITLE "{title}"\nLUT_3D_SIZE {lut.nodes}\nDOMAIN_MIN {low}\nDOMAIN_MAX {high}\n'
    slabs = ("".join(map("%.8f %.8f %.8f\n".__mod__, _rows(lut.table[:, :, blue]))) for blue in range(lut.nodes))
    atomic_write(path, b"".join(text.encode() for text in chain([head], slabs)))


def _rows(slab: np.ndarray) -> Iterator[tuple[float, ...]]:
    """Colors of one blue ``(red, green, 3)`` in the order of the file: red changes fastest."""
    return map(tuple, slab.swapaxes(0, 1).reshape(-1, 3).tolist())


def read_cube(path: str | Path, interpolation: Interpolation = "tetrahedral") -> Lut3DMap:
    """Read an Adobe/Resolve ``.cube`` file.

    Raises
    ------
    ModelFileError
        A file that is missing, truncated, of one dimension, too large or no ``.cube`` file.
    """
    try:
        if Path(path).stat().st_size > _MAX_BYTES:
            raise ValueError("it is larger than a table can be")
        with open(path, encoding="utf-8-sig") as file:
            table, domain = _parse(file)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ModelFileError(f"cannot read {path} as a 3D .cube file ({reason}); export it again") from error
    return Lut3DMap(table, interpolation, domain)


def _parse(file: Iterable[str]) -> tuple[np.ndarray, Domain]:
    """Header, then one color a line; ValueError for anything else."""
    lines = (line for line in file if line.strip() and not line.lstrip().startswith("#"))
    nodes, low, high, color = 0, *UNIT, ""
    for line in lines:
        keyword, *values = line.split()
        if keyword == "LUT_3D_SIZE":
            nodes = int(" ".join(values))
        elif keyword == "LUT_3D_INPUT_RANGE":
            first, last = map(float, values)
            low, high = (first,) * 3, (last,) * 3
        elif keyword in ("DOMAIN_MIN", "DOMAIN_MAX"):
            red, green, blue = map(float, values)
            low, high = ((red, green, blue), high) if keyword == "DOMAIN_MIN" else (low, (red, green, blue))
        elif keyword != "TITLE":
            color = line
            break
    if not 2 <= nodes <= MAX_NODES:
        raise ValueError(f"LUT_3D_SIZE is missing or not from 2 to {MAX_NODES}")
    if not all(-np.inf < first < last < np.inf for first, last in zip(low, high)):
        raise ValueError(f"its domain is empty: {low} to {high}")
    if not color:
        raise ValueError("it holds no colors")
    rows = np.loadtxt(chain([color], lines), np.float32, comments=None, ndmin=2, max_rows=nodes**3 + 1)
    if rows.shape[1] != 3:
        raise ValueError(f"its colors have {rows.shape[1]} values, not 3")
    if len(rows) != nodes**3:
        count = "more" if len(rows) > nodes**3 else len(rows)
        raise ValueError(f"it holds {count} colors, not the {nodes**3} of {nodes} nodes")
    if not np.isfinite(rows).all():
        raise ValueError("it holds NaN or infinite values")
    channels = np.ascontiguousarray(rows.T).reshape(3, nodes, nodes, nodes)  # blue, green, red
    return np.moveaxis(channels.swapaxes(1, 3), 0, -1), (low, high)
