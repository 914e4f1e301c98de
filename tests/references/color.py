"""Color spaces from their standards. Pixels are float64 ``(..., 3)`` with RGB in [0, 1]."""

import numpy as np

# ITU-R BT.709 primaries, D65 white, to CIE XYZ; six digits, as tabulated by Poynton and used by scikit-image.
XYZ_FROM_RGB = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
)
D65 = np.array([0.95047, 1.0, 1.08883])

# Reinhard et al. 2001, eq. 4 and 5.
LMS_FROM_RGB = np.array([[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]])
OPPONENT = np.diag(1 / np.sqrt([3, 6, 2])) @ [[1, 1, 1], [1, 1, -2], [1, -1, 0]]


def cielab_from_rgb(rgb):
    """IEC 61966-2-1 decoding, then CIE 15: L* = 116 f(Y/Yn) - 16, with f(t) = t^(1/3) above (24/116)^3."""
    linear = np.array(
        [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in rgb.ravel()]
    )
    t = linear.reshape(rgb.shape) @ XYZ_FROM_RGB.T / D65
    f = np.where(t > (24 / 116) ** 3, np.cbrt(t), 841 / 108 * t + 16 / 116)
    fx, fy, fz = np.moveaxis(f, -1, 0)
    return np.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], -1)


def rgb_from_cielab(lab):
    """The inverse of :func:`cielab_from_rgb`, unclipped."""
    lightness, a, b = np.moveaxis(lab, -1, 0)
    fy = (lightness + 16) / 116
    f = np.stack([fy + a / 500, fy, fy - b / 200], -1)
    t = np.where(f > 24 / 116, f**3, 108 / 841 * (f - 16 / 116))
    linear = np.linalg.solve(XYZ_FROM_RGB, (t * D65).reshape(-1, 3).T).T.ravel()
    rgb = [12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055 for value in linear]
    return np.array(rgb).reshape(lab.shape)


def lalphabeta_from_rgb(rgb, floor=1 / 255):
    """Logarithm of cone responses, rotated to l, alpha, beta; responses below one 8-bit level are lifted to it."""
    return np.log10(np.maximum(rgb @ LMS_FROM_RGB.T, floor)) @ OPPONENT.T


def rgb_from_lalphabeta(lab):
    """The inverse of :func:`lalphabeta_from_rgb`, unclipped; OPPONENT is orthogonal."""
    return np.linalg.solve(LMS_FROM_RGB, (10.0 ** (lab @ OPPONENT)).reshape(-1, 3).T).T.reshape(lab.shape)
