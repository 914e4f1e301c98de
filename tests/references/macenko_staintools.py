"""Macenko as in StainTools 2.1.2. Images are ``(H, W, 3)`` in 0..255; stain matrices ``(3, 2)``, hematoxylin first."""

import numpy as np

from references.color import cielab_from_rgb

LIGHTEST = 79.8  # 203.5 of 255: StainTools thresholds 8-bit L at .8
PENALTY = 0.01


def optical_density(image):
    """``(N, 3)``; black is lifted to level 1, white to 1e-6."""
    levels = np.maximum(np.asarray(image, np.float64).reshape(-1, 3), 1)
    return np.maximum(-np.log(levels / 255), 1e-6)


def fit(image):
    """Stain matrix and 99th percentiles of the lasso concentrations of all pixels."""
    od = optical_density(image)
    tissue = od[cielab_from_rgb(np.asarray(image, np.float64) / 255)[..., 0].ravel() < LIGHTEST]
    plane = np.linalg.eigh(np.cov(tissue.T))[1][:, [2, 1]]
    plane = plane * np.where(plane[0] < 0, -1, 1)
    x, y = (tissue @ plane).T
    low, high = (plane @ [np.cos(p), np.sin(p)] for p in np.percentile(np.arctan2(y, x), [1, 99]))
    stains = np.stack([low, high] if low[0] > high[0] else [high, low], axis=1)
    stains = stains / np.linalg.norm(stains, axis=0)
    return stains, np.percentile(lasso(od, stains), 99, axis=0)


def lasso(od, stains):
    """min 1/2 |OD - W a|^2 + PENALTY (a_1 + a_2), a >= 0: the best of the four cases of which amounts are zero."""
    candidates = []
    for used in ([], [0], [1], [0, 1]):
        amounts = np.zeros((len(od), 2))
        if used:
            part = stains[:, used]
            amounts[:, used] = np.linalg.solve(part.T @ part, (od @ part - PENALTY).T).T
        objective = ((od - amounts @ stains.T) ** 2).sum(axis=1) / 2 + PENALTY * amounts.sum(axis=1)
        candidates.append((np.where((amounts < 0).any(axis=1), np.inf, objective), amounts))
    best = np.argmin([objective for objective, _ in candidates], axis=0)
    return np.stack([amounts for _, amounts in candidates])[best, np.arange(len(od))]


def normalize(image, source_stains, source_maxima, target_stains, target_maxima):
    """I = 255 exp(-W C), float64 in 0..255, neither rounded nor truncated."""
    scaled = lasso(optical_density(image), source_stains) * (np.asarray(target_maxima) / source_maxima)
    return (255 * np.exp(-scaled @ target_stains.T)).reshape(np.shape(image))
