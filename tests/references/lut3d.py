"""Interpolation of 3D LUTs, one color at a time, in float64."""

from itertools import product

import numpy as np


def _cells(table, planes):
    """Lower node and fractions of each color."""
    last = len(table) - 1
    for color in planes.T:
        node = [min(int(value * last), last - 1) for value in color]
        yield node, [value * last - lower for value, lower in zip(color, node)]


def trilinear(table, planes):
    """Eight corners, each weighted by the volume opposite to it."""
    found = []
    for (i, j, k), (r, g, b) in _cells(table, planes):
        weights = [((1 - r, r)[x] * (1 - g, g)[y] * (1 - b, b)[z]) for x, y, z in product((0, 1), repeat=3)]
        corners = [table[i + x, j + y, k + z] for x, y, z in product((0, 1), repeat=3)]
        found.append(sum(weight * corner for weight, corner in zip(weights, corners)))
    return np.array(found).T


def tetrahedral(table, planes):
    """The six cases, written out."""
    found = []
    for (i, j, k), (r, g, b) in _cells(table, planes):
        c = {(x, y, z): table[i + x, j + y, k + z] for x, y, z in product((0, 1), repeat=3)}
        black, white = c[0, 0, 0], c[1, 1, 1]
        if r > g:
            if g > b:
                color = (1 - r) * black + (r - g) * c[1, 0, 0] + (g - b) * c[1, 1, 0] + b * white
            elif r > b:
                color = (1 - r) * black + (r - b) * c[1, 0, 0] + (b - g) * c[1, 0, 1] + g * white
            else:
                color = (1 - b) * black + (b - r) * c[0, 0, 1] + (r - g) * c[1, 0, 1] + g * white
        elif b > g:
            color = (1 - b) * black + (b - g) * c[0, 0, 1] + (g - r) * c[0, 1, 1] + r * white
        elif b > r:
            color = (1 - g) * black + (g - b) * c[0, 1, 0] + (b - r) * c[0, 1, 1] + r * white
        else:
            color = (1 - g) * black + (g - r) * c[0, 1, 0] + (r - b) * c[1, 1, 0] + b * white
        found.append(color)
    return np.array(found).T
