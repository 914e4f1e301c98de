"""How far apart the colors of two sets of tiles are, where no tile of one shows the tissue of the other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from stainxform.errors import NotEnoughTissueError, ParameterError
from stainxform.image.layout import Image
from stainxform.io.settings import plain
from stainxform.stains.features import TileColors

__all__ = ["frechet_distance", "lab_wasserstein", "mean_stain_matrix", "stain_angle", "wasserstein_of_tiles"]


def lab_wasserstein(tiles: Iterable[Image], target: Iterable[Image]) -> tuple[float, float, float]:
    """Wasserstein-1 distance of L*, a* and b* between the tissue of two sets of tiles.

    Parameters
    ----------
    tiles, target : iterable of (ndarray or Tensor)
        RGB images as a normalizer takes them. Blank tiles are left out; every other one weighs the same.

    Returns
    -------
    (float, float, float)
        Three distances in units of CIELAB: how far, on average, values of one distribution must move to become the
        other. Values are counted in bins of 0.25.

    Raises
    ------
    InvalidImageError
        An image is none.
    NotEnoughTissueError
        All tiles of a set are blank.
    """
    pair = [TileColors.of(images) for images in (tiles, target)]
    if not all(map(len, pair)):
        raise NotEnoughTissueError("all tiles of a set are blank; there is no color of tissue to compare")
    weights = np.concatenate([np.full(len(colors), sign / len(colors)) for colors, sign in zip(pair, (1, -1))])
    cdf = np.cumsum(np.concatenate([colors.lab for colors in pair]), axis=-1)
    return plain(tuple(wasserstein_of_tiles(weights, cdf)))


def wasserstein_of_tiles(weights: np.ndarray, cdf: np.ndarray) -> np.ndarray:
    """Wasserstein-1 distances between two sets of tiles: the area between their mean CDFs.

    Parameters
    ----------
    weights : ndarray
        ``(n,)``: of the tiles of one set positive, of the other negative; each side sums to 1.
    cdf : ndarray
        ``(n, ..., bins)`` over the Lab bins of TileColors.
    """
    difference = (weights @ cdf.reshape(len(cdf), -1)).reshape(cdf.shape[1:])
    return np.asarray(np.abs(difference).sum(axis=-1) * TileColors.BIN)


def stain_angle(matrix: Any, target: Any) -> tuple[float, float]:
    """Angles in degrees between the hematoxylin vectors and between the eosin vectors of two stain matrices.

    Parameters
    ----------
    matrix, target : array_like
        ``(3, 2)``, hematoxylin first, of any positive length.

    Raises
    ------
    ParameterError
        Another shape, values that are not finite, or a zero vector.
    """
    pair = [np.asarray(each, np.float64) for each in (matrix, target)]
    for each in pair:
        if each.shape != (3, 2) or not np.isfinite(each).all() or not each.any(axis=0).all():
            raise ParameterError(f"expected two finite stain vectors in columns (3, 2), got {each.tolist()}")
    one, other = (each / np.linalg.norm(each, axis=0) for each in pair)
    # By the chord: exact for small angles, where the cosine has no digits left.
    chord = np.linalg.norm(one - other, axis=0) / 2
    return plain(tuple(np.degrees(2 * np.arcsin(np.minimum(chord, 1)))))


def mean_stain_matrix(stains: np.ndarray) -> np.ndarray:
    """Mean direction of each stain over tiles ``(n, 3, 2)``; tiles that show a single stain (NaN) are left out.

    Raises
    ------
    NotEnoughTissueError
        No tile shows two.
    """
    known = stains[np.isfinite(stains).all(axis=(1, 2))]
    if not len(known):
        raise NotEnoughTissueError("no tile shows two stains; there is no stain matrix to compare")
    total = known.sum(axis=0)
    return np.asarray(total / np.linalg.norm(total, axis=0))


def frechet_distance(features: Any, target: Any) -> float:
    """Squared Frechet distance of two Gaussians fitted to features, |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)).

    Parameters
    ----------
    features, target : array_like
        ``(n, d)`` and ``(m, d)``, one row a tile, at least two rows each.

    Returns
    -------
    float
        0 or more. It grows as the number of rows falls below a few times d: compare values of equal numbers of rows
        only.

    Raises
    ------
    ParameterError
        Other shapes, or values that are not finite.

    Notes
    -----
    Dowson and Landau, J. Multivariate Anal. 12, 1982. Heusel et al., NeurIPS 2017, use it on Inception features; ours
    are the color features of :mod:`stainxform.stains.features`.
    """
    pair = [np.asarray(rows, np.float64) for rows in (features, target)]
    if any(rows.ndim != 2 or len(rows) < 2 for rows in pair) or pair[0].shape[1] != pair[1].shape[1]:
        raise ParameterError(
            f"expected features (n, d) and (m, d) of at least two tiles each, got shapes {pair[0].shape}, {pair[1].shape}"
        )
    if not all(np.isfinite(rows).all() for rows in pair):
        raise ParameterError("the features hold NaN or infinite values; leave those tiles out")
    (mean, scatter), (mean_target, scatter_target) = ((rows.mean(0), _covariance(rows)) for rows in pair)
    root = _root(scatter)
    cross = np.sqrt(np.linalg.eigvalsh(root @ scatter_target @ root).clip(0)).sum()
    distance = np.square(mean - mean_target).sum() + np.trace(scatter) + np.trace(scatter_target) - 2 * cross
    return max(float(distance), 0.0)


def _covariance(rows: np.ndarray) -> np.ndarray:
    deviation = rows - rows.mean(0)
    return np.asarray(deviation.T @ deviation / (len(rows) - 1))


def _root(matrix: np.ndarray) -> np.ndarray:
    """Square root of a symmetric matrix without negative eigenvalues."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray(vectors * np.sqrt(values.clip(0)) @ vectors.T)
