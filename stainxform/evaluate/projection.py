"""Two numbers for each tile, so that colors can be drawn as a map."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stainxform._optional import require
from stainxform.errors import ParameterError

__all__ = ["PROJECTIONS", "check_projection", "fit_projection"]

PROJECTIONS = ("pca", "umap")


def check_projection(name: str) -> None:
    """Raise ParameterError for an unknown projection, MissingDependencyError if umap-learn is not installed."""
    if name not in PROJECTIONS:
        raise ParameterError(f"the projection must be one of {', '.join(PROJECTIONS)}, got {name!r}")
    if name == "umap":
        require("umap", "umap")


def fit_projection(features: np.ndarray, name: str = "pca", seed: int = 0) -> Callable[[np.ndarray], np.ndarray]:
    """A function from features ``(n, d)`` to ``(n, 2)``, fitted once, so that before and after share their axes.

    Features are standardized by those it is fitted on. "pca": the two leading principal components; "umap": McInnes,
    Healy and Melville, arXiv 1802.03426, 2018, for which distances between clusters mean little.

    Raises as :func:`check_projection`; ParameterError for fewer than 3 tiles ("umap": 5).
    """
    check_projection(name)
    minimum = 3 if name == "pca" else 5
    if len(features) < minimum:
        raise ParameterError(f"a map of colors needs at least {minimum} tiles, got {len(features)}")
    mean, spread = features.mean(0), features.std(0)
    scale = np.where(spread > 0, spread, 1)

    def standardized(rows: np.ndarray) -> np.ndarray:
        return np.asarray((rows - mean) / scale)

    if name == "umap":
        umap = require("umap", "umap")
        neighbors = min(15, len(features) - 1)
        fitted = umap.UMAP(n_neighbors=neighbors, random_state=seed, n_jobs=1).fit(standardized(features))
        return lambda rows: np.asarray(fitted.transform(standardized(rows)), np.float64)
    _, _, axes = np.linalg.svd(standardized(features), full_matrices=False)
    axes = axes[:2] * np.sign(axes[:2, np.abs(axes[:2]).argmax(axis=1)].diagonal())[:, None]  # no sign by chance
    return lambda rows: standardized(rows) @ axes.T
