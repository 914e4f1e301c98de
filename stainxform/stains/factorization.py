"""Sparse non-negative factorization of optical densities into two stains."""

from __future__ import annotations

import numpy as np

from stainxform._native import kernels, native
from stainxform.errors import NotEnoughTissueError
from stainxform.image.tissue import MIN_TISSUE_PIXELS
from stainxform.stains.references import match_stains, reference_stains, stain_angles
from stainxform.stains.separation import COLLINEAR, lasso_pair

__all__ = ["MAX_STEPS", "MIN_ATOM_ANGLE", "MIN_SHARE", "TOLERANCE", "sparse_stain_matrix"]

MIN_ATOM_ANGLE = 3.0
"""Two atoms closer than this, in degrees, are one stain: camera noise of one level spreads a single stain over 1 to 2
degrees; real H&E tiles, of more than ten scanners, show 4.8 or more at a penalty of 0.1, and more at a smaller one."""

MIN_SHARE = 1e-3
"""An atom with a smaller share of all amounts explains nothing but noise."""

TOLERANCE = 1e-12
"""The iteration has converged when a step changes the objective by less than this fraction of that of no stain at all,
half the mean square of the optical densities: atoms are then within about 0.01 degrees of the minimum."""

MAX_STEPS = 1000

_SAMPLE = 4096
"""Distinct colors to start with: a first solution on a sample saves most steps on all of them."""


def sparse_stain_matrix(od: np.ndarray, counts: np.ndarray, *, penalty: float) -> np.ndarray:
    """Stain matrix by sparse non-negative matrix factorization.

    Minimizes over unit, non-negative atoms W and amounts A >= 0 the mean over the pixels of
    1/2 |v - W a|^2 + penalty (a_1 + a_2).

    Parameters
    ----------
    od : ndarray
        float64 ``(3, K)``, optical densities of stained pixels only.
    counts : ndarray
        ``(K,)``, how many pixels have each. They weight squares and penalty alike.
    penalty : float
        Weight of the L1 norm, 0 or more. Of all pairs of stains that explain the colors it prefers the closest.

    Returns
    -------
    ndarray
        float64 ``(3, 2)``, unit columns; the first is the one that matches hematoxylin.

    Raises
    ------
    NotEnoughTissueError
        Too few stained pixels, or a single stain.

    Notes
    -----
    Objective: Vahadane et al., IEEE TMI 35(8), 2016. Amounts by the closed form of the non-negative lasso; atoms
    one after the other, each exactly (Mairal et al., JMLR 11, 2010, algorithm 2, with atoms on the unit sphere); both
    from a point extrapolated along the last step (Nesterov), anew whenever the objective rises. No random numbers: the
    start are the vectors of Ruifrok and Johnston, and other starts end in the same minimum
    (``tests/test_vahadane.py``).
    """
    total = counts.sum()
    if total < MIN_TISSUE_PIXELS:
        raise NotEnoughTissueError(
            f"{total} stained pixels are too few to estimate stain vectors (at least {MIN_TISSUE_PIXELS} are needed)"
        )
    od, weights = np.ascontiguousarray(od), counts / total
    atoms = reference_stains("he")
    if len(weights) > 2 * _SAMPLE:
        every = len(weights) // _SAMPLE
        sample = weights[::every]
        atoms, _ = _minimize(atoms, np.ascontiguousarray(od[:, ::every]), sample / sample.sum(), penalty)
    atoms, amounts = _minimize(atoms, od, weights, penalty)
    apart = float(stain_angles(atoms[:, :1], atoms[:, 1:])[0, 0])
    if amounts.min() < MIN_SHARE * amounts.sum() or apart < MIN_ATOM_ANGLE:
        raise NotEnoughTissueError(
            f"the tissue shows a single stain (two would be {apart:.2f} degrees apart, with mean amounts of "
            f"{amounts.round(4).tolist()}); two are needed"
        )
    return match_stains(atoms, "he")


def _minimize(
    atoms: np.ndarray,
    od: np.ndarray,
    weights: np.ndarray,
    penalty: float,
    tolerance: float = TOLERANCE,
    max_steps: int = MAX_STEPS,
) -> tuple[np.ndarray, np.ndarray]:
    """Atoms ``(3, 2)`` at the minimum next to the given ones, and the mean amount of each, ``(2,)``."""
    if native.active():
        return kernels.factorize(atoms, od, weights, penalty, tolerance, COLLINEAR, max_steps)
    energy = float((weights * np.square(od).sum(axis=0)).sum()) / 2
    point, before, momentum = atoms, np.inf, 1.0
    for _ in range(max_steps):
        second_moments, products, mean = _moments(point, od, weights, penalty)
        fit = ((point.T @ point) * second_moments).sum() / 2 - (point * products).sum()
        objective = float(energy + fit + penalty * mean.sum())
        if abs(before - objective) <= tolerance * energy:
            break
        if objective > before:
            momentum = 1.0
        stepped = _update(point, second_moments, products)
        momentum, last = (1 + np.sqrt(1 + 4 * momentum**2)) / 2, momentum
        point = _unit(stepped + (last - 1) / momentum * (stepped - atoms))
        atoms, before = stepped, objective
    return point, mean


def _moments(
    atoms: np.ndarray, od: np.ndarray, weights: np.ndarray, penalty: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weighted sums of a a^T, OD a^T and a, with a the amounts of each color."""
    cosine = float(atoms[:, 0] @ atoms[:, 1])
    first, second = atoms.T @ od - penalty
    amounts = lasso_pair(first, second, cosine)
    weighted = weights * amounts
    return weighted @ amounts.T, od @ weighted.T, weighted.sum(axis=1)


def _update(atoms: np.ndarray, second_moments: np.ndarray, products: np.ndarray) -> np.ndarray:
    """The best first atom given the second, then the best second given the first; an atom without use stays."""
    atoms = atoms.copy()
    for j, other in ((0, 1), (1, 0)):
        wanted = products[:, j] - second_moments[other, j] * atoms[:, other]
        if wanted.max() > 0:
            atoms[:, j : j + 1] = _unit(wanted[:, None])
    return atoms


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Columns without their negative parts, of length 1."""
    positive = np.maximum(vectors, 0)
    return np.asarray(positive / np.linalg.norm(positive, axis=0))
