"""The files that are written: their readers, levels, pixels, and what they say and do not say."""

import itertools
import re
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import laws

import stainxform as sx
from stainxform._native.kernels import halve
from stainxform._native.kernels.halve import halve_plainly
from stainxform.errors import ParameterError
from stainxform.slides import PyramidOptions, write_slide
from stainxform.slides.writer.bigtiff import rational
from stainxform.slides.writer.quadtree import PendingLevels, level_shapes, z_order

tifffile = pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")

from pyramid_files import READERS, ArraySlide, noise  # noqa: E402
from slide_files import tissue  # noqa: E402

MPP = (0.25, 0.2625)
SEES_ALL = {
    "dual": {"openslide", "cucim", "tiffslide", "tifffile"},
    "ome": {"tiffslide", "tifffile"},
    "generic": {"openslide", "cucim", "tiffslide", "tifffile"},
    "svs": {"openslide", "cucim", "tiffslide", "tifffile"},
}
ALLOWED = {
    "NewSubfileType", "ImageWidth", "ImageLength", "BitsPerSample", "Compression", "PhotometricInterpretation",
    "ImageDescription", "SamplesPerPixel", "XResolution", "YResolution", "PlanarConfiguration", "ResolutionUnit",
    "Software", "TileWidth", "TileLength", "TileOffsets", "TileByteCounts", "SubIFDs", "JPEGTables",
    "YCbCrSubSampling", "InterColorProfile", "StripOffsets", "RowsPerStrip", "StripByteCounts",
}  # fmt: skip


def pyramid_of(image, tile):
    """The levels as they are defined, from whole levels."""
    levels = [image]
    while max(levels[-1].shape[:2]) > tile:
        levels.append(halve_plainly(levels[-1]))
    return levels


def write(path, image, *, slide=None, icc=None, **options):
    with slide or ArraySlide(image, mpp=MPP, magnification=40.0) as source:
        write_slide(source, path, None, PyramidOptions(**{"tile": 64, **options}), icc=icc)
    return path


@pytest.fixture(scope="module", params=[{"lossless": True}, {}, {"subsampling": "4:2:0"}], ids=str)
def stored(request):
    return request.param


@pytest.fixture(scope="module", params=list(SEES_ALL))
def layout(request):
    return request.param


@pytest.fixture(scope="module")
def file(layout, stored, tmp_path_factory):
    return write(tmp_path_factory.mktemp("pyramid") / "slide.tif", tissue(), layout=layout, **stored)


@pytest.mark.parametrize("reader", list(READERS))
def test_readers_see_the_levels_that_the_layout_promises(file, layout, stored, reader):
    pytest.importorskip(reader)
    expected, found = pyramid_of(tissue(), 64), READERS[reader](file)
    assert len(expected) == 4
    if reader not in SEES_ALL[layout]:
        expected = expected[:1]
    assert [level.shape for level in found] == [level.shape for level in expected]
    for level, pixels in zip(found, expected):
        difference = np.abs(level.astype(int) - pixels)
        if stored == {"lossless": True}:
            assert not difference.any()
        else:
            assert difference.mean() < (4 if stored == {} else 8)
            assert abs(level.mean((0, 1)) - pixels.mean((0, 1))).max() < 1  # colors are not converted twice


def test_our_readers_agree_on_it(file):
    with sx.open_slide(file, "tifffile") as slide:
        assert len(slide.levels) == 4
        assert slide.mpp == pytest.approx(MPP, rel=0.03)
        for level, pixels in enumerate(READERS["tifffile"](file)):
            np.testing.assert_array_equal(slide.read(level, 0, 0, pixels.shape[1], pixels.shape[0]), pixels)


def test_only_allowed_tags_are_written(file):
    with tifffile.TiffFile(file) as opened:
        assert opened.is_bigtiff
        pages = list(opened.pages)
        pages += list(pages[0].pages or ())
        for page in pages:
            assert {tag.name for tag in page.tags} <= ALLOWED


