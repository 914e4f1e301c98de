"""Arguments of the functions for slides that are of a wrong type, or make no sense: one ParameterError each."""

import math

import numpy as np
import pytest

import stainxform as sx
from stainxform.errors import ParameterError

pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")

from slide_files import tissue, write

from stainxform.slides import PyramidOptions, SlideTiles, write_slide


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    file = tmp_path_factory.mktemp("slide") / "a.tif"
    write(file, tissue())
    return file


@pytest.fixture(scope="module")
def slide(path):
    with sx.open_slide(path) as found:
        yield found


@pytest.mark.parametrize("box", [(0.5, 0, 1, 1), ("0", 0, 1, 1), (0, None, 1, 1), (0, 0, 1.0, 1), (0, 0, 1, math.nan)])
def test_regions_are_whole_numbers(box, slide):
    with pytest.raises(ParameterError, match="must be a whole number"):
        slide.read(0, *box)


@pytest.mark.parametrize("size", ["5", 1.5, (8, 8.5), math.inf])
def test_sizes_of_tiles_are_whole_numbers(size, slide):
    with pytest.raises(ParameterError, match="whole numbers"):
        slide.grid(0, size)
    assert slide.grid(0, np.int64(64)) == slide.grid(0, 64) == slide.grid(0, (64, 64))


@pytest.mark.parametrize(
    "setting",
    [
        {"mpp": math.inf}, {"mpp": math.nan}, {"mpp": "0.5"}, {"size": "5"}, {"size": 1.5}, {"per_slide": 1.5},
        {"level": 1.5}, {"min_tissue": "a"}, {"mpp_tolerance": None, "mpp": "1"},
    ],
)  # fmt: skip
def test_settings_of_a_sample(setting, path):
    with pytest.raises(ParameterError, match=r"number|finite"):
        SlideTiles(path, **setting)


@pytest.mark.parametrize("reader", [None, 1, ["tifffile"]])
def test_a_reader_is_a_name(reader, path):
    with pytest.raises(ParameterError, match="reader must be"):
        sx.open_slide(path, reader)


@pytest.mark.parametrize("options", [{"quality": 90.5}, {"quality": "90"}, {"tile": "a"}, {"tile": 64.0}])
def test_options_of_a_pyramid(options):
    with pytest.raises(ParameterError):
        PyramidOptions(**options)


def test_what_is_written(slide, tmp_path):
    target = tmp_path / "b.ome.tif"
    for arguments, message in (
        ((str(slide.path), target, None), "takes an open slide"),
        ((slide, "", None), "is empty"),
        ((slide, None, None), "as text or Path"),
        ((slide, target, "macenko"), "slide_map"),
        ((slide, target, sx.Macenko), "slide_map"),
    ):
        with pytest.raises(ParameterError, match=message):
            write_slide(*arguments)
    with pytest.raises(ParameterError, match="threads"):
        write_slide(slide, target, None, threads="2")
    assert list(tmp_path.iterdir()) == []


def test_no_inputs_at_all(tmp_path):
    from stainxform.pipeline import Pyramid, plan_slides

    with pytest.raises(ParameterError, match="no inputs were given"):
        plan_slides([], tmp_path / "out", Pyramid())
