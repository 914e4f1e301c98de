"""Whole slides: read through one protocol whatever the reader, and where the tissue is on them."""

from stainxform.slides.base import Level, Slide, TileBatch
from stainxform.slides.grid import TileGrid
from stainxform.slides.open import READERS, open_slide
from stainxform.slides.tissue import TissueGrid, TissueMask, likely_tissue, tissue_of

__all__ = [
    "READERS",
    "Level",
    "Slide",
    "TileBatch",
    "TileGrid",
    "TissueGrid",
    "TissueMask",
    "likely_tissue",
    "open_slide",
    "tissue_of",
]
