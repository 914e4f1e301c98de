"""Ramakrishnan et al. 2019, their published code. Tiles are ``(H, W, 3)`` in 0..255; stain matrices ``(3, 2)``."""

import numpy as np

from references.vahadane import factorize

HEMATOXYLIN, EOSIN = (0.65, 0.70, 0.29), (0.07, 0.99, 0.11)


def background(tiles):
    """90th percentile of the pixels whose channels are all above 220; 255 if they are fewer than 100."""
    pixels = np.concatenate([np.reshape(tile, (-1, 3)) for tile in tiles])
    white = pixels[(pixels > 220).all(axis=1)]
    return np.percentile(white, 90, axis=0) if len(white) >= 100 else np.full(3, 255.0)


def optical_density(pixels, io):
    """Of pixels ``(N, 3)``; what is brighter than the background is background."""
    return np.log(io + 1) - np.log(np.minimum(pixels, io) + 1)


def in_order(stains):
    """Hematoxylin first: the pairing with the published vectors whose angles have the smaller sum."""
    units = [np.array(vector) / np.linalg.norm(vector) for vector in (HEMATOXYLIN, EOSIN)]
    angles = np.arccos(np.clip(np.array(units) @ stains, -1, 1))
    straight, crossed = angles[0, 0] + angles[1, 1], angles[0, 1] + angles[1, 0]
    return stains if straight <= crossed else stains[:, ::-1]


def fit(tiles, penalty=0.01, max_white=0.1):
    """Stain matrix, 99th percentiles and background of a slide."""
    io = background(tiles)
    matrices, used = [], []
    for tile in tiles:
        pixels = np.reshape(tile, (-1, 3)).astype(np.float64)
        if len(tiles) > 1 and (pixels > 220).all(axis=1).mean() > max_white:
            continue
        colored = pixels[(pixels < 220).all(axis=1)]
        matrices.append(in_order(factorize(optical_density(colored, io), penalty, rounds=2000)[0]))
        used.append(pixels)
    stains = np.median(matrices, axis=0)
    stains /= np.linalg.norm(stains, axis=0)
    maxima = []
    for pixels in used:
        amounts = concentrations(optical_density(pixels, io), stains)
        maxima.append([np.percentile(amount[amount > 0], 99) for amount in amounts.T])
    return stains, np.median(maxima, axis=0), io


def concentrations(od, stains):
    """H = max(pinv(W) V, 0), ``(N, 2)``."""
    return np.maximum(od @ np.linalg.pinv(stains).T, 0)


def normalize(image, source, target):
    """I = Io exp(-W H) on the target's background, float64 in 0..255, not yet rounded."""
    (stains, maxima, io), (target_stains, target_maxima, target_io) = source, target
    amounts = concentrations(optical_density(np.reshape(image, (-1, 3)).astype(np.float64), io), stains)
    return (target_io * np.exp(-(amounts * (target_maxima / maxima)) @ target_stains.T)).reshape(np.shape(image))