def test_what_the_description_says(layout, tmp_path):
    path = write(tmp_path / "slide.tif", tissue(), layout=layout, icc="srgb")
    with tifffile.TiffFile(path) as opened:
        text = opened.pages[0].description
        assert "ICC profile sRGB" in text
        assert "colors as in the source" in text
        assert not re.search(r"\d{4}-\d\d-\d\d|\d\d/\d\d/\d\d|Date|Time|slide\.tif|ScanScope|Filename", text)
        assert opened.is_ome == (layout in ("ome", "dual"))
        assert opened.is_svs == (layout == "svs")
    with sx.open_slide(path, "tifffile") as slide:
        assert slide.magnification == (None if layout == "generic" else 40)
        mean = sum(MPP) / 2
        assert slide.mpp == pytest.approx((mean, mean) if layout == "svs" else MPP)
        assert slide.icc[36:40] == b"acsp"
        assert not any(slide.icc[24:36])  # no date


def test_resolutions_of_all_levels_are_right(tmp_path):
    path = write(tmp_path / "slide.tif", tissue(), layout="generic")
    with tifffile.TiffFile(path) as opened:
        for page in opened.pages:
            assert page.resolutionunit == 3
            x, y = page.resolution
            assert 10_000 / x * page.imagewidth == pytest.approx(MPP[0] * 421)
            assert 10_000 / y * page.imagelength == pytest.approx(MPP[1] * 333)


def test_openslide_knows_resolution_and_magnification(layout, tmp_path):
    openslide = pytest.importorskip("openslide")
    path = write(tmp_path / "slide.tif", tissue(), layout=layout)
    with openslide.OpenSlide(path) as opened:
        mean = sum(MPP) / 2
        assert float(opened.properties["openslide.mpp-x"]) == pytest.approx(mean if layout == "svs" else MPP[0])
        assert set(opened.associated_images) == ({"thumbnail"} if layout == "svs" else set())
        if layout == "svs":
            assert opened.properties["openslide.objective-power"] == "40"


def test_the_thumbnail_is_made_of_the_pixels_written(tmp_path):
    path = write(tmp_path / "slide.tif", tissue(), layout="svs", lossless=True)
    with tifffile.TiffFile(path) as opened:
        np.testing.assert_array_equal(opened.pages[1].asarray(), pyramid_of(tissue(), 64)[-1])


def test_jpeg_tiles_share_their_tables_and_carry_nothing_else(tmp_path):
    path = write(tmp_path / "slide.tif", tissue())
    with tifffile.TiffFile(path) as opened:
        page = opened.pages[0]
        assert page.jpegtables.startswith(b"\xff\xd8\xff\xdb")
        assert "YCbCrSubSampling" not in page.tags
        for offset, count in zip(page.dataoffsets, page.databytecounts):
            data = path.read_bytes()[offset : offset + count]
            assert data[:4] == b"\xff\xd8\xff\xc0"  # neither tables nor application data nor comments
            assert data[-2:] == b"\xff\xd9"


@pytest.mark.parametrize(
    ("icc", "expected"), [("auto", b"source"), ("source", b"source"), (None, None), (b"own", b"own")]
)
def test_profiles(tmp_path, icc, expected):
    source = ArraySlide(tissue(70, 70), icc=b"source")
    path = write(tmp_path / "slide.tif", None, slide=source, icc=icc)
    with sx.open_slide(path, "tifffile") as slide:
        assert slide.icc == expected


def test_a_slide_without_resolution_gets_none(layout, tmp_path):
    path = write(tmp_path / "slide.tif", None, slide=ArraySlide(tissue(100, 70)), layout=layout)
    with sx.open_slide(path, "tifffile") as slide:
        assert slide.mpp is None
        assert slide.magnification is None
        assert slide.icc is None


SMALL = [(1, 1), (1, 200), (200, 1), (63, 65), (64, 64), (65, 127), (129, 257), (3, 3)]


@pytest.mark.parametrize("shape", SMALL, ids=str)
@pytest.mark.parametrize("reader", list(READERS))
def test_small_and_odd_slides(layout, shape, reader, tmp_path):
    pytest.importorskip(reader)
    if layout == "ome" and reader in ("openslide", "cucim"):
        return
    image = noise(*shape)
    expected = pyramid_of(image, 64)
    if layout == "generic" and 1 in shape and reader in ("tifffile", "tiffslide"):
        expected = expected[:1]  # tifffile takes no image that is a pixel wide for a level
    path = write(tmp_path / "slide.tif", image, layout=layout, lossless=True)
    found = READERS[reader](path)
    assert len(found) == len(expected)
    for level, pixels in zip(found, expected):
        np.testing.assert_array_equal(level, pixels)


