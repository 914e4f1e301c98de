"""Vahadane et al. 2016. Images are ``(H, W, 3)`` in 0..255; stain matrices ``(3, 2)``, hematoxylin first.

Amounts by the active-set method of Lawson and Hanson, pixel by pixel; stains by plain block coordinate descent from a
random start, which no closed form, weight or extrapolation shortens.
"""

import numpy as np
from scipy.optimize import nnls

from references.color import cielab_from_rgb

PENALTIES = {"staintools": (0.1, 0.01), "matlab": (0.02, 0.02)}


def optical_density(image, definition="staintools"):
    """``(N, 3)``. StainTools lifts black to level 1 and white to 1e-6; MATLAB adds one level to all."""
    levels = np.asarray(image, np.float64).reshape(-1, 3)
    if definition == "matlab":
        return np.log(255) - np.log(levels + 1)
    return np.maximum(-np.log(np.maximum(levels, 1) / 255), 1e-6)


def tissue(image, definition="staintools"):
    """Lightness below .8 or .9, of L rounded to 8 bits."""
    lightness = cielab_from_rgb(np.asarray(image, np.float64).reshape(-1, 3) / 255)[:, 0]
    return np.rint(lightness * 255 / 100) / 255 < {"staintools": 0.8, "matlab": 0.9}[definition]


def lasso(od, stains, penalty):
    """Argmin over a >= 0 of 1/2 |v - W a|^2 + penalty (a_1 + a_2), ``(N, 2)``.

    With u such that W'u = 1 the penalty is that of a color shifted by it: |v - p u - W a|^2 differs by a constant.
    """
    shift = penalty * np.linalg.pinv(stains).sum(axis=0)
    return np.array([nnls(stains, color - shift)[0] for color in od]).reshape(-1, 2)


def objective(od, stains, amounts, penalty):
    """Mean over the pixels."""
    return float(np.mean(((od - amounts @ stains.T) ** 2).sum(axis=1) / 2 + penalty * amounts.sum(axis=1)))


def factorize(od, penalty, seed=0, rounds=1500):
    """Stain matrix, in no particular order, and its objective."""
    stains = np.random.default_rng(seed).uniform(size=(3, 2))
    stains /= np.linalg.norm(stains, axis=0)
    amounts = np.zeros((len(od), 2))
    for _ in range(rounds):
        for j in (0, 1, 0, 1):
            rest = od - np.outer(amounts[:, 1 - j], stains[:, 1 - j])
            amounts[:, j] = np.maximum(rest @ stains[:, j] - penalty, 0)
        for j in (0, 1):
            wanted = np.maximum((od - np.outer(amounts[:, 1 - j], stains[:, 1 - j])).T @ amounts[:, j], 0)
            if wanted.any():
                stains[:, j] = wanted / np.linalg.norm(wanted)
    return stains, objective(od, stains, amounts, penalty)


def fit(image, definition="staintools"):
    """Stain matrix and 99th percentiles of the amounts of all pixels."""
    od = optical_density(image, definition)
    sparsity, penalty = PENALTIES[definition]
    first, second = factorize(od[tissue(image, definition)], sparsity)[0].T
    stains = np.stack([first, second] if first[0] > second[0] else [second, first], axis=1)
    return stains, np.percentile(lasso(od, stains, penalty), 99, axis=0)


def normalize(image, source, target, definition="staintools"):
    """I = 255 exp(-W C), float64 in 0..255, not yet rounded; ``source`` and ``target`` as ``fit`` gives them."""
    amounts = lasso(optical_density(image, definition), source[0], PENALTIES[definition][1])
    return (255 * np.exp(-(amounts * (target[1] / source[1])) @ target[0].T)).reshape(np.shape(image))
