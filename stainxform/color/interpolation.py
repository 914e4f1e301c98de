"""Interpolation between the nodes of a regular grid, for numpy and torch alike.

A grid of any number of axes is flat, the last axis changing fastest: ``nodes[index]`` reads the values ``(C, ...)`` at
flat indices. A position is the index of the lowest corner of its cell, a fraction along each axis and each axis's
stride.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product
from typing import Any, Literal, Protocol

from stainxform.color import Planes, as_index, namespace

__all__ = ["Interpolation", "Nodes", "blend", "corners", "edges", "locate", "multilinear", "tetrahedral", "tetrahedron"]

Interpolation = Literal["tetrahedral", "trilinear"]


class Nodes(Protocol):
    """Values at the nodes of a grid."""

    def __getitem__(self, index: Any) -> Planes:
        """The values ``(C, ...)`` at flat indices ``(...)``."""


def locate(coordinate: Any, nodes: int, low: float = 0.0, high: float = 1.0) -> tuple[Any, Any]:
    """The lower node of the cell that holds a coordinate, and the fraction within it.

    ``low`` and ``high`` are the coordinates of the first and the last of the nodes; what lies outside is clamped, and
    the upper end belongs to the last cell. At NaN the fraction is NaN.
    """
    xp, last = namespace(coordinate), nodes - 1
    position = xp.clip((coordinate - low) * (last / (high - low)), 0, last)
    cell = xp.clip(xp.floor(position), 0, last - 1)
    return as_index(cell), position - cell


def corners(nodes: Nodes, index: Any, strides: Sequence[int]) -> list[Planes]:
    """Values at the 2^n corners of the cell, the last axis changing fastest."""
    return [nodes[index + sum(offset)] for offset in product(*((0, stride) for stride in strides))]


def blend(values: list[Planes], fractions: Sequence[Any]) -> Planes:
    """Linear along the last axis, then the one before, ... to the first."""
    for fraction in reversed(fractions):
        values = [low + fraction * (high - low) for low, high in zip(values[::2], values[1::2])]
    return values[0]


def multilinear(nodes: Nodes, index: Any, fractions: Sequence[Any], strides: Sequence[int]) -> Planes:
    """Between all corners of the cell: trilinear on three axes, quadrilinear on four."""
    return blend(corners(nodes, index, strides), fractions)


def edges(fractions: Sequence[Any], strides: Sequence[int]) -> tuple[Any, Any]:
    """The axes of the largest and of the smallest of three fractions, as strides; of equal ones the first and last."""
    xp = namespace(fractions[0])
    (r, g, b), (red, green, blue) = fractions, strides
    highest, lowest = xp.maximum(xp.maximum(r, g), b), xp.minimum(xp.minimum(r, g), b)
    first = xp.where(r == highest, red, xp.where(g == highest, green, blue))
    return first, xp.where(b == lowest, blue, xp.where(g == lowest, green, red))


def tetrahedron(nodes: Nodes, index: Any, fractions: Sequence[Any], strides: Sequence[int]) -> list[Planes]:
    """The four corners from the lowest of the cell to its highest, along the axis of the largest fraction first."""
    first, third = edges(fractions, strides)
    return [nodes[i] for i in (index, index + first, index + sum(strides) - third, index + sum(strides))]


def tetrahedral(nodes: Nodes, index: Any, fractions: Sequence[Any], strides: Sequence[int]) -> Planes:
    """Along the edges of the cell from its lowest to its highest corner, the axis of the largest fraction first.

    Kasson et al., "Performing color space conversions with three-dimensional linear interpolation", J. Electronic
    Imaging 4(3), 1995. Where two fractions are equal, any order of their axes gives the same color.
    """
    xp = namespace(fractions[0])
    r, g, b = fractions
    highest, lowest = xp.maximum(xp.maximum(r, g), b), xp.minimum(xp.minimum(r, g), b)
    middle = xp.maximum(xp.minimum(r, g), xp.minimum(xp.maximum(r, g), b))
    values = tetrahedron(nodes, index, fractions, strides)
    steps = [high - low for low, high in pairwise(values)]
    return values[0] + highest * steps[0] + middle * steps[1] + lowest * steps[2]
