"""Tiles that a file does not hold: made up for on lower levels, on level 0 an error or glass, as the user says."""

import numpy as np
import pytest
from PIL import Image

import stainxform as sx
from stainxform.errors import ParameterError, SlideError
from stainxform.slides import READERS, tissue_of

tifffile = pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")

from slide_files import tissue, write  # noqa: E402

TILE = 64
ROW, COLUMN = 1, 2
"""Of the tile that is missing."""

LEVELS = {"level 0": [0], "level 1": [1], "both": [0, 1]}
TAGS = {"count": ["TileByteCounts"], "offset": ["TileOffsets"], "both": ["TileByteCounts", "TileOffsets"]}


def lacking(path, levels, tags=("TileByteCounts", "TileOffsets"), tiles=((ROW, COLUMN),)):
    """A pyramid of three levels, of which some tiles have no bytes, or no place."""
    write(path, tissue(), "deflate")
    with tifffile.TiffFile(path, mode="r+") as file:
        for level in levels:
            page = file.pages[level]
            for name in tags:
                values = list(page.tags[name].value)
                for row, column in tiles:
                    values[row * -(-page.imagewidth // TILE) + column] = 0
                page.tags[name].overwrite(values)
    return path


@pytest.fixture(params=list(READERS))
def reader(request):
    pytest.importorskip(request.param)
    return request.param


def means(slide, level):
    """A level as means over areas of level 0."""
    height, width = slide.levels[level].shape
    whole = Image.fromarray(slide.read(0, 0, 0, *slide.levels[0].shape[::-1]))
    return np.asarray(whole.resize((width, height), Image.Resampling.BOX))


BOX = COLUMN * TILE, ROW * TILE, TILE, TILE


@pytest.mark.parametrize("tags", TAGS)
@pytest.mark.parametrize("levels", LEVELS)
def test_a_missing_tile(reader, levels, tags, tmp_path):
    """In all layouts, with all readers: nothing but level 0 may fail, and what is made up is like what was there."""
    if reader == "openslide" and tags == "offset":
        pytest.skip("OpenSlide decodes what lies at offset 0")
    path = lacking(tmp_path / "slide.tif", LEVELS[levels], TAGS[tags])
    whole = write(tmp_path / "whole.tif", tissue(), "deflate")
    on_level_0 = 0 in LEVELS[levels]
    with sx.open_slide(path, reader) as slide, sx.open_slide(whole, "tifffile") as expected:
        assert slide.missing == "fail"
        for level in range(3):
            found = slide.missing_tiles(level)
            assert found.sum() == (level in LEVELS[levels])
            assert not found.any() or found[ROW, COLUMN]
        if on_level_0:
            with pytest.raises(SlideError, match=r"level 0, the .* at x=128, y=64 is missing; pass missing='white'"):
                slide.read(0, *BOX)
            with pytest.raises(SlideError, match="is missing"):
                list(slide.tiles())
        else:
            np.testing.assert_array_equal(slide.read(0, *BOX), expected.read(0, *BOX))
        if levels == "level 1":
            difference = slide.read(1, *BOX).astype(int) - means(expected, 1)[64:128, 128:192]
            assert np.abs(difference).max() <= 1
            np.testing.assert_array_equal(
                next(b.pixels[0] for b in slide.tiles(1, batch=1) if (b.indices == [ROW, COLUMN]).all()),
                slide.read(1, *BOX),
            )
    with sx.open_slide(path, reader, missing="white") as slide, sx.open_slide(whole, "tifffile") as expected:
        if on_level_0:
            assert (slide.read(0, *BOX) == 255).all()
        near = expected.read(0, 100, 40, 120, 100)
        if on_level_0:
            near[24:88, 28:92] = 255
        np.testing.assert_array_equal(slide.read(0, 100, 40, 120, 100), near)
        tissue_of(slide, 1)


def test_a_lower_level_may_be_empty(tmp_path):
    """The mask comes from what is there."""
    path = lacking(tmp_path / "slide.tif", [1, 2], tiles=[])
    with tifffile.TiffFile(path, mode="r+") as file:
        for level in (1, 2):
            tag = file.pages[level].tags["TileByteCounts"]
            tag.overwrite([0] * len(tag.value))
    with sx.open_slide(path) as slide, sx.open_slide(write(tmp_path / "whole.tif", tissue(), "deflate")) as whole:
        assert slide.missing_tiles(1).all()
        found, expected = (tissue_of(each, 2).mask for each in (slide, whole))
        assert (found != expected).mean() < 0.03


def test_a_large_step_between_levels_takes_little_memory(tmp_path):
    """A level 32 times as coarse, all of it missing."""
    import tracemalloc

    image = np.tile(tissue(512, 512), (8, 8, 1))
    path = tmp_path / "slide.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(image, tile=(256, 256), photometric="rgb", compression="deflate")
        file.write(image[::32, ::32], tile=(128, 128), photometric="rgb", compression="deflate", subfiletype=1)
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages[1].tags["TileByteCounts"].overwrite([0])
    means = image.reshape(128, 32, 128, 32, 3).mean((1, 3))
    with sx.open_slide(path) as slide:
        tracemalloc.start()
        found = slide.read(1, 0, 0, 128, 128)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert np.abs(found - means).max() <= 1
    assert peak < 100e6


def test_a_damaged_tile_is_not_a_missing_one(tmp_path):
    path = write(tmp_path / "slide.tif", tissue(), "deflate")
    with tifffile.TiffFile(path) as file:
        offset = file.pages[0].dataoffsets[0]
    data = bytearray(path.read_bytes())
    data[offset : offset + 40] = bytes(40)
    path.write_bytes(data)
    with sx.open_slide(path, missing="white") as slide, pytest.raises(SlideError, match="is damaged"):
        slide.read(0, 0, 0, 64, 64)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"missing": "black"}, "missing must be one of: fail, white; got 'black'"),
        ({"mpp": 0}, "from 0.01 to 200, got 0"),
        ({"mpp": float("nan")}, "from 0.01 to 200"),
        ({"mpp": (0.25,)}, "one number, or x and y"),
        ({"mpp": "0.25x"}, "one number, or x and y"),
    ],
)
def test_what_the_user_says_must_make_sense(said, message, tmp_path):
    with pytest.raises(ParameterError, match=message):
        sx.open_slide(write(tmp_path / "slide.tif", tissue()), **said)
