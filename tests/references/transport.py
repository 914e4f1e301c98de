"""Linear Monge-Kantorovich color transfer, plainly: Pitie and Kokaram, CVMP 2007, in optical density, every pixel listed."""

import numpy as np
from scipy.linalg import sqrtm

TISSUE, GLASS, SHRINKAGE, FLOOR = 0.15, 0.05, 0.01, 0.005


def density(image):
    return -np.log((image.reshape(-1, 3).astype(np.float64) + 1) / 256)


def tissue(image):
    unit = image.reshape(-1, 3) / 255
    return (unit.min(1) <= np.exp(-TISSUE)) & (unit.max(1) >= np.exp(-2.3))


def statistics(image):
    values = density(image)[tissue(image)]
    return values.mean(0), np.cov(values.T, bias=True)


def normalize(source, target):
    (mean, covariance), (wanted, spread) = statistics(source), statistics(target)
    covariance, wanted_spread = (each + FLOOR**2 * np.eye(3) for each in (covariance, spread))
    first, second = (each + SHRINKAGE * wanted_spread for each in (covariance, wanted_spread))
    root = np.real(sqrtm(first))
    inverse = np.linalg.inv(root)
    matrix = inverse @ np.real(sqrtm(root @ second @ root)) @ inverse
    values = density(source)
    moved = (values - mean) @ matrix.T + wanted
    darkest = -np.log(np.maximum(source.reshape(-1, 3).min(1), 1) / 255)
    weight = np.clip((darkest - GLASS) / (TISSUE - GLASS), 0, 1)[:, None]
    result = 256 * np.exp(-(values + weight * (moved - values))) - 1
    return np.clip(result, 0, 255).reshape(source.shape)
