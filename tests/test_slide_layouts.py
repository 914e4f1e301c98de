"""Every layout of slides with every reader: read as it is, or refused by name. What docs/bad_input.md says of slides."""

import re
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import stainxform as sx
from stainxform.errors import SlideError, UnsupportedSlideError
from stainxform.io.images import read_image
from stainxform.slides import PyramidOptions, write_slide
from stainxform.slides.readers.registry import BUILT_IN
from stainxform.slides.readers.resolution import UNITS, number

tifffile = pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")

from slide_files import tissue  # noqa: E402
from slide_layouts import (  # noqa: E402
    HALF,
    HERE,
    IMAGE,
    LAYOUTS,
    OME,
    READ,
    REFUSED,
    SCAN,
    TILE,
    chain,
    halves,
    ome,
    on_white,
    single,
    with_alpha,
    xml,
)

PAGE = Path(__file__).parents[1] / "docs" / "bad_input.md"


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The file of a layout, written once."""
    folder, made = tmp_path_factory.mktemp("layouts"), {}

    def get(name):
        if name not in made:
            made[name] = folder / f"{len(made)}.tif"
            LAYOUTS[name].write(made[name], tissue())
        return made[name]

    return get


def expected_of(name):
    image = tissue()
    if LAYOUTS[name].row.startswith("an alpha") and "opaque" not in name:
        image = on_white(image, "premultiplied" in name)
    return halves(image, LAYOUTS[name].levels)


@pytest.mark.parametrize("reader", ["auto", *BUILT_IN])
@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_read_or_refused_by_name(name, reader, file):
    if reader != "auto":
        pytest.importorskip(reader)
    layout = LAYOUTS[name]
    if layout.refused:
        with pytest.raises(UnsupportedSlideError, match=layout.refused):
            sx.open_slide(file(name), reader)
        return
    try:
        slide = sx.open_slide(file(name), reader)
    except UnsupportedSlideError:
        assert reader != "auto"
        assert reader not in layout.readers
        return
    with slide:
        expected = expected_of(name)
        shapes = [pixels.shape[:2] for pixels in expected]
        if reader == "auto" or reader in layout.readers:
            assert len(slide.levels) == len(shapes)
        assert [level.shape for level in slide.levels] == shapes[: len(slide.levels)]
        assert slide.mpp == (layout.mpp and pytest.approx(layout.mpp))
        for level, pixels in enumerate(expected[: len(slide.levels)]):
            found = slide.read(level, 0, 0, pixels.shape[1], pixels.shape[0])
            difference = np.abs(found.astype(int) - pixels)
            assert difference.mean() <= layout.tolerance
            assert abs(found.mean((0, 1)) - pixels.mean((0, 1))).max() <= min(1, layout.tolerance)


def test_the_page_says_what_happens():
    page = re.search(r"\n## Slides\n(.*?)(\n## |\Z)", PAGE.read_text(encoding="utf-8"), re.S)[1]
    rows = [line for line in page.splitlines() if line.startswith("| ")][1:]
    assert rows == [f"| {layout} | {happens} |" for layout, happens in (READ | REFUSED).items()]
    for name, layout in LAYOUTS.items():
        assert (layout.row in REFUSED) == bool(layout.refused), name
    assert {layout.row for layout in LAYOUTS.values()} == {*READ, *REFUSED}


def test_the_magnification_is_that_of_the_image(tmp_path):
    """And not that of the objective with which the macro was taken."""
    image, path = tissue(), tmp_path / "slide.ome.tif"
    text = OME.format(
        '<Instrument ID="I:0"><Objective ID="O:0" NominalMagnification="1"/><Objective ID="O:1" NominalMagnification="40"/>'
        "</Instrument>"
        + "".join(
            f'<Image ID="Image:{number}" Name="{name}"><ObjectiveSettings ID="O:{number}"/><Pixels ID="Pixels:{number}" Type="uint8" '
            f'DimensionOrder="XYCZT" SizeX="{shape[1]}" SizeY="{shape[0]}" SizeZ="1" SizeC="3" SizeT="1" PhysicalSizeX="{mpp}" '
            f'PhysicalSizeY="{mpp}"><Channel ID="C:{number}" SamplesPerPixel="3"/><TiffData IFD="{number}"/></Pixels></Image>'
            for number, (name, shape, mpp) in enumerate((("a", (60, 50), 8.0), ("b", image.shape, 0.25)))
        )
    )
    with tifffile.TiffWriter(path) as writer:
        for page, described in ((image[:60, :50], text.encode()), (image, None)):
            writer.write(page, photometric="rgb", tile=TILE, metadata=None, description=described)
    with sx.open_slide(path) as slide:
        assert slide.levels[0].shape == image.shape[:2]
        assert slide.mpp == (0.25, 0.25)
        assert slide.magnification == 40


def test_a_slide_written_from_ome_has_its_resolution_and_nothing_else_of_it(file, tmp_path):
    path = tmp_path / "out.ome.tif"
    with sx.open_slide(file("ome, macro first")) as slide:
        write_slide(slide, path, None, PyramidOptions(tile=64, lossless=True))
    with sx.open_slide(path) as slide:
        assert slide.mpp == (0.5, 0.5)
        np.testing.assert_array_equal(slide.read(0, 0, 0, 421, 333), tissue())
    with tifffile.TiffFile(path) as opened:
        assert len(opened.series) == 1
        assert "macro" not in opened.pages[0].description


@pytest.mark.parametrize("name", ["alpha", "alpha, premultiplied"])
def test_alpha_is_laid_over_white_as_in_image_files(name, file, tmp_path):
    rgba = with_alpha(tissue())
    Image.fromarray(rgba).save(tmp_path / "tile.png")
    with sx.open_slide(file(name)) as slide:
        pixels = slide.read(0, 0, 0, 421, 333).astype(int)
    assert np.abs(pixels - read_image(tmp_path / "tile.png")).max() <= 1


def test_a_fourth_channel_that_may_be_alpha_is_not_guessed(tmp_path):
    single(with_alpha, photometric="rgb", extrasamples=["unspecified"])(tmp_path / "slide.tif", tissue())
    with sx.open_slide(tmp_path / "slide.tif") as slide, pytest.raises(SlideError, match="does not call alpha"):
        slide.read(0, 0, 0, 100, 100)


def test_a_tile_that_is_missing_among_transparent_ones_is_an_error(tmp_path):
    path = tmp_path / "slide.tif"
    LAYOUTS["alpha in planes"].write(path, tissue())
    with tifffile.TiffFile(path, mode="r+") as opened:
        counts = list(opened.pages[0].databytecounts)
        counts[2 * 42 + 9] = 0  # of the blue plane
        opened.pages[0].tags["TileByteCounts"].overwrite(counts)
    with sx.open_slide(path) as slide, pytest.raises(SlideError, match="x=128, y=64 is missing"):
        slide.read(0, 128, 64, 64, 64)


@pytest.mark.parametrize("flag", ["is_ndpi", "is_scn", "is_bif", "is_philips"])
def test_formats_of_vendors_still_reach_openslide(flag, file, monkeypatch):
    """Whatever their pages look like."""
    pytest.importorskip("openslide")
    monkeypatch.setattr(tifffile.TiffFile, flag, property(lambda self: True), raising=False)
    with sx.open_slide(file("big tiff")) as slide:
        assert slide.reader == "openslide"


def test_what_is_not_believed_is_said_in_the_log(file, caplog):
    for name, words in (("x unlike y", "0.25 x 0.5 micrometers, is not believed"), ("broken xml", "is not believed")):
        caplog.clear()
        sx.open_slide(file(name)).close()
        assert words in caplog.text


@pytest.mark.parametrize(("shape", "level"), [((300, 400), "WARNING"), ((60, 50), "INFO")])
def test_another_scan_that_is_left_out_is_said(tmp_path, caplog, shape, level):
    ome(SCAN, ("other", lambda image: np.ascontiguousarray(image[: shape[0], : shape[1]]), {}))(
        tmp_path / "slide.tif", tissue()
    )
    with caplog.at_level("INFO", "stainxform.slides"):
        sx.open_slide(tmp_path / "slide.tif", "tifffile").close()
    (record,) = [record for record in caplog.records if "holds 2 images, of which 'scan', 421 x 333" in record.message]
    assert record.levelname == level


def test_units_of_the_schema():
    """As the OME schema 2016-06 lists them (UnitsLength)."""
    si = "Ym Zm Em Pm Tm Gm Mm km hm dam m dm cm mm \u00b5m nm pm fm am zm ym"
    lengths = f"{si} \u00c5 thou li in ft yd mi ua ly pc pt".split()
    assert not set(lengths) - set(UNITS)
    assert UNITS["mm"] == 1000
    assert UNITS["Mm"] == 1e12
    assert UNITS["\u00c5"] * 1e4 == pytest.approx(1)
    assert 12 * UNITS["in"] == UNITS["ft"] == UNITS["yd"] / 3
    assert {"pixel", "reference frame"}.isdisjoint(UNITS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0.25", 0.25), ("0,2525", 0.2525), (" 5e-1 ", 0.5), (".5", 0.5), ("1.234,5", None), ("1,2,3", None), ("", None)],
)
def test_decimal_points_and_commas(text, expected):
    assert number(text) == expected


@pytest.mark.parametrize(
    ("name", "description"),
    [
        ("macro" + " " * 100_000 + "x", ""),
        ("macro]" * 20_000 + ".", ""),
        ("scan" * 100_000, ""),
        ("scan", "label" + " " * 100_000 + "x"),
        ("scan", "\n" * 100_000 + "x"),
        ("scan", "ImageJ=1\n" + "images=1" + " " * 100_000 + "x"),
        ("scan", "<" * 100_000),
        ("scan", "Aperio MPP" + " " * 100_000 + "x"),
    ],
    ids=range(8),
)
def test_hostile_names_and_descriptions_take_no_time(name, description, tmp_path):
    path = tmp_path / "slide.tif"
    if description:
        tifffile.imwrite(path, tissue(), photometric="rgb", tile=TILE, metadata=None, description=description)
    else:
        text = OME.format((IMAGE % (HALF, HERE)).replace("<Image ", f'<Image Name="{name}" ', 1))
        xml(text)(path, tissue())
    started = time.perf_counter()
    sx.open_slide(path, "tifffile").close()
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("0.252", 0.252),
        ("2.52e-1", 0.252),
        ("2.52E-01", 0.252),
        ("0,252|x", 0.252),
        ("25.2e-2um", 0.252),
        ("-0.25", None),
    ],
)
def test_what_aperio_says_of_the_resolution(said, expected, tmp_path):
    text = f"Aperio Image Library v12\r\n421x333 (64x64)|AppMag = 4e1|MPP = {said}"
    chain({"description": text}, levels=1)(tmp_path / "a.svs", tissue())
    with sx.open_slide(tmp_path / "a.svs") as slide:
        assert slide.mpp == (None if expected is None else (pytest.approx(expected),) * 2)
        assert slide.magnification == 40
