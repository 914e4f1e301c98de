import json
import logging
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import laws

import stainxform as sx
from stainxform.errors import MissingDependencyError, ParameterError, SlideError, UnsupportedSlideError
from stainxform.slides import READERS, TileGrid, likely_tissue, tissue_of
from stainxform.testing import SlideReaderTests

tifffile = pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")

from slide_files import KINDS, PROFILE, tissue, write  # noqa: E402

WSI = Path(__file__).parents[2] / "shared" / "data" / "wsi"
REAL = [
    "wsic/CMU-1-Small-Region.svs",
    "wsic/CMU-1-Small-Region.jpeg.tiff",
    "wsiregistration_4scanner_cyto/4Scanner/Aperio/Cyto/A_BB_563479_1.svs",
]


def needs(reader):
    pytest.importorskip(reader)
    return reader


@pytest.fixture(scope="module", params=list(READERS))
def reader(request):
    return needs(request.param)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slides")
    image = tissue()
    return {kind: write(folder / f"{number}.tif", image, kind) for number, kind in enumerate(KINDS)}


@pytest.fixture(params=list(KINDS))
def path(request, files):
    return files[request.param]


class TestReaders(SlideReaderTests):
    """Each of ours does what every reader must."""

    @pytest.fixture(autouse=True)
    def _chosen(self, reader):
        self.name = reader

    def open(self, path):
        return sx.open_slide(path, self.name)


def decoded(path):
    """All levels as tifffile itself decodes them, page by page."""
    with tifffile.TiffFile(path) as file:
        return [page.asarray() for page in file.pages if page.is_tiled]


def assert_reads(slide, expected, level, box, tolerance=0):
    x, y, width, height = box
    pixels = slide.read(level, *box)
    assert pixels.shape == (height, width, 3)
    assert pixels.dtype == np.uint8
    difference = np.abs(pixels.astype(int) - expected[level][y : y + height, x : x + width])
    assert difference.max() <= tolerance, (level, box)


def boxes(shape):
    """Strategy of regions inside a level."""
    rows, columns = shape

    def side(x_y):
        x, y = x_y
        return st.tuples(st.just(x), st.just(y), st.integers(1, columns - x), st.integers(1, rows - y))

    return st.tuples(st.integers(0, columns - 1), st.integers(0, rows - 1)).flatmap(side)


def test_whole_levels_agree_with_tifffile(reader, path):
    expected = decoded(path)
    with sx.open_slide(path, reader) as slide:
        assert slide.reader == reader
        assert [level.shape for level in slide.levels] == [level.shape[:2] for level in expected]
        for level, pixels in enumerate(expected):
            assert_reads(slide, expected, level, (0, 0, pixels.shape[1], pixels.shape[0]))


@pytest.mark.parametrize("kind", ["jpeg 4:4:4", "deflate, wide tiles"])
@laws
@given(data=st.data())
def test_random_regions_agree_with_tifffile(reader, kind, files, data):
    expected = decoded(files[kind])
    level = data.draw(st.integers(0, len(expected) - 1))
    box = data.draw(boxes(expected[level].shape[:2]))
    with sx.open_slide(files[kind], reader) as slide:
        assert_reads(slide, expected, level, box)


@pytest.mark.parametrize("name", REAL)
def test_readers_agree_on_real_slides(reader, name):
    path = WSI / name
    if not path.is_file():
        pytest.skip(f"{path} is not there: it is not part of the package")
    with sx.open_slide(path, reader) as slide, sx.open_slide(path, "tifffile") as exact:
        assert [level.shape for level in slide.levels] == [level.shape for level in exact.levels]
        assert slide.mpp == pytest.approx(exact.mpp)
        assert slide.magnification == exact.magnification
        for level, found in enumerate(slide.levels):
            rows, columns = found.shape
            for x, y in [(0, 0), (columns // 3, rows // 2), (columns - 300, rows - 200)]:
                x, y = max(0, x), max(0, y)
                box = x, y, min(columns - x, 300), min(rows - y, 200)
                np.testing.assert_array_equal(slide.read(level, *box), exact.read(level, *box))


def test_the_tifffile_reader_is_exact_on_a_real_slide():
    path = WSI / REAL[0]
    if not path.is_file():
        pytest.skip(f"{path} is not there: it is not part of the package")
    with sx.open_slide(path, "tifffile") as slide:
        assert_reads(slide, decoded(path)[:1], 0, (0, 0, 2220, 2967))
        assert slide.mpp == (0.499, 0.499)
        assert slide.magnification == 20
        assert len(slide.levels) == 1  # neither thumbnail nor label nor macro


def test_what_a_slide_says_about_itself(reader, files):
    with sx.open_slide(files["jpeg 4:4:4"], reader) as slide:
        assert slide.mpp == pytest.approx((0.5, 0.5))
        assert slide.levels[0].tile == (64, 64)
        assert [level.downsample for level in slide.levels] == pytest.approx([1, 2, 4], rel=0.02)
        assert slide.icc == PROFILE
        assert "421 x 333" in repr(slide)


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 40), st.integers(1, 40), st.data())
def test_a_grid_covers_every_pixel(height, width, across, down, data):
    overlap = data.draw(st.integers(0, min(across, down) - 1))
    grid, covered = TileGrid(0, (height, width), (across, down), overlap), np.zeros((height, width), int)
    for index in grid.chosen():
        x, y, wide, high = grid.box(*index)
        assert wide > 0
        assert high > 0
        covered[y : y + high, x : x + wide] += 1
    assert covered.min() >= 1
    assert overlap or covered.max() == 1


