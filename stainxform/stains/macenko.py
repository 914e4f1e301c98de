"""Stain matrices: estimation from colors, and separation into concentrations.

A stain matrix is ``(3, 2)``: its columns are the unit optical-density vectors of hematoxylin and eosin.
"""

from __future__ import annotations

import numpy as np

from stainxform.errors import NotEnoughTissueError
from stainxform.image.tissue import MIN_TISSUE_PIXELS
from stainxform.stains.densities import Densities
from stainxform.stains.separation import LeastSquares, NonnegativeLasso

MIN_STAIN_ANGLE = 5.0
"""Two stain vectors closer than this, in degrees, cannot be told apart: camera noise of one level spreads a single
stain over 2 to 3 degrees; real H&E tiles, of five scanners and six laboratories, show 9 or more."""


def macenko_stain_matrix(stained: Densities, *, alpha: float = 1.0, centered: bool = True) -> np.ndarray:
    """Stain matrix by the robust extreme angles in the plane of the two leading eigenvectors.

    Parameters
    ----------
    stained : optical densities, of which only stained pixels count.
    alpha : percentile of the angles taken as extreme, and 100 - alpha, in percent.
    centered : covariance about the mean (the published code) or about zero (the paper's SVD of the OD itself).

    Returns
    -------
    float64 ``(3, 2)``; hematoxylin first: the vector that absorbs more red (larger first component).

    Raises
    ------
    NotEnoughTissueError : too few stained pixels, or only one stain direction.

    Notes
    -----
    Macenko et al., "A method for normalizing histology slides for quantitative analysis", ISBI 2009; statement order
    of the original MATLAB toolbox (Veta 2013).
    """
    total, covariance = stained.second_moments(centered)
    if total < MIN_TISSUE_PIXELS:
        raise NotEnoughTissueError(
            f"{total} stained pixels are too few to estimate stain vectors (at least {MIN_TISSUE_PIXELS} are needed)"
        )
    plane = np.linalg.eigh(covariance)[1][:, 1:]  # ascending: the second, then the first eigenvector
    # Measured against the second eigenvector the angles lie around +-90 degrees, away from atan2's branch cut,
    # whichever sign the eigenvectors came with.
    extremes = stained.angle_percentiles(plane, (alpha, 100 - alpha))
    vectors = plane @ np.array([np.cos(extremes), np.sin(extremes)])
    apart = float(np.degrees(extremes[1] - extremes[0]))
    if apart < MIN_STAIN_ANGLE:
        raise NotEnoughTissueError(
            f"the tissue shows a single stain direction (the extremes are {apart:.2f} degrees apart); two are needed"
        )
    return np.asarray(vectors if vectors[0, 0] > vectors[0, 1] else vectors[:, ::-1])


def robust_maxima(densities: Densities, separation: LeastSquares | NonnegativeLasso) -> np.ndarray:
    """99th percentile of the concentrations of each of two stains, ``(2,)``.

    Raises NotEnoughTissueError if a stain is absent, i.e. its maximum is not positive.
    """
    return all_present(densities.amount_percentiles(separation, 99))


def all_present(maxima: np.ndarray) -> np.ndarray:
    """The 99th percentiles as they are; raises NotEnoughTissueError if a stain is absent."""
    if not (maxima > 1e-3).all():
        raise NotEnoughTissueError(f"one stain is absent (99th percentiles of concentrations: {maxima.round(4)})")
    return maxima
