"""Published stain vectors, and which estimated vector is which stain."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np

from stainxform.errors import ParameterError

__all__ = [
    "LANDINI",
    "REFERENCES",
    "RUIFROK",
    "ReferenceStains",
    "complement_stains",
    "match_stains",
    "reference_stains",
    "stain_angles",
    "stain_matrix_of",
    "with_residual",
]

RUIFROK = "Ruifrok and Johnston, Anal. Quant. Cytol. Histol. 23(4), 2001; digits as in scikit-image"
LANDINI = "G. Landini, Colour Deconvolution (ImageJ plugin); digits as in scikit-image"


@dataclass(frozen=True)
class ReferenceStains:
    """Stains that are used together.

    Attributes
    ----------
    stains : tuple of str
        Their names.
    densities : tuple of (float, float, float)
        Optical densities in red, green and blue of each, as published.
    source : str
        Who published them.
    """

    stains: tuple[str, ...]
    densities: tuple[tuple[float, float, float], ...]
    source: str

    @property
    def matrix(self) -> np.ndarray:
        """Float64 ``(3, k)``; each column is the unit vector of one stain."""
        columns = np.array(self.densities).T
        return np.asarray(columns / np.linalg.norm(columns, axis=0))


_HEMATOXYLIN, _EOSIN, _DAB = (0.65, 0.70, 0.29), (0.07, 0.99, 0.11), (0.27, 0.57, 0.78)

REFERENCES = {
    "he": ReferenceStains(("hematoxylin", "eosin"), (_HEMATOXYLIN, _EOSIN), RUIFROK),
    "hed": ReferenceStains(("hematoxylin", "eosin", "dab"), (_HEMATOXYLIN, _EOSIN, _DAB), RUIFROK),
    "hdab": ReferenceStains(("hematoxylin", "dab"), (_HEMATOXYLIN, _DAB), RUIFROK),
    "macenko": ReferenceStains(
        ("hematoxylin", "eosin"),
        ((0.5626, 0.7201, 0.4062), (0.2159, 0.8012, 0.5581)),
        "HERef of the MATLAB toolbox of Macenko et al. 2009 (M. Veta, 2013)",
    ),
    "haec": ReferenceStains(
        ("hematoxylin", "aec"), ((0.650, 0.704, 0.286), (0.2743, 0.6796, 0.6803)), LANDINI
    ),
    "hpas": ReferenceStains(
        ("hematoxylin", "pas"), ((0.644211, 0.716556, 0.266844), (0.175411, 0.972178, 0.154589)), LANDINI
    ),
    "alcian": ReferenceStains(
        ("alcian blue", "hematoxylin"), ((0.874622, 0.457711, 0.158256), (0.552556, 0.7544, 0.353744)), LANDINI
    ),
    "methyl-green-dab": ReferenceStains(
        ("methyl green", "dab"), ((0.98003, 0.144316, 0.133146), (0.268, 0.570, 0.776)), LANDINI
    ),
}  # fmt: skip
"""Stain combinations by name."""


def reference_stains(name: str) -> np.ndarray:
    """Published stain matrix, float64 ``(3, k)`` with unit columns.

    Parameters
    ----------
    name : str
        "he", "hed", "hdab" (Ruifrok and Johnston 2001), "macenko" (his published reference), "haec", "hpas", "alcian"
        or "methyl-green-dab" (Landini); ``REFERENCES`` holds their stains and sources.

    Raises
    ------
    ParameterError
        Another name.
    """
    if name not in REFERENCES:
        raise ParameterError(f"unknown stains {name!r}; choose one of: {', '.join(REFERENCES)}")
    return REFERENCES[name].matrix


def stain_matrix_of(stains: str | np.ndarray) -> np.ndarray:
    """A name or an array as a stain matrix, float64 ``(3, 2)`` or ``(3, 3)``.

    Raises
    ------
    ParameterError
        Another shape, values that are not finite, or stains that depend on each other.
    """
    if isinstance(stains, str):
        return reference_stains(stains)
    matrix = np.asarray(stains, np.float64)
    if matrix.shape not in ((3, 2), (3, 3)) or not np.isfinite(matrix).all():
        raise ParameterError(
            f"a stain matrix holds finite optical densities (R, G, B) in 2 or 3 columns, got shape {matrix.shape}"
        )
    if np.linalg.matrix_rank(matrix, tol=1e-6) < matrix.shape[1]:
        raise ParameterError(f"the columns of a stain matrix must not depend on each other, got {matrix.tolist()}")
    return matrix


def complement_stains(stains: str | np.ndarray) -> np.ndarray:
    """Add the residual to two stains: the unit vector perpendicular to both, float64 ``(3, 3)``.

    Three columns describe every color, so that separating and combining loses nothing.

    Three stains are returned as they are.

    Raises
    ------
    ParameterError
        As for any stain matrix.
    """
    matrix = stain_matrix_of(stains)
    if matrix.shape[1] == 3:
        return matrix
    return with_residual(matrix)


def with_residual(matrix: np.ndarray) -> np.ndarray:
    """Two stains and the unit vector perpendicular to both, ``(3, 3)``."""
    residual = np.cross(matrix[:, 0], matrix[:, 1])
    return np.column_stack([matrix, residual / np.linalg.norm(residual)])


def stain_angles(vectors: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Angles in degrees between each of the columns ``(3, n)`` and each of ``(3, m)``, float64 ``(n, m)``."""
    units = [columns / np.linalg.norm(columns, axis=0) for columns in (vectors, reference)]
    return np.degrees(np.arccos(np.clip(units[0].T @ units[1], -1, 1)))


def match_stains(vectors: np.ndarray, reference: str | np.ndarray = "he") -> np.ndarray:
    """Put stain vectors in the order of reference stains: the assignment with the smallest sum of angles.

    All vectors are assigned at once, so that a laboratory whose colors are all shifted does not confuse its stains.
    Rules on ratios of color channels, which are common, do.

    Parameters
    ----------
    vectors : ndarray
        ``(3, n)``, optical-density vectors in columns.
    reference : str or ndarray, optional
        Name of published stains, or ``(3, m)`` with m <= n.

    Returns
    -------
    ndarray
        float64 ``(3, n)``: column k is the one that shows stain k of the reference; vectors that no stain took come
        last, in their own order.

    Raises
    ------
    ParameterError
        Fewer vectors than stains, vectors that are not finite, or an unknown name.
    """
    columns = np.asarray(vectors, np.float64)
    wanted = reference_stains(reference) if isinstance(reference, str) else np.asarray(reference, np.float64)
    for matrix in (columns, wanted):
        if matrix.ndim != 2 or len(matrix) != 3 or not (np.isfinite(matrix).all() and matrix.any(axis=0).all()):
            raise ParameterError(f"expected finite stain vectors (R, G, B) in columns, got {matrix.tolist()}")
    count, stains = columns.shape[1], wanted.shape[1]
    if count < stains:
        raise ParameterError(f"{count} vectors cannot show the {stains} stains of the reference")
    angles = stain_angles(columns, wanted)
    best = min(permutations(range(count), stains), key=lambda order: float(angles[order, range(stains)].sum()))
    return columns[:, [*best, *(k for k in range(count) if k not in best)]]
