"""How a pyramid is written: its layout, its tiles and how they are compressed."""

from __future__ import annotations

from dataclasses import dataclass

from stainxform.errors import ParameterError

__all__ = ["LARGEST_TILE", "LAYOUTS", "SUBSAMPLINGS", "TILE", "PyramidOptions"]

LAYOUTS = ("dual", "ome", "generic", "svs")
SUBSAMPLINGS = {"4:4:4": (1, 1), "4:2:2": (2, 1), "4:2:0": (2, 2)}
"""Pixels that share a color difference, across and down."""

TILE = 256
"""Side of the tiles where the source has none that may be taken over."""

LARGEST_TILE = 2048


@dataclass(frozen=True)
class PyramidOptions:
    """How a pyramid is written.

    Parameters
    ----------
    layout : str, optional
        "dual": an OME-TIFF whose levels are also listed in the main chain, all of them seen by OpenSlide, cuCIM,
        tiffslide, tifffile and Bio-Formats; "ome": the levels as SubIFDs only, as the OME specification asks;
        "generic": a plain chain; "svs": like Aperio's files, whose maker it claims, with a thumbnail made from the
        pixels written.
    tile : int, optional
        Side of the tiles, a multiple of 16 up to 2048; None: the source's, if it is one, else 256.
    quality : int, optional
        Quality of JPEG, 1 to 100.
    subsampling : str, optional
        Subsampling of JPEG's color differences, "4:4:4", "4:2:2" or "4:2:0".
    lossless : bool, optional
        Deflate instead of JPEG.

    Raises
    ------
    ParameterError
        Values that make no sense.
    """

    layout: str = "dual"
    tile: int | None = None
    quality: int = 90
    subsampling: str = "4:4:4"
    lossless: bool = False

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise ParameterError(f"layout must be one of: {', '.join(LAYOUTS)}; got {self.layout!r}")
        if self.subsampling not in SUBSAMPLINGS:
            raise ParameterError(f"subsampling must be one of: {', '.join(SUBSAMPLINGS)}; got {self.subsampling!r}")
        if not isinstance(self.quality, int) or not 1 <= self.quality <= 100:
            raise ParameterError(f"quality must be between 1 and 100 and whole, got {self.quality!r}")
        if self.tile is not None and not _is_tile(self.tile):
            raise ParameterError(f"tile must be a multiple of 16 between 16 and {LARGEST_TILE}, got {self.tile}")

    def tile_for(self, source: tuple[int, int]) -> int:
        """Side of the tiles for a source whose tiles are (width, height)."""
        if self.tile is not None:
            return self.tile
        width, height = source
        return width if width == height and width >= 128 and _is_tile(width) else TILE


def _is_tile(side: int) -> bool:
    return isinstance(side, int) and side % 16 == 0 and 16 <= side <= LARGEST_TILE
