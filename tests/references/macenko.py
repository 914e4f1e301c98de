"""Macenko et al. 2009. Images are ``(H, W, 3)`` in 0..255; stain matrices ``(3, 2)``, hematoxylin first."""

import numpy as np

IO = 240


def veta_fit(image, beta=0.15, alpha=1):
    """The statements of the original MATLAB toolbox (M. Veta, 2013): stain matrix and 99th percentiles."""
    pixels = np.asarray(image, np.float64).reshape(-1, 3)
    od = -np.log((pixels + 1) / IO)
    stained = od[~(od < beta).any(axis=1)]
    plane = np.linalg.eigh(np.cov(stained.T))[1][:, 1:3]
    projected = stained @ plane
    phi = np.arctan2(projected[:, 1], projected[:, 0])
    low, high = (plane @ [np.cos(p), np.sin(p)] for p in np.percentile(phi, [alpha, 100 - alpha]))
    stains = np.stack([low, high] if low[0] > high[0] else [high, low], axis=1)
    return stains, maxima(od, stains)


def paper_fit(image, beta=0.15, alpha=1):
    """The algorithm box of the paper: decadic OD, SVD of the OD itself, angles to the first SVD direction."""
    pixels = np.asarray(image, np.float64).reshape(-1, 3)
    od = -np.log10((pixels + 1) / IO)
    stained = od[(od >= beta).all(axis=1)]
    first, second, _ = np.linalg.svd(stained, full_matrices=False)[2]
    first = first * np.sign(first.sum())
    projected = stained @ np.stack([first, second], axis=1)
    projected /= np.linalg.norm(projected, axis=1, keepdims=True)
    angles = np.arctan2(projected[:, 1], projected[:, 0])
    low, high = (np.cos(p) * first + np.sin(p) * second for p in np.percentile(angles, [alpha, 100 - alpha]))
    stains = np.stack([low, high] if low[0] > high[0] else [high, low], axis=1)
    return stains, maxima(od * np.log(10), stains)


def maxima(od, stains):
    """99th percentile of the least-squares concentration of each stain, in natural-log units."""
    return np.percentile(np.linalg.lstsq(stains, od.T, rcond=None)[0], 99, axis=1)


def normalize(image, source_stains, source_maxima, target_stains, target_maxima):
    """Separate, scale, recombine: I = Io exp(-HE C), float64 in 0..255, not yet rounded."""
    pixels = np.asarray(image, np.float64).reshape(-1, 3)
    od = -np.log((pixels + 1) / IO)
    concentrations = np.linalg.lstsq(source_stains, od.T, rcond=None)[0]
    scaled = concentrations * (np.asarray(target_maxima) / source_maxima)[:, None]
    return np.minimum(IO * np.exp(-target_stains @ scaled), 255).T.reshape(np.shape(image))
