"""Color spaces, and interpolation between colors.

Every function takes planes ``(3, ...)`` with red, green, blue first, as a numpy array or a torch tensor of floats in
[0, 1].
"""

from stainxform.color.spaces import (
    D65,
    GRAY_WEIGHTS,
    RGB_FROM_XYZ,
    STAINTOOLS_DENSITY,
    STAINTOOLS_LIGHTEST,
    XYZ_FROM_RGB,
    BackgroundDensity,
    CIELab,
    ColorSpace,
    LAlphaBeta,
    LogarithmicSpace,
    LogDensity,
    OpticalDensity,
    Planes,
    ReversibleDensity,
    as_index,
    constant,
    gray,
    mix,
    namespace,
    stack,
)

__all__ = [
    "D65",
    "GRAY_WEIGHTS",
    "RGB_FROM_XYZ",
    "STAINTOOLS_DENSITY",
    "STAINTOOLS_LIGHTEST",
    "XYZ_FROM_RGB",
    "BackgroundDensity",
    "CIELab",
    "ColorSpace",
    "LAlphaBeta",
    "LogDensity",
    "LogarithmicSpace",
    "OpticalDensity",
    "Planes",
    "ReversibleDensity",
    "as_index",
    "constant",
    "gray",
    "mix",
    "namespace",
    "stack",
]
