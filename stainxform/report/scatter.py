"""Color features of tiles as points on a plane: an SVG drawing."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

__all__ = ["COLORS", "SIDE", "color_of", "legend_mark", "limits_of", "scatter"]

SIDE = 320
"""Of the drawing, in CSS pixels."""

_MARGIN = 12
_MARKS = ("circle", "square", "triangle", "diamond", "cross")

COLORS = ("#4269d0", "#efb118", "#ff725c", "#3ca951", "#a463f2", "#9c6b4e", "#6cc5b0", "#97bbf5")
"""Of the centers, in their order; they repeat where there are more."""


def color_of(number: int) -> str:
    """The color of a center by its number."""
    return COLORS[number % len(COLORS)]


def limits_of(clouds: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper corner ``(2,)`` that hold all points ``(n, 2)``: axes that drawings share."""
    points = np.concatenate(clouds)
    low, high = points.min(0), points.max(0)
    return low, np.where(high > low, high, low + 1)


def scatter(
    points: np.ndarray, centers: Sequence[int], names: Sequence[str], limits: tuple[np.ndarray, np.ndarray]
) -> str:
    """An SVG element.

    Parameters
    ----------
    points : ndarray
        ``(n, 2)``.
    centers : sequence of int
        Number of the center of each point.
    names : sequence of str
        Names of the points, shown when the mouse is on them.
    limits : (ndarray, ndarray)
        Limits from :func:`limits_of`.
    """
    low, high = limits
    positions = _MARGIN + (points - low) / (high - low) * (SIDE - 2 * _MARGIN)
    positions[:, 1] = SIDE - positions[:, 1]
    marks = "".join(
        f'<g fill="{color_of(center)}"><title>{escape(name)}</title>{_mark(_MARKS[center % len(_MARKS)], x, y)}</g>'
        for (x, y), center, name in zip(positions.tolist(), centers, names)
    )
    return f'<svg class="scatter" viewBox="0 0 {SIDE} {SIDE}" role="img" aria-label="map of colors">{marks}</svg>'


def legend_mark(center: int) -> str:
    """The mark of a center by itself."""
    mark = _mark(_MARKS[center % len(_MARKS)], 7, 7)
    return f'<svg class="mark" viewBox="0 0 14 14" fill="{color_of(center)}" aria-hidden="true">{mark}</svg>'


def _mark(kind: str, x: float, y: float) -> str:
    if kind == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
    shapes = {
        "square": ((-3.5, -3.5), (3.5, -3.5), (3.5, 3.5), (-3.5, 3.5)),
        "triangle": ((0, -4.5), (4.5, 3.5), (-4.5, 3.5)),
        "diamond": ((0, -5), (5, 0), (0, 5), (-5, 0)),
        "cross": ((-1.5, -5), (1.5, -5), (1.5, -1.5), (5, -1.5), (5, 1.5), (1.5, 1.5), (1.5, 5), (-1.5, 5), (-1.5, 1.5),
                  (-5, 1.5), (-5, -1.5), (-1.5, -1.5)),
    }  # fmt: skip
    corners = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in shapes[kind])
    return f'<polygon points="{corners}"/>'
