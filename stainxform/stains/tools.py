"""Stain tools: from an image to the amounts of its stains and back, and the stains of an image."""

from __future__ import annotations

from typing import Any

import numpy as np

from stainxform._optional import is_tensor
from stainxform.color import ColorSpace, OpticalDensity, mix
from stainxform.errors import InvalidImageError, ParameterError
from stainxform.image.layout import (
    Image,
    ImageSpec,
    ValueRange,
    as_numpy,
    blocks,
    check_image,
    read_planes,
    working_dtype,
    write_planes,
)
from stainxform.io.sources import histograms_of
from stainxform.stains.estimate import estimator_of
from stainxform.stains.references import match_stains, stain_matrix_of
from stainxform.stains.separation import LeastSquares, NonnegativeLasso, Separation

__all__ = ["DENSITY", "combine_stains", "estimate_stain_matrix", "separate_stains"]

DENSITY = OpticalDensity(io=255, offset=0, darkest=1)
"""The optical density of the stain tools: that of white is 0, black counts as level 1, and the way back is exact."""


def separate_stains(
    image: Image,
    stain_matrix: str | np.ndarray = "he",
    *,
    space: ColorSpace = DENSITY,
    nonnegative: bool = False,
    value_range: ValueRange | None = None,
    channel_axis: int | None = None,
) -> Image:
    """Separate an image into the amounts of its stains (color deconvolution).

    Parameters
    ----------
    image : ndarray or Tensor
        numpy ``(H, W, 3)`` or ``(N, H, W, 3)``, or torch ``(..., 3, H, W)``; uint8 or float.
    stain_matrix : str or ndarray, optional
        Name of published stains (see :func:`~stainxform.stains.references.reference_stains`; default hematoxylin and
        eosin of Ruifrok and Johnston), or ``(3, 2)`` or ``(3, 3)``, one stain's optical density in each column, as
        :func:`estimate_stain_matrix` gives it. :func:`~stainxform.stains.references.complement_stains` adds the
        residual to two stains, so that nothing is lost.
    space : ColorSpace, optional
        The optical-density convention; default: OD = -ln(I / 255), with I at least one level.
    nonnegative : bool, optional
        No amount below 0: the best fit with two stains (non-negative least squares), least squares with negative
        amounts set to 0 with three.
    value_range : (float, float), optional
        As for every image.
    channel_axis : int, optional
        As for every image.

    Returns
    -------
    ndarray or Tensor
        Amounts in place of the channels: numpy ``(H, W, k)`` and so on, torch ``(..., k, H, W)``; float64 for float64
        images, else float32. In multiples of the stain's column: natural-log optical density for unit columns. Tensors
        are computed by numpy and go back to their device, without gradients.

    Raises
    ------
    InvalidImageError
        No RGB image.
    ParameterError
        No stain matrix.

    Notes
    -----
    Ruifrok and Johnston, "Quantification of histochemical staining by color deconvolution", Anal. Quant. Cytol. Histol.
    23(4), 2001.
    """
    spec = check_image(image, value_range, channel_axis)
    matrix = stain_matrix_of(stain_matrix)
    lengths = np.linalg.norm(matrix, axis=0)
    separation = _separation(matrix / lengths, nonnegative)
    pixels = as_numpy(image)
    source = np.moveaxis(pixels, spec.channel_axis, 0)
    result, target = _like(pixels, spec.channel_axis, matrix.shape[1], working_dtype(pixels.dtype))
    for index in blocks(source):
        amounts = separation(space.from_rgb(read_planes(source[index], spec)))
        target[index] = np.stack([amount / float(length) for amount, length in zip(amounts, lengths)])
    return _on_device(result, image)


