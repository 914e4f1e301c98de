"""Whole slides: read through one protocol whatever the reader, where the tissue is on them, and written normalized."""

from stainxform.slides.base import Level, Slide, TileBatch
from stainxform.slides.files import SUFFIXES
from stainxform.slides.grid import TileGrid
from stainxform.slides.readers.registry import READERS, open_slide, register_reader
from stainxform.slides.sampling import SlideTiles
from stainxform.slides.tissue import TissueGrid, TissueMask, likely_tissue, tissue_of
from stainxform.slides.writer.options import PyramidOptions
from stainxform.slides.writer.write import WrittenSlide, write_slide

__all__ = [
    "READERS",
    "SUFFIXES",
    "Level",
    "PyramidOptions",
    "Slide",
    "SlideTiles",
    "TileBatch",
    "TileGrid",
    "TissueGrid",
    "TissueMask",
    "WrittenSlide",
    "likely_tissue",
    "open_slide",
    "register_reader",
    "tissue_of",
    "write_slide",
]
