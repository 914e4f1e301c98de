"""Laboratories and their scanners: how stained tissue becomes pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stainxform.errors import ParameterError

__all__ = ["CENTERS", "Center", "center_of"]


@dataclass(frozen=True, eq=False)
class Center:
    """A staining laboratory and its scanner.

    Array fields accept anything array-like and are kept as read-only float64 arrays.  Use
    ``dataclasses.replace`` for a variation of a center.

    Attributes
    ----------
    name : str
        Identifies the center; it also makes its noise differ from that of other centers.
    stain_matrix : ndarray of float64, shape (3, 2)
        Columns are the optical densities (R, G, B) of hematoxylin and eosin, >= 0, of unit length.
    strength : ndarray of float64, shape (2,)
        Multipliers >= 0 of the two concentrations: how deeply this laboratory stains.
    background : ndarray of float64, shape (3,)
        Levels of empty glass, above 0 and up to 255.
    gamma : float
        Exponent > 0 on the transmitted fraction of light, after ``color_matrix``.
    color_matrix : ndarray of float64, shape (3, 3)
        Mixes the transmitted fractions of R, G and B.  Rows that sum to 1 keep white white.
    noise : float
        Standard deviation >= 0 of the sensor noise, in levels.
    blur : float
        Standard deviation >= 0 of the Gaussian blur, in pixels.

    Raises
    ------
    ParameterError
        A field has the wrong shape, or a value outside the range above.
    """

    name: str
    stain_matrix: NDArray[np.float64]
    strength: NDArray[np.float64] = field(default_factory=lambda: np.ones(2))
    background: NDArray[np.float64] = field(default_factory=lambda: np.full(3, 255.0))
    gamma: float = 1.0
    color_matrix: NDArray[np.float64] = field(default_factory=lambda: np.eye(3))
    noise: float = 0.0
    blur: float = 0.0

    def __post_init__(self) -> None:
        shapes = {"stain_matrix": (3, 2), "strength": (2,), "background": (3,), "color_matrix": (3, 3)}
        for name in ("gamma", "noise", "blur"):
            shapes[name] = ()
        for name, shape in shapes.items():
            object.__setattr__(self, name, _numbers(name, getattr(self, name), shape))
        self._require(isinstance(self.name, str) and bool(self.name), "name", "a non-empty string")
        norms = np.linalg.norm(self.stain_matrix, axis=0)
        unit = np.allclose(norms, 1, atol=1e-3) and np.all(self.stain_matrix >= 0)
        self._require(unit, "stain_matrix", "two columns of non-negative optical densities of length 1")
        self._require(np.all(self.strength >= 0), "strength", "two numbers >= 0")
        in_range = np.all((self.background > 0) & (self.background <= 255))
        self._require(in_range, "background", "three levels above 0 and up to 255")
        self._require(self.gamma > 0, "gamma", "a number above 0")
        self._require(self.noise >= 0, "noise", "a standard deviation >= 0")
        self._require(self.blur >= 0, "blur", "a standard deviation >= 0")

    def _require(self, holds: Any, name: str, wanted: str) -> None:
        if not holds:
            value = getattr(self, name)
            shown = value.tolist() if isinstance(value, np.ndarray) else value
            raise ParameterError(f"Center {name} must be {wanted}, not {shown!r}.")


def _numbers(name: str, value: ArrayLike, shape: tuple[int, ...]) -> float | NDArray[np.float64]:
    """``value`` as a float or a read-only array of the given shape."""
    try:
        array = np.array(value, np.float64)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"Center {name} must be numeric, not {value!r}.") from error
    if array.shape != shape or not np.isfinite(array).all():
        wanted = f"finite numbers of shape {shape}" if shape else "a finite number"
        raise ParameterError(f"Center {name} must be {wanted}, not {array.tolist()!r}.")
    array.flags.writeable = False
    return array if shape else float(array)


def _unit(*columns: tuple[float, float, float]) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = np.linalg.norm(columns, axis=1)
    return np.array(columns).T / lengths


CENTERS: Mapping[str, Center] = MappingProxyType(
    {
        center.name: center
        for center in (
            # Hematoxylin of Ruifrok & Johnston 2001, Anal Quant Cytol Histol 23:291, and an eosin less magenta
            # than theirs, on an ideal scanner.
            Center(
                name="a",
                stain_matrix=_unit((0.650, 0.704, 0.286), (0.18, 0.92, 0.34)),
                background=np.array([244.0, 244.0, 246.0]),
                noise=1.5,
            ),
            # Reference of Macenko et al. 2009, ISBI, staining deeply; a scanner that saturates reds.
            Center(
                name="b",
                stain_matrix=_unit((0.5626, 0.7201, 0.4062), (0.2159, 0.8012, 0.5581)),
                strength=np.array([1.15, 1.2]),
                background=np.array([240.0, 236.0, 232.0]),
                gamma=1.05,
                color_matrix=np.array([[1.06, -0.04, -0.02], [-0.04, 1.06, -0.02], [0.0, 0.02, 0.98]]),
                noise=2.0,
                blur=0.6,
            ),
            # A faded slide: bluish hematoxylin, little eosin, and an older, softer scanner.
            Center(
                name="c",
                stain_matrix=_unit((0.74, 0.62, 0.26), (0.10, 0.93, 0.35)),
                strength=np.array([0.65, 0.5]),
                background=np.array([233.0, 235.0, 238.0]),
                gamma=0.95,
                noise=2.5,
                blur=0.9,
            ),
        )
    }
)


def center_of(center: Center | str) -> Center:
    """A center, or the one of that name; ParameterError where there is none."""
    if isinstance(center, Center):
        return center
    if center not in CENTERS:
        raise ParameterError(f"There is no center {center!r}; use a Center or one of {', '.join(CENTERS)}.")
    return CENTERS[center]
