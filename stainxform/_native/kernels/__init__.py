"""Color maps and estimation steps for which there is compiled code: thin wrappers that fill in its structures.

Every one of them has a plain counterpart, which is its definition: the ``evaluate`` of a color map, the numpy function
of an estimation. Colors of maps agree with it to 1e-5 of the range, which moves an 8-bit result by one level where it
falls between two; estimates agree to 1e-9.
"""

from __future__ import annotations

from stainxform._native.kernels.colors import (
    channel_counts,
    color_counts,
    count_between,
    lab_of_levels,
    look_up,
    mean_level,
    recolor,
    to_levels,
)
from stainxform._native.kernels.encoder import (
    EncoderKernel,
    gray_levels,
)
from stainxform._native.kernels.estimation import (
    Colors,
    factorize,
    lasso,
    level_amount_percentiles,
    level_angle_percentiles,
    level_moments,
    moments,
    percentiles,
    project,
)
from stainxform._native.kernels.halve import halve
from stainxform._native.kernels.maps import (
    DensityKernel,
    HsvKernel,
    Kernel,
    LabKernel,
    MixtureKernel,
    StainKernel,
)
from stainxform._native.kernels.tables import (
    CurveKernel,
    Lut3DKernel,
    NetworkKernel,
    four_values,
    gray_lut,
    lut4d,
)
from stainxform._native.kernels.tissue import TissueDensityKernel, TissueLightKernel, TissueWeight

__all__ = [
    "Colors",
    "CurveKernel",
    "DensityKernel",
    "EncoderKernel",
    "HsvKernel",
    "Kernel",
    "LabKernel",
    "Lut3DKernel",
    "MixtureKernel",
    "NetworkKernel",
    "StainKernel",
    "TissueDensityKernel",
    "TissueLightKernel",
    "TissueWeight",
    "channel_counts",
    "color_counts",
    "count_between",
    "factorize",
    "four_values",
    "gray_levels",
    "gray_lut",
    "halve",
    "lab_of_levels",
    "lasso",
    "level_amount_percentiles",
    "level_angle_percentiles",
    "level_moments",
    "look_up",
    "lut4d",
    "mean_level",
    "moments",
    "percentiles",
    "project",
    "recolor",
    "to_levels",
]
