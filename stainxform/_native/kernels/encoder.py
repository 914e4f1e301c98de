"""The full-resolution part of StainLUT in compiled code."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stainxform._native import native
from stainxform._native.signatures import EncoderWeights

ENCODER_WORK = 16
"""Work of the Encoder on a pixel, in pixels of the fastest kernel."""


def gray_levels(source: np.ndarray, low: float, scale: float, weights: tuple[float, float, float]) -> np.ndarray:
    """Weighted mean of pixels ``(3, H, W)`` as uint8 ``(H, W)``."""
    out = np.empty(source.shape[1:], np.uint8)
    native.call(
        "sx_gray", native.view(source, low, scale), np.array(weights, np.float32), out, native.threads_for(out.size)
    )
    return out


@dataclass(frozen=True, eq=False)
class EncoderKernel:
    """StainLUT's Encoder, gray to context; float32 arrays.

    Parameters
    ----------
    first : ndarray
        ``(9, 16)``, the kernel for one gray channel; taps row by row, then outputs.
    middle : ndarray
        ``(3, 9, 16, 16)``: layer, tap, in, out.
    last : ndarray
        ``(9, 16)``: tap, in.
    biases : ndarray
        ``(4, 16)`` of the first and the middle layers.
    last_bias : float
        Bias of the last layer.
    gain, shift : ndarray
        ``(4, 16)``, weight and bias of the normalizations.
    mean, variance : ndarray or None
        ``(4, 16)`` to normalize with; None: those of the image.
    epsilon : float
        Added to the variance.
    """

    first: np.ndarray
    middle: np.ndarray
    last: np.ndarray
    biases: np.ndarray
    last_bias: float
    gain: np.ndarray
    shift: np.ndarray
    mean: np.ndarray | None
    variance: np.ndarray | None
    epsilon: float

    def __call__(self, gray: np.ndarray, fast: bool) -> np.ndarray:
        """Context, float32 ``(H, W)`` in [0, 1], of contiguous uint8 grays ``(H, W)``.

        ``fast`` takes bfloat16 where the instruction set in use has matrix tiles for it. No result depends on the
        number of threads.
        """
        arrays = (self.first, self.middle, self.last, self.biases, self.gain, self.shift, self.mean, self.variance)
        net = EncoderWeights.of(*arrays, self.last_bias, self.epsilon)
        context = np.empty(gray.shape, np.float32)
        height, width = gray.shape
        threads = native.threads_for(gray.size * ENCODER_WORK)
        native.call("sx_encode", gray, height, width, net, int(fast), context, threads)
        return context
