"""A smooth map of colors, and its fit to pairs of colors: what another map, or a network, makes of tissue, as one formula."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from itertools import combinations_with_replacement
from operator import mul

import numpy as np

from stainxform.color import Planes, mix, namespace
from stainxform.errors import ParameterError
from stainxform.image.moments import sum_in_any_order
from stainxform.image.tissue import tissue_weight
from stainxform.image.tissue_color import DENSITY
from stainxform.maps.base import ColorMap

__all__ = ["RIDGE", "PolynomialFit", "PolynomialMap"]

_TERMS = list(combinations_with_replacement(range(4), 3))
"""The 20 products of three of (1, x, y, z), in any order: all monomials of degree 3 and less."""

_MIDDLE, _UNIT = 0.5, 0.5
"""Densities are summed up as multiples of ``_UNIT`` from ``_MIDDLE``, where tissue is, so that no digits are lost."""

_BLOCK = 1 << 14
"""Colors that are summed up at once: their terms stay in a core's cache."""

REACH = 3.0
"""Standard deviations from the mean color up to which the polynomial is believed."""

LARGEST_MOVE = 4.0
"""No color is moved further than this many times the root mean square by which the fitted ones were."""

FLOOR = 0.02
"""Standard deviation, in optical density, that colors are taken to have at least, in any direction."""

RIDGE = 1e-3
"""Weight of the penalty on the coefficients: as if so many of the colors, one in a thousand, had not moved."""


def _terms(planes: Planes) -> list[Planes]:
    """The 20 monomials of three planes; the first is the number 1."""
    return [reduce(mul, [planes[i - 1] for i in chosen if i] or [1.0]) for chosen in _TERMS]


@dataclass(frozen=True, eq=False)
class PolynomialMap(ColorMap):
    """Adds a polynomial of degree 3 of a color's optical density to that density; glass stays as it is.

    The polynomial is one of ``z = scale @ (OD - center)``. Beyond ``reach`` from the center, z is drawn back to that
    radius: colors out there are moved like the nearest ones within, not by what a cubic does far from its data.

    Parameters
    ----------
    coefficients : ndarray
        Float64 ``(3, 20)``, in optical density, natural log: rows red, green, blue; columns the products of three of
        (1, z0, z1, z2) in lexicographic order. Zeros are the identity.
    center : ndarray
        Float64 ``(3,)``, optical density.
    scale : ndarray
        Float64 ``(3, 3)``.
    reach : float
        Largest length of z.
    limit : float
        No color is moved further, in optical density.

    Raises
    ------
    ParameterError
        Numbers of another shape, or not finite.
    """

    coefficients: np.ndarray
    center: np.ndarray
    scale: np.ndarray
    reach: float = REACH
    limit: float = np.inf

    def __post_init__(self) -> None:
        for name, shape in (("coefficients", (3, len(_TERMS))), ("center", (3,)), ("scale", (3, 3))):
            value = np.asarray(getattr(self, name))
            if value.shape != shape or not np.isfinite(value).all():
                raise ParameterError(f"{name} of a polynomial must be finite numbers of shape {shape}, got {value}")

    def evaluate(self, planes: Planes) -> Planes:
        """RGB planes -> optical density -> plus the polynomial, as far as a color is tissue -> RGB planes."""
        density = DENSITY.from_rgb(planes)
        inner = mix(self.scale, [plane - float(middle) for plane, middle in zip(density, self.center)])
        move = mix(self.coefficients, _terms(_within(inner, self.reach)))
        return DENSITY.to_rgb(density + tissue_weight(planes) * _within(move, self.limit))


def _within(planes: Planes, radius: float) -> Planes:
    """Vectors ``(3, ...)``, those longer than ``radius`` shortened to it."""
    if not np.isfinite(radius):
        return planes
    xp = namespace(planes)
    smallest = max(radius, 1e-6)
    squares = planes[0] * planes[0] + planes[1] * planes[1] + planes[2] * planes[2]
    return planes * (radius / xp.sqrt(xp.clip(squares, smallest * smallest, None)))


