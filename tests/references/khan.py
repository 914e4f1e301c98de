"""Khan et al. 2014, with a classifier given as plain arrays. Images are ``(H, W, 3)`` in 0..255."""

import itertools

import numpy as np
from scipy.interpolate import PchipInterpolator

HEMATOXYLIN, EOSIN, BACKGROUND = range(3)
TOP = 1000 / 255
GAP = 5 / 255


def optical_density(pixels):
    return -np.log((np.asarray(pixels, np.float64) + 1) / 256)


def probabilities(image, mean, components, coefficients):
    """Of each class, ``(N, 3)``: softmax of a quadratic in OD whose coefficients depend on the descriptor."""
    pixels = np.asarray(image).reshape(-1, 3)
    palette, edges = np.histogramdd(pixels, bins=[np.arange(0, 257, 32)] * 3)
    assert [len(edge) for edge in edges] == [9, 9, 9]
    descriptor = components @ (np.sqrt(palette.ravel() / len(pixels)) - mean)
    r, g, b = optical_density(pixels).T
    terms = np.stack([np.ones_like(r), r, g, b, r * r, g * g, b * b, r * g, r * b, g * b], axis=1)
    logits = terms @ (coefficients @ np.concatenate([[1], descriptor])).T
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def fit(image, classifier, confidence=0.75, measure_glass=True):
    """Matrix of hematoxylin, eosin and residual ``(3, 3)``, nine sorted percentiles per stain, optical density of glass."""
    pixels = np.asarray(image, np.float64).reshape(-1, 3)
    sure = probabilities(image, *classifier) > confidence
    background = sure[:, BACKGROUND]
    glass = optical_density(pixels[background].mean(axis=0)) if measure_glass and background.any() else np.zeros(3)
    vectors = [optical_density(pixels[sure[:, stain]].mean(axis=0)) - glass for stain in (HEMATOXYLIN, EOSIN)]
    vectors.append(np.cross(*vectors))
    matrix = np.stack([vector / np.linalg.norm(vector) for vector in vectors], axis=1)
    light = np.exp(-(optical_density(pixels) - glass) @ np.linalg.inv(matrix).T)
    percentiles = []
    for stain in (HEMATOXYLIN, EOSIN):
        groups = [sure[:, stain], ~sure[:, stain] & ~background, background]
        values = [np.percentile(light[group, stain], [5, 50, 95]) if group.any() else np.ones(3) for group in groups]
        percentiles.append(np.sort(np.concatenate(values)))
    return matrix, percentiles, glass


def knots(source, target):
    """The percentiles as knots: those of the source closer than GAP to the one before are averaged with it."""
    groups = [[0]]
    for i, (before, value) in enumerate(itertools.pairwise(source), start=1):
        if value - before < GAP:
            groups[-1].append(i)
        else:
            groups.append([i])
    x, y = (np.array([values[group].mean() for group in groups]) for values in (source, np.minimum(target, TOP)))
    inside = (x >= GAP) & (x <= TOP - GAP)
    return np.array([0, *x[inside], TOP]), np.array([0, *y[inside], TOP])


def normalize(image, source, target):
    """Float64 in 0..255, not yet rounded; ``source`` and ``target`` come from :func:`fit`."""
    (matrix, source_percentiles, glass), (target_matrix, target_percentiles, target_glass) = source, target
    amounts = (optical_density(np.asarray(image).reshape(-1, 3)) - glass) @ np.linalg.inv(matrix).T
    for stain in (HEMATOXYLIN, EOSIN):
        light = np.exp(-amounts[:, stain])
        spline = PchipInterpolator(*knots(source_percentiles[stain], target_percentiles[stain]))
        amounts[:, stain] = -np.log(np.where(light > TOP, light, spline(np.minimum(light, TOP))))
    levels = 256 * np.exp(-(amounts @ target_matrix.T + target_glass)) - 1
    return np.clip(levels, 0, 255).reshape(np.shape(image))
