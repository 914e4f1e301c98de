"""Distances between two 8-bit RGB images of the same tissue."""

from __future__ import annotations

import math

import numpy as np

from stainxform.errors import InvalidImageError

__all__ = ["SSIM_WINDOW", "check_pair", "ciede2000", "gray_ssim", "psnr", "ssim"]

SSIM_WINDOW = 11
"""Side of the Gaussian window of SSIM, in pixels; smaller images have no SSIM."""


def psnr(image: np.ndarray, reference: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, ``10 log10(255^2 / MSE)`` over all pixels and channels (StainLUT, eq. 10).

    Parameters
    ----------
    image, reference : ndarray
        uint8 ``(H, W, 3)``.

    Returns
    -------
    float
        dB; infinite if the images are equal.

    Raises
    ------
    InvalidImageError
        No 8-bit RGB images, of different shapes, or empty.
    """
    check_pair(image, reference)
    error = float(np.square(image.astype(np.float64) - reference).mean())
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def ssim(image: np.ndarray, reference: np.ndarray) -> float:
    """Structural similarity with the defaults of Wang et al. 2004, mean over pixels and channels.

    Gaussian window of 11 x 11 pixels with sigma 1.5, K1 = .01, K2 = .03, population statistics.

    Parameters
    ----------
    image, reference : ndarray
        uint8 ``(H, W, 3)``, at least 11 x 11 pixels.

    Returns
    -------
    float
        -1..1; 1 if the images are equal.

    Raises
    ------
    InvalidImageError
        As for :func:`psnr`, or smaller than the window.
    """
    check_pair(image, reference)
    _check_window(image)
    return _wang(image, reference, channel_axis=-1)


def gray_ssim(image: np.ndarray, reference: np.ndarray) -> float:
    """The same of one plane: float64 ``(H, W)`` in 0..255 each, of one shape."""
    _check_window(image)
    return _wang(image, reference, channel_axis=None)


def _wang(image: np.ndarray, reference: np.ndarray, channel_axis: int | None) -> float:
    from skimage.metrics import structural_similarity

    return float(
        structural_similarity(  # type: ignore[no-untyped-call]
            image,
            reference,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
            channel_axis=channel_axis,
        )
    )


def _check_window(image: np.ndarray) -> None:
    if min(image.shape[:2]) < SSIM_WINDOW:
        raise InvalidImageError(
            f"SSIM needs images of at least {SSIM_WINDOW} x {SSIM_WINDOW} pixels, got shape {image.shape}"
        )


def ciede2000(image: np.ndarray, reference: np.ndarray) -> float:
    """Mean CIEDE2000 color difference (sRGB, D65): about 1 is just noticeable.

    Parameters
    ----------
    image, reference : ndarray
        uint8 ``(H, W, 3)``.

    Returns
    -------
    float
        0 or more; 0 if the images are equal.

    Raises
    ------
    InvalidImageError
        As for :func:`psnr`.
    """
    check_pair(image, reference)
    from skimage.color import deltaE_ciede2000, rgb2lab

    difference = deltaE_ciede2000(rgb2lab(reference), rgb2lab(image))  # type: ignore[no-untyped-call]
    return float(difference.mean())


def check_pair(image: np.ndarray, reference: np.ndarray) -> None:
    """Raise InvalidImageError for what is no pair of uint8 RGB images of one shape."""
    for name, array in (("image", image), ("reference", reference)):
        if not isinstance(array, np.ndarray) or array.dtype != np.uint8:
            kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise InvalidImageError(
                f"expected the {name} as a uint8 numpy array, got {kind}; convert it to 0..255 first"
            )
        if array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
            raise InvalidImageError(f"expected the {name} as RGB of shape (H, W, 3), got shape {array.shape}")
    if image.shape != reference.shape:
        raise InvalidImageError(f"the images must have one shape, got {image.shape} and {reference.shape}; crop one")