@dataclass(frozen=True, eq=False)
class PolynomialFit:
    """The normal equations of a weighted least squares fit of a :class:`PolynomialMap`: sums over colors, which merge.

    Parameters
    ----------
    gram : ndarray
        Float64 ``(20, 20)``: products of the terms of colors, summed; the first is the count of pixels.
    cross : ndarray
        Float64 ``(20, 3)``: products of the terms and of what is added to the optical density, summed.
    squares : float
        Squared lengths of what is added, summed.
    """

    gram: np.ndarray
    cross: np.ndarray
    squares: float

    @property
    def count(self) -> int:
        """Pixels."""
        return round(float(self.gram[0, 0]))

    @classmethod
    def of(cls, colors_in: np.ndarray, colors_out: np.ndarray, counts: np.ndarray | None = None) -> PolynomialFit:
        """Sums over pairs of colors.

        Parameters
        ----------
        colors_in, colors_out : ndarray
            Float ``(3, K)``, RGB in [0, 1].
        counts : ndarray, optional
            ``(K,)``, how many pixels each pair stands for; None: one.
        """
        gram, cross, squares = np.zeros((len(_TERMS),) * 2), np.zeros((len(_TERMS), 3)), 0.0
        for start in range(0, colors_in.shape[1], _BLOCK):
            block = slice(start, start + _BLOCK)
            source = DENSITY.from_rgb(colors_in[:, block].astype(np.float64))
            move = DENSITY.from_rgb(colors_out[:, block].astype(np.float64)) - source
            terms = np.empty((len(_TERMS), source.shape[1]))
            for row, term in zip(terms, _terms((source - _MIDDLE) / _UNIT)):
                row[:] = term
            weighted = terms if counts is None else terms * counts[block]
            gram, cross = gram + weighted @ terms.T, cross + weighted @ move.T
            squares += float(weighted[0] @ np.square(move).sum(0))
        return cls(gram, cross, squares)

    @classmethod
    def merge(cls, parts: Iterable[PolynomialFit]) -> PolynomialFit:
        """The sums over all colors together, whatever the order of the parts."""
        empty = cls(np.zeros((len(_TERMS),) * 2), np.zeros((len(_TERMS), 3)), 0.0)
        found = [part for part in parts if part.count] or [empty]
        gram, cross = (sum_in_any_order(getattr(part, name) for part in found) for name in ("gram", "cross"))
        return cls(gram, cross, float(sum_in_any_order(np.array([part.squares]) for part in found)[0]))

    def scaled(self, weight: float) -> PolynomialFit:
        """The sums as if every color had moved this part of its way, in optical density."""
        return PolynomialFit(self.gram, weight * self.cross, weight**2 * self.squares)

    def map(self, ridge: float = RIDGE) -> PolynomialMap:
        """The polynomial that fits best, drawn towards the identity.

        Parameters
        ----------
        ridge : float, optional
            Weight of the squared coefficients against the mean squared error, above 0. They are those of a polynomial
            in colors of mean 0 and covariance 1, so that one number serves all of them.

        Returns
        -------
        PolynomialMap
            The identity if there is no color.

        Raises
        ------
        ParameterError
            A ridge of 0 or less.
        """
        if not ridge > 0:
            raise ParameterError(f"the ridge must be above 0, got {ridge}")
        if not self.count:
            return PolynomialMap(np.zeros((3, len(_TERMS))), np.zeros(3), np.eye(3))
        gram, cross = self.gram / self.gram[0, 0], self.cross / self.gram[0, 0]
        mean, second = gram[0, _LINEAR], gram[np.ix_(_LINEAR, _LINEAR)]
        covariance = (second - np.outer(mean, mean)) * _UNIT**2
        center = _MIDDLE + _UNIT * mean
        values, vectors = np.linalg.eigh(covariance)
        scale = (vectors / np.sqrt(np.maximum(values, 0) + FLOOR**2)) @ vectors.T
        change = _change_of_terms(scale * _UNIT, scale @ (_MIDDLE - center))
        normal = change @ gram @ change.T + ridge * np.eye(len(_TERMS))
        coefficients = np.linalg.solve(normal, change @ cross).T
        limit = LARGEST_MOVE * float(np.sqrt(self.squares / self.gram[0, 0]))
        return PolynomialMap(coefficients, center, scale, REACH, limit)


_LINEAR = [_TERMS.index((0, 0, i)) for i in (1, 2, 3)]


def _change_of_terms(matrix: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """The matrix ``(20, 20)`` that takes the terms of x to those of ``matrix @ x + offset``."""
    affine = np.block([[np.ones((1, 1)), np.zeros((1, 3))], [offset[:, None], matrix]])
    change = np.zeros((len(_TERMS),) * 2)
    for row, (i, j, k) in enumerate(_TERMS):
        product = np.einsum("a,b,c->abc", affine[i], affine[j], affine[k])
        for index in np.ndindex(product.shape):
            change[row, _TERMS.index(tuple(sorted(index)))] += product[index]  # type: ignore[arg-type]
    return change
