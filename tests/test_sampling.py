"""Tiles drawn from slides, and fits on them."""

import pickle

import numpy as np
import pytest
import slide_files
from typer.testing import CliRunner

import stainxform as sx
from stainxform.cli.app import app
from stainxform.errors import InvalidImageError, NotEnoughTissueError, ParameterError, StainXformWarning
from stainxform.slides import SlideTiles, open_slide
from stainxform.slides.sampling import find_tissue_tiles

pytest.importorskip("tifffile")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two slides with tissue, of half a micrometer per pixel, and one of glass."""
    made = tmp_path_factory.mktemp("slides")
    (made / "good").mkdir()
    slide_files.write(made / "good" / "small.tif", slide_files.tissue(200, 300))
    slide_files.write(made / "good" / "large.tif", slide_files.tissue(520, 640), "deflate")
    slide_files.write(made / "glass.tif", np.full((256, 256, 3), 244, np.uint8))
    return made


def test_tiles_are_those_of_the_slide_and_hold_tissue(folder):
    tiles = SlideTiles(folder / "good" / "large.tif", per_slide=9, size=64)
    assert len(tiles) == 9
    with open_slide(folder / "good" / "large.tif") as slide:
        locations = find_tissue_tiles(slide, 64, limit=9)
        for tile, (y, x), tissue in zip(tiles, locations.corners, locations.tissue, strict=True):
            np.testing.assert_array_equal(tile, slide.read(0, x, y, 64, 64))
            assert tissue >= 0.5
            assert sx.tissue_mask(tile).mean() > 0.3


def test_slides_are_balanced_and_their_draw_does_not_depend_on_the_others(folder):
    both = SlideTiles(folder / "good", per_slide=4, size=64)
    assert both.slide_of == [0] * 4 + [1] * 4
    alone = SlideTiles([folder / "good" / "small.tif"], per_slide=4, size=64)
    np.testing.assert_array_equal(np.stack(both[4:]), np.stack(alone[:]))


def test_the_seed_decides(folder):
    def drawn(seed):
        return np.stack(SlideTiles(folder / "good" / "large.tif", per_slide=6, size=64, seed=seed)[:])

    np.testing.assert_array_equal(drawn(1), drawn(1))
    assert (drawn(1) != drawn(2)).any()


def test_resolution_is_asked_for_in_micrometers(folder):
    (tile, *_) = SlideTiles(folder / "good" / "large.tif", per_slide=1, size=50, mpp=1.0)
    with open_slide(folder / "good" / "large.tif") as slide:
        assert slide.mpp == pytest.approx((0.5, 0.5))
        locations = find_tissue_tiles(slide, 50, mpp=1.0, limit=1)
        assert (locations.level, locations.side) == (1, 50)
    finer = SlideTiles(folder / "good" / "large.tif", per_slide=1, size=50, mpp=0.75)[0]
    assert tile.shape == finer.shape == (50, 50, 3)
    with pytest.raises(ParameterError, match=r"0\.5 micrometers per pixel, 100\.0% coarser than the 0\.25"):
        SlideTiles(folder / "good", mpp=0.25, size=64)


def test_slides_without_tissue_are_named(folder):
    with pytest.warns(StainXformWarning, match=r"not used, .*glass\.tif: no tile"):
        tiles = SlideTiles([folder / "glass.tif", folder / "good"], size=64, per_slide=2)
    assert set(tiles.slide_of) == {0, 1}
    with pytest.raises(NotEnoughTissueError, match=r"glass\.tif"):
        SlideTiles(folder / "glass.tif", size=64)


def test_open_slides_serve_and_files_can_be_pickled(folder):
    path = folder / "good" / "small.tif"
    with open_slide(path) as slide:
        from_open = np.stack(SlideTiles(slide, per_slide=3, size=64)[:])
    from_file = pickle.loads(pickle.dumps(SlideTiles(path, per_slide=3, size=64)))
    np.testing.assert_array_equal(from_open, np.stack(from_file[:]))


@pytest.mark.parametrize(
    "wrong", [{"size": 0}, {"per_slide": 0}, {"mpp": -1.0}, {"mpp": 1, "level": 0}, {"min_tissue": 2}]
)
def test_values_that_make_no_sense_are_refused(folder, wrong):
    with pytest.raises(ParameterError):
        SlideTiles(folder / "good", **wrong)


def test_nothing_found(tmp_path):
    with pytest.raises(InvalidImageError, match="holds no files"):
        SlideTiles(tmp_path)
    with pytest.raises(ParameterError, match="no slides"):
        SlideTiles([])
    with pytest.raises(ParameterError, match="got int"):
        SlideTiles([1])


# ---------------------------------------------------------------- fits


@pytest.mark.parametrize("method", ["macenko", "ramakrishnan", "histogram_matching"])
def test_a_center_is_fitted_on_its_slides_as_on_their_tiles(folder, method):
    sampling = {"per_slide": 5, "size": 64}
    on_slides = sx.fit_center(slides=folder / "good", method=method, sampling=sampling)
    on_tiles = sx.fit_center(list(SlideTiles(folder / "good", **sampling)), method)
    assert on_slides.info.tiles == 10
    ours, theirs = (center.state().arrays for center in (on_slides, on_tiles))
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name])


def test_tiles_or_slides_not_both(folder):
    for wrong in ({}, {"images": [1], "slides": folder}, {"images": [1], "sampling": {"size": 64}}):
        with pytest.raises(ParameterError, match=r"slides="):
            sx.fit_center(**wrong)
    with pytest.raises(ParameterError, match="no setting 'sides'; it has: per_slide, size"):
        sx.fit_center(slides=folder / "good", method="macenko", sampling={"sides": 64})


def test_the_command_fits_on_slides(folder, tmp_path):
    model = tmp_path / "model.safetensors"
    options = ["--slides", "--size", "64", "--per-slide", "3", "--method", "macenko"]
    result = CliRunner().invoke(app, ["fit", str(folder / "good"), "-o", str(model), *options])
    assert result.exit_code == 0, result.output
    assert "fitted macenko on 6 of 6 tiles" in result.output
    assert sx.load(model).info.tiles == 6
    result = CliRunner().invoke(
        app, ["fit", str(folder / "good"), "-o", str(tmp_path / "b.safetensors"), "--size", "64"]
    )
    assert result.exit_code == 1
    assert "--size is for slides" in result.output
