"""What tests of written slides share: an open slide that is an array, and what readers see of a file."""

from pathlib import Path

import numpy as np

from stainxform.slides import Level, Slide


class ArraySlide(Slide):
    """A slide of one level whose pixels are an array, uint8 ``(height, width, 3)``."""

    reader = "array"

    def __init__(self, pixels, tile=64, **facts):
        self.pixels = pixels
        height, width = pixels.shape[:2]
        super().__init__(Path("no file"), [Level((height, width), 1.0, (tile, tile))], **facts)

    def read_pixels(self, level, box):
        x, y, width, height = box
        return self.pixels[y : y + height, x : x + width].copy()

    def close_file(self):
        pass


def noise(height, width, seed=0):
    """Random pixels."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def levels_with_tifffile(path):
    """All levels that tifffile sees, as arrays."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        return [level.asarray() for level in file.series[0].levels]


def levels_with_openslide(path):
    """All levels that OpenSlide sees."""
    import openslide

    with openslide.OpenSlide(path) as file:
        return [
            np.asarray(file.read_region((0, 0), rank, size).convert("RGB"))
            for rank, size in enumerate(file.level_dimensions)
        ]


def levels_with_cucim(path):
    """All levels that cuCIM sees."""
    from cucim import CuImage

    file = CuImage(str(path))
    sizes = file.resolutions["level_dimensions"]
    return [np.asarray(file.read_region((0, 0), size, rank)) for rank, size in enumerate(sizes)]


def levels_with_tiffslide(path):
    """All levels that tiffslide sees."""
    import tiffslide

    with tiffslide.TiffSlide(path) as file:
        return [
            np.asarray(file.read_region((0, 0), rank, size).convert("RGB"))
            for rank, size in enumerate(file.level_dimensions)
        ]


READERS = {
    "tifffile": levels_with_tifffile,
    "openslide": levels_with_openslide,
    "cucim": levels_with_cucim,
    "tiffslide": levels_with_tiffslide,
}
