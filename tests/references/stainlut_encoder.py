"""StainLUT's Encoder in plain float64 loops over taps: gray levels ``(H, W)`` to context ``(H, W)``."""

import numpy as np


def convolve(planes, weight, bias):
    """3x3 cross-correlation with zeros outside: ``(C, H, W)``, ``(O, C, 3, 3)``, ``(O,)`` -> ``(O, H, W)``."""
    _, height, width = planes.shape
    padded = np.pad(planes, ((0, 0), (1, 1), (1, 1)))
    result = np.zeros((len(weight), height, width)) + bias[:, None, None]
    for row in range(3):
        for column in range(3):
            window = padded[:, row : row + height, column : column + width]
            result += np.einsum("oc,chw->ohw", weight[:, :, row, column], window)
    return result


def normalize(planes, arrays, number, kind):
    """Instance norm with the statistics of the image, with running ones, or none."""
    if kind == "none":
        return planes
    if kind == "instance":
        mean, variance = planes.mean((1, 2)), planes.var((1, 2))
    else:
        mean, variance = (arrays[f"norms.{number}.running_{name}"] for name in ("mean", "var"))
    gain, shift = (arrays[f"norms.{number}.{name}"] for name in ("weight", "bias"))
    scale = gain / np.sqrt(variance + 1e-5)
    return planes * scale[:, None, None] + (shift - mean * scale)[:, None, None]


def encode(gray, arrays, kind):
    """``arrays`` are the weights by the names of the network's own parts."""
    arrays = {name: np.asarray(array, np.float64) for name, array in arrays.items()}

    def layer(planes, name, number):
        planes = convolve(planes, arrays[f"{name}.weight"], arrays[f"{name}.bias"])
        return normalize(np.where(planes > 0, planes, 0.2 * planes), arrays, number, kind)

    x = first = layer(np.repeat(gray[None] / 255, 3, axis=0), "first", 0)
    for number in range(3):
        x = layer(x, f"convs.{number}", number + 1)
    return 1 / (1 + np.exp(-convolve(x + first, arrays["last.weight"], arrays["last.bias"])[0]))
