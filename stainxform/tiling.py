"""Maps applied part by part, without a seam. The code is in :mod:`stainxform.maps.tiling`."""

from stainxform.maps.tiling import (
    Box,
    apply_in_tiles,
    surroundings,
)

__all__ = ["Box", "apply_in_tiles", "surroundings"]