def combine_stains(
    concentrations: Image,
    stain_matrix: str | np.ndarray = "he",
    *,
    space: ColorSpace = DENSITY,
    value_range: ValueRange | None = None,
    channel_axis: int | None = None,
) -> Image:
    """Show amounts of stains as an image: the inverse of :func:`separate_stains`.

    Exact to the rounding for three stains; with two, colors come back as the nearest that both can mix.

    Parameters
    ----------
    concentrations : ndarray or Tensor
        float numpy ``(..., H, W, k)`` or torch ``(..., k, H, W)``.
    stain_matrix : str or ndarray, optional
        Those that separated the image.
    space : ColorSpace, optional
        Those that separated the image.
    value_range : (float, float), optional
        None for a uint8 image, (low, high) for a float one.
    channel_axis : int, optional
        Position of the stains, default -1 for numpy and -3 for torch.

    Returns
    -------
    ndarray or Tensor
        RGB image of the same kind and layout, uint8, or of the dtype of the concentrations; clipped to the range.

    Raises
    ------
    InvalidImageError
        The shape, type or values of the concentrations are wrong.
    ParameterError
        No stain matrix, or a value range that is empty.
    """
    axis = channel_axis if channel_axis is not None else (-3 if is_tensor(concentrations) else -1)
    if axis not in (-1, -3):
        raise ParameterError(f"channel_axis must be -1 (H, W, k) or -3 (k, H, W), got {axis}")
    low, high = (0.0, 255.0) if value_range is None else (float(value_range[0]), float(value_range[1]))
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ParameterError(f"value_range must be (low, high) with low < high, got {value_range}")
    spec = ImageSpec(axis, low, high, value_range is None)
    matrix, amounts = stain_matrix_of(stain_matrix), as_numpy(concentrations)
    if amounts.dtype.kind != "f" or amounts.ndim < 3 or amounts.shape[axis] != matrix.shape[1]:
        raise InvalidImageError(
            f"expected float amounts of {matrix.shape[1]} stains on axis {axis}, "
            f"got {amounts.dtype} of shape {amounts.shape}"
        )
    if not np.isfinite(amounts).all():
        raise InvalidImageError("the amounts of stain hold NaN or infinite values")
    source = np.moveaxis(amounts, axis, 0)
    result, target = _like(amounts, axis, 3, np.dtype(np.uint8) if spec.integer else amounts.dtype)
    for index in blocks(source):
        planes = source[index].astype(working_dtype(amounts.dtype))
        write_planes(space.to_rgb(mix(matrix, planes)), target[index], spec)
    return _on_device(result, concentrations)


def estimate_stain_matrix(
    image: Image,
    method: str = "macenko",
    *,
    reference: str | np.ndarray = "he",
    value_range: ValueRange | None = None,
    channel_axis: int | None = None,
    **settings: Any,
) -> np.ndarray:
    """Estimate the two stains of an image, or of a batch together.

    Parameters
    ----------
    image : ndarray or Tensor
        numpy ``(H, W, 3)`` or ``(N, H, W, 3)``, or torch ``(..., 3, H, W)``; uint8 or float.
    method : str, optional
        "macenko", "vahadane", "ramakrishnan", "khan", or another in ``stainxform.stains.ESTIMATORS``.
    reference : str or ndarray, optional
        Name or ``(3, 2)`` matrix of the stains to be found, e.g. "hdab"; says which vector is which.
    value_range : (float, float), optional
        As for every image.
    channel_axis : int, optional
        As for every image.
    **settings
        Settings of the method.

    Returns
    -------
    ndarray
        float64 ``(3, 2)``, unit optical-density vectors in columns, in the order of the reference.

    Raises
    ------
    InvalidImageError
        No RGB image.
    NotEnoughTissueError
        Too little tissue, or a single stain.
    ParameterError
        A method without a stain matrix, a wrong setting, or an unknown reference.
    """
    estimator = estimator_of(method, **settings)
    spec = check_image(image, value_range, channel_axis)
    pixels = np.moveaxis(as_numpy(image), spec.channel_axis, -1)
    if not spec.integer:
        pixels = np.clip((pixels.astype(np.float64) - spec.low) / spec.scale, 0, 1)
    return match_stains(estimator.estimate_tiles(histograms_of(pixels)).stain_matrix, reference)


def _separation(units: np.ndarray, nonnegative: bool) -> Separation:
    if nonnegative and units.shape[1] == 2:
        return NonnegativeLasso(units)
    return LeastSquares(units, positive=nonnegative)


def _like(pixels: np.ndarray, axis: int, channels: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """A new array of the same layout with other channels, and its channels-first view."""
    shape = list(pixels.shape)
    shape[axis] = channels
    result = np.empty(shape, dtype)
    return result, np.moveaxis(result, axis, 0)


def _on_device(result: np.ndarray, image: Image) -> Image:
    """The result as a plain tensor where the image was, if it was a tensor."""
    if not is_tensor(image):
        return result
    import torch

    return torch.from_numpy(result).to(image.device)