@pytest.mark.parametrize("name", ["auto", "tifffile", "cucim"])
@pytest.mark.parametrize("kept", [0.999, 0.9, 0.5, 0.1, 0.001])
def test_truncated_files_are_refused_when_opened(files, tmp_path, name, kept):
    if name != "auto":
        needs(name)
    whole = files["jpeg 4:4:4"].read_bytes()
    (tmp_path / "cut.tif").write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(SlideError) as caught:
        sx.open_slide(tmp_path / "cut.tif", name)
    assert not isinstance(caught.value, UnsupportedSlideError)


def test_the_error_of_a_truncated_file_says_where(tmp_path):
    path = write(tmp_path / "slide.tif", tissue(), levels=1)
    with tifffile.TiffFile(path) as file:
        last = file.pages[0].dataoffsets[-1]
    path.write_bytes(path.read_bytes()[: last + 10])
    with pytest.raises(SlideError, match=r"truncated: level 0, the tile at x=384, y=320"):
        sx.open_slide(path)


def damaged(files, tmp_path, kind, change, level=0, tile=9):
    """A copy of a test file with the bytes of one tile changed."""
    path = shutil.copy(files[kind], tmp_path / "damaged.tif")
    with tifffile.TiffFile(path) as file:
        page = file.pages[level]
        offset, count = page.dataoffsets[tile], page.databytecounts[tile]
    with open(path, "r+b") as file:
        file.seek(offset)
        data = change(file.read(count))
        file.seek(offset)
        file.write(data)
    return path