@laws
@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 2**32))
def test_halving_in_compiled_code_is_halving(height, width, seed):
    pixels = noise(height, width, seed)
    expected = halve_plainly(pixels)
    np.testing.assert_array_equal(halve(pixels), expected)
    np.testing.assert_array_equal(halve(np.pad(pixels, ((2, 1), (3, 5), (0, 0)))[2:-1, 3:-5]), expected)


def test_halving_is_the_mean_rounded_half_up():
    pixels = np.array([[[0] * 3, [1] * 3, [7] * 3], [[0] * 3, [1] * 3, [8] * 3]], np.uint8)
    np.testing.assert_array_equal(halve_plainly(pixels)[..., 0], [[1, 8]])


@laws
@given(st.integers(1, 40), st.integers(1, 40))
def test_the_z_order_visits_every_place_once_and_children_together(rows, columns):
    order = list(z_order(rows, columns))
    assert sorted(order) == [(row, column) for row in range(rows) for column in range(columns)]
    parents = [(row // 2, column // 2) for row, column in order]
    changes = sum(one != other for one, other in itertools.pairwise(parents))
    assert changes == len(set(parents)) - 1


@laws
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 2**32))
def test_levels_from_tiles_in_z_order_are_those_of_the_whole(height, width, seed):
    image, tile = noise(height, width, seed), 16
    shapes, expected = level_shapes((height, width), tile), pyramid_of(image, tile)
    assert shapes == [level.shape[:2] for level in expected]
    found = [np.zeros_like(level) for level in expected]
    pending = PendingLevels(shapes, tile, 0)
    for row, column in z_order(-(-height // tile), -(-width // tile)):
        pixels = image[row * tile : (row + 1) * tile, column * tile : (column + 1) * tile]
        for level, y, x, part in [(0, row, column, pixels), *pending.add(row, column, pixels)]:
            found[level][y * tile : y * tile + part.shape[0], x * tile : x * tile + part.shape[1]] = part
        assert len(pending.unfinished) < len(shapes)  # a tile of each level at most
    assert not pending.unfinished
    for level, pixels in zip(found, expected):
        np.testing.assert_array_equal(level, pixels)


@given(st.floats(1e-3, 1e7))
def test_rationals_fit_and_are_near(value):
    fraction = rational(value)
    struct.pack("<II", fraction.numerator, fraction.denominator)
    assert float(fraction) == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "zarr"}, "layout must be one of: dual, ome, generic, svs"),
        ({"subsampling": "4:1:1"}, "subsampling must be one of"),
        ({"quality": 0}, "quality must be between 1 and 100"),
        ({"tile": 100}, "tile must be a multiple of 16"),
        ({"tile": 4096}, "tile must be a multiple of 16 between 16 and 2048"),
    ],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(ParameterError, match=message):
        PyramidOptions(**options)


@pytest.mark.parametrize(
    ("source", "tile"), [((240, 240), 240), ((512, 512), 512), ((256, 512), 256), ((250, 250), 256)]
)
def test_tiles_of_the_source_are_taken_over_where_that_can_be(source, tile):
    assert PyramidOptions().tile_for(source) == tile
    assert PyramidOptions(tile=128).tile_for(source) == 128


def test_each_level_of_an_svs_says_what_it_is(tmp_path):
    """Without that Bio-Formats takes the last two for label and macro image."""
    path = write(tmp_path / "slide.svs", tissue(), layout="svs")
    with tifffile.TiffFile(path) as opened:
        texts = [page.description for page in opened.pages]
    assert all(text.startswith("Aperio Image Library") for text in texts)
    assert "421x333 [0,0 421x333] (64x64) JPEG/RGB Q=90" in texts[0]
    assert "421x333 -> 53x42 -" in texts[1]
    assert "421x333 [0,0 421x333] (64x64) -> 211x167 JPEG/RGB Q=90" in texts[2]
