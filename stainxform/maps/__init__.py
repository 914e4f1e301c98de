"""Color maps: pure functions from RGB to RGB, in closed form or as 3D lookup tables."""

from stainxform.maps.base import ColorMap, IdentityMap, ImageMap, TileMap
from stainxform.maps.combine import ChainMap, MixtureMap, blend
from stainxform.maps.cube import read_cube, write_cube
from stainxform.maps.lut3d import BakeError, Lut3DMap, bake, bake_center, bake_error
from stainxform.maps.pointwise import (
    ChannelAffineMap,
    CurveMap,
    NonnegativeStainMap,
    PointwiseNetMap,
    StainMatrixMap,
)
from stainxform.maps.polynomial import PolynomialFit, PolynomialMap
from stainxform.maps.transport import TransportMap

__all__ = [
    "BakeError",
    "ChainMap",
    "ChannelAffineMap",
    "ColorMap",
    "CurveMap",
    "IdentityMap",
    "ImageMap",
    "Lut3DMap",
    "MixtureMap",
    "NonnegativeStainMap",
    "PointwiseNetMap",
    "PolynomialFit",
    "PolynomialMap",
    "StainMatrixMap",
    "TileMap",
    "TransportMap",
    "bake",
    "bake_center",
    "bake_error",
    "blend",
    "read_cube",
    "write_cube",
]