DAMAGE = {
    "zeroed": lambda data: bytes(len(data)),
    "header": lambda data: b"\x55" * 40 + data[40:],
    "cut short": lambda data: data[: len(data) // 2] + bytes(len(data) - len(data) // 2),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", ["jpeg 4:4:4", "deflate"])
def test_a_damaged_tile_is_an_error_with_its_position(files, tmp_path, kind, damage):
    path = damaged(files, tmp_path, kind, DAMAGE[damage])
    with sx.open_slide(path, "tifffile") as slide:
        with pytest.raises(SlideError, match=r"level 0, the tile at x=128, y=64 is damaged"):
            slide.read(0, 100, 100, 50, 20)
        with pytest.raises(SlideError, match=r"level 0, the tile at x=128, y=64 is damaged"):
            list(slide.tiles())
        assert slide.read(0, 0, 0, 128, 128).any()  # the others can be read


@pytest.mark.parametrize("damage", ["zeroed", "header"])
def test_no_reader_gives_a_black_tile_silently(reader, files, tmp_path, damage):
    path = damaged(files, tmp_path, "jpeg 4:4:4", DAMAGE[damage])
    with sx.open_slide(path, reader) as slide:
        with pytest.raises(SlideError, match=r"level 0, the .* at x=128, y=64 .*damaged"):
            slide.read(0, 128, 64, 64, 64)
        assert slide.read(0, 0, 0, 64, 64).any()  # also after the error
        with pytest.raises(SlideError, match="level 0"):
            list(slide.tiles())


@pytest.mark.parametrize("kind", ["jpeg 4:4:4", "deflate"])
def test_a_black_tile_is_no_error(reader, tmp_path, kind):
    image = tissue()
    image[64:128, 128:192] = 0
    with sx.open_slide(write(tmp_path / "slide.tif", image, kind), reader) as slide:
        assert not slide.read(0, 128, 64, 64, 64).any()


def test_files_that_are_no_slides(tmp_path):
    with pytest.raises(SlideError, match="is not there"):
        sx.open_slide(tmp_path / "nothing.svs")
    with pytest.raises(SlideError, match="is a folder"):
        sx.open_slide(tmp_path)
    (tmp_path / "notes.txt").write_text("no slide at all")
    with pytest.raises(UnsupportedSlideError, match="is no TIFF file"):
        sx.open_slide(tmp_path / "notes.txt")
    with pytest.raises(ParameterError, match="reader must be 'auto' or one of: cucim, tifffile, openslide"):
        sx.open_slide(tmp_path / "notes.txt", "pyvips")


@pytest.mark.parametrize("header", [b"", b"II*\0", b"II*\0\x08\0\0\0", b"MM\0*" + b"\xff" * 60])
def test_broken_headers(tmp_path, header):
    (tmp_path / "slide.tif").write_bytes(header)
    with pytest.raises(SlideError):
        sx.open_slide(tmp_path / "slide.tif")


@pytest.mark.parametrize("options", [{"tile": (64, 64), "predictor": 2}, {"rowsperstrip": 16}])
def test_strips_and_predictors_are_left_to_tifffile(tmp_path, options):
    needs("cucim")
    image = tissue()
    tifffile.imwrite(tmp_path / "slide.tif", image, photometric="rgb", compression="deflate", **options)
    with pytest.raises(UnsupportedSlideError, match="strips or with a predictor"):
        sx.open_slide(tmp_path / "slide.tif", "cucim")
    with sx.open_slide(tmp_path / "slide.tif") as slide:
        assert_reads(slide, [image], 0, (10, 10, 300, 200))


@pytest.mark.parametrize("name", ["tifffile", "cucim"])
def test_an_unknown_compression_is_no_damage(files, tmp_path, name):
    path = shutil.copy(files["deflate"], tmp_path / "slide.tif")
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages[0].tags["Compression"].overwrite(52479)
    with pytest.raises(UnsupportedSlideError, match="does not know"):
        sx.open_slide(path, needs(name))


def test_the_reader_is_named_in_the_log(files, caplog):
    with caplog.at_level(logging.INFO, "stainxform.slides"), sx.open_slide(files["deflate"]) as slide:
        assert f"reader {slide.reader}: 3 levels" in caplog.text


def test_without_the_packages_the_error_names_the_extra(files, monkeypatch):
    for package in ("cucim", "tifffile", "openslide"):
        monkeypatch.setitem(sys.modules, package, None)
    for name in ("auto", "tifffile", "openslide"):
        with pytest.raises(MissingDependencyError, match=r"pip install 'stainxform\[slides\]'"):
            sx.open_slide(files["deflate"], name)
    with pytest.raises(MissingDependencyError, match=r"pip install 'stainxform\[cuda\]'"):
        sx.open_slide(files["deflate"], "cucim")


def test_without_cucim_tifffile_reads(files, monkeypatch):
    monkeypatch.setitem(sys.modules, "cucim", None)
    with sx.open_slide(files["jpeg 4:4:4"]) as slide:
        assert slide.reader == "tifffile"


def test_tissue_of_a_slide(files, tmp_path):
    image = tissue()
    with sx.open_slide(files["deflate"], "tifffile") as slide:
        mask = tissue_of(slide)
        np.testing.assert_array_equal(mask.mask, sx.tissue_mask(image))
        found = mask.on(slide.grid(0))
        for row, column in found.grid.chosen():
            x, y, width, height = found.grid.box(row, column)
            expected = sx.tissue_mask(image[y : y + height, x : x + width]).mean()
            assert found.fraction[row, column] == pytest.approx(expected, abs=1e-6)
        where = found.where(0.3)
        assert where[:, :4].any()
        assert not where[:, 5:].any()  # glass
        assert sum(len(batch) for batch in slide.tiles(where=where)) == where.sum() == len(found.boxes(0.3))
        with pytest.raises(ParameterError, match="min_tissue"):
            found.where(1.5)
        mask.save(tmp_path / "mask.png")
        found.save(tmp_path / "tiles.geojson", 0.3)
    from PIL import Image

    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "mask.png")) > 0, mask.mask)
    features = json.loads((tmp_path / "tiles.geojson").read_text())["features"]
    assert len(features) == where.sum()
    row, column = np.argwhere(where)[0]
    assert features[0]["geometry"]["coordinates"][0][0] == [column * 64, row * 64]


def test_a_large_level_becomes_a_small_mask(tmp_path, monkeypatch):
    image = tissue()
    monkeypatch.setattr("stainxform.slides.tissue.MASK_SIDE", 100)
    with sx.open_slide(write(tmp_path / "slide.tif", image, "deflate", levels=1), "tifffile") as slide:
        mask = tissue_of(slide)
        assert mask.fraction.shape == (67, 85)
        rule = sx.tissue_mask(image)
        assert mask.fraction[3, 4] == pytest.approx(rule[15:20, 20:25].mean())
        assert mask.fraction[-1, -1] == pytest.approx(rule[330:, 420:].mean())
        whole = mask.on(slide.grid(0, 500)).fraction
        assert whole[0, 0] == pytest.approx(rule.mean(), abs=0.01)


def test_bytes_of_tiles_tell_glass_from_tissue(files):
    with sx.open_slide(files["jpeg 4:4:4"], "tifffile") as slide:
        likely = likely_tissue(slide, bytes_per_pixel=0.3)
        assert likely.shape == (6, 7)
        assert likely[:5, :4].all()
        assert not likely[:, 5:].any()


def test_openslide_cannot_tell_bytes_of_tiles(files):
    needs("openslide")
    with sx.open_slide(files["jpeg 4:4:4"], "openslide") as slide:
        assert likely_tissue(slide) is None
