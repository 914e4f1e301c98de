"""Whole slides in MONAI's own machinery, beside MONAI's own reader."""

import os
import pickle

import numpy as np
import pytest

import stainxform as sx
from stainxform.errors import ParameterError, SlideError

pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")
pytest.importorskip("monai")

from monai.data import DataLoader, MaskedPatchWSIDataset, PatchWSIDataset, SlidingPatchWSIDataset
from monai.data.wsi_reader import BaseWSIReader, WSIReader
from monai.transforms import Compose, LoadImaged
from slide_files import tissue, write

from stainxform.monai import Macenkod, SlideReader, StainLUTd, WholeSlide
from stainxform.slides import pool as opened

LOCATIONS = [(0, 0), (40, 60), (129, 64), (200, 30)]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return str(write(tmp_path_factory.mktemp("slides") / "slide.tif", tissue()))


@pytest.fixture(scope="module")
def samples(path):
    return [{"image": path, "location": list(location), "label": i} for i, location in enumerate(LOCATIONS)]


def open_slides():
    return list(opened._open_slides()._slides.values())


def test_it_is_a_wsi_reader_that_reads_what_a_slide_reads(path):
    reader = SlideReader(level=1)
    assert isinstance(reader, BaseWSIReader)
    wsi = reader.read(path)
    with sx.open_slide(path) as slide:
        whole, meta = reader.get_data(wsi)
        np.testing.assert_array_equal(whole, np.moveaxis(slide.read(1, 0, 0, 211, 167), -1, 0))
        part, _ = reader.get_data(wsi, location=(40, 60), size=(50, 70), level=0)
        np.testing.assert_array_equal(part, np.moveaxis(slide.read(0, 60, 40, 70, 50), -1, 0))
        assert reader.get_level_count(wsi) == len(slide.levels)
        assert reader.get_size(wsi, 0) == slide.levels[0].shape
    assert meta["backend"] == "stainxform"
    assert meta["path"] == os.path.abspath(path)
    assert meta["original_channel_dim"] == 0


@pytest.mark.parametrize("options", [{"level": 0}, {"level": 1}, {"mpp": 1.0}, {"mpp": (0.5, 0.5)}])
def test_it_agrees_with_monais_reader(tmp_path, options):
    pytest.importorskip("openslide")
    path = write(tmp_path / "slide.tif", tissue(256, 384))  # where downsamples are no integers OpenSlide interpolates
    ours, theirs = SlideReader(**options, mpp_rtol=0.1), WSIReader("openslide", **options, mpp_rtol=0.1)
    pairs = []
    for reader in (ours, theirs):
        wsi = reader.read(path)
        pairs.append((reader.get_data(wsi, location=(64, 32), size=(48, 80)), wsi))
    (one, other) = pairs
    np.testing.assert_array_equal(one[0][0], other[0][0])
    assert one[0][1]["level"] == other[0][1]["level"]
    for level in range(3):
        assert ours.get_mpp(one[1], level) == pytest.approx(theirs.get_mpp(other[1], level))
        assert ours.get_downsample_ratio(one[1], level) == pytest.approx(theirs.get_downsample_ratio(other[1], level))


def test_a_slide_that_does_not_say_is_asked_for_a_level(tmp_path):
    path = write(tmp_path / "slide.tif", tissue(), levels=1, resolutionunit="NONE")
    reader = SlideReader()
    wsi = reader.read(path)
    with pytest.raises(ParameterError, match=r"say it with mpp_of_slide=\.\.\., or use level"):
        reader.get_data(wsi, mpp=0.5)
    with pytest.raises(ParameterError, match="use level or mpp instead of power"):
        reader.get_data(wsi, power=20)


def test_magnification_is_that_of_the_level(tmp_path):
    import tifffile

    path = tmp_path / "slide.svs"
    description = "Aperio Image Library v1\n256x256 [0,0 256x256] (64x64) |AppMag = 20|MPP = 0.5"
    tifffile.imwrite(path, tissue(256, 256), tile=(64, 64), photometric="rgb", description=description, metadata=None)
    reader = SlideReader(power=20)
    pixels, _ = reader.get_data(reader.read(path))
    assert pixels.shape == (3, 256, 256)
    assert reader.get_power(reader.read(path), 0) == 20


def test_outside_the_slide_is_white_and_transparent(path):
    reader = SlideReader(mode="RGBA", channel_dim=-1)
    wsi = reader.read(path)
    pixels, _ = reader.get_data(wsi, location=(-10, 400), size=(40, 60), level=0)
    with sx.open_slide(path) as slide:
        np.testing.assert_array_equal(pixels[10:, :21, :3], slide.read(0, 400, 0, 21, 30))
    assert (pixels[10:, :21, 3] == 255).all()
    assert (pixels[:10] == (255, 255, 255, 0)).all()
    assert (pixels[:, 21:] == (255, 255, 255, 0)).all()


def test_wrong_arguments_are_noticed_at_once():
    with pytest.raises(ParameterError, match="slide_reader must be"):
        SlideReader(slide_reader="magic")
    with pytest.raises(ParameterError, match="no argument 'levle'"):
        SlideReader(levle=1)


def test_what_is_no_slide_is_noticed_when_it_is_read(tmp_path):
    (tmp_path / "slide.svs").write_bytes(b"no slide")
    with pytest.raises(SlideError):
        SlideReader().read(tmp_path / "slide.svs")


@pytest.mark.parametrize("by_name", [False, True])
def test_load_image_takes_it(path, macenko, by_name):
    options = {"reader": "stainxform.monai.SlideReader", "level": 2} if by_name else {"reader": SlideReader(level=2)}
    load = LoadImaged("image", ensure_channel_first=True, **options)
    image = Compose([load, Macenkod("image", model=macenko)])({"image": path})["image"]
    with sx.open_slide(path) as slide:
        height, width = slide.levels[2].shape
        wanted = macenko(slide.read(2, 0, 0, width, height).astype(np.float32), value_range=(0, 255))
    np.testing.assert_allclose(np.asarray(image), np.moveaxis(wanted, -1, 0), atol=1e-3)


def test_patch_datasets_normalize_with_two_workers(samples, normalizers):
    if "stainlut" not in normalizers:
        pytest.skip("StainLUT needs torch")
    transform = StainLUTd("image", model=normalizers["stainlut"])
    dataset = PatchWSIDataset(samples, 64, 0, transform, center_location=False, reader=SlideReader)
    plain = [dataset[i]["image"] for i in range(len(dataset))]
    assert any((np.asarray(image) != np.asarray(plain[0])).any() for image in plain[1:])
    loader = DataLoader(dataset, batch_size=2, num_workers=2)  # the slide is open here already, and once in each worker
    batches = list(loader)
    assert np.array_equal(np.concatenate([batch["image"] for batch in batches]), np.stack(plain))
    with sx.open_slide(samples[1]["image"]) as slide:
        wanted = normalizers["stainlut"](slide.read(0, 60, 40, 64, 64))
    np.testing.assert_array_equal(np.asarray(plain[1]), np.moveaxis(wanted, -1, 0))


@pytest.mark.parametrize("kind", [SlidingPatchWSIDataset, MaskedPatchWSIDataset])
def test_the_other_patch_datasets_take_it(path, kind):
    options = {"mask_level": 2} if kind is MaskedPatchWSIDataset else {}
    dataset = kind([{"image": path}], patch_size=64, reader=SlideReader, include_label=False, **options)
    assert len(dataset) > 4
    assert dataset[0]["image"].shape == (3, 64, 64)


def test_a_slide_goes_through_pickle_and_is_opened_anew(path):
    reader = SlideReader()
    wsi = reader.read(path)
    again = pickle.loads(pickle.dumps(wsi))
    assert again == wsi == WholeSlide(os.path.abspath(path))
    np.testing.assert_array_equal(*(reader.get_data(one, location=(5, 6), size=(7, 8))[0] for one in (wsi, again)))


def test_few_slides_stay_open(tmp_path, monkeypatch):
    monkeypatch.setattr(opened, "OPEN_SLIDES", 2)
    monkeypatch.setattr(opened, "_kept", opened._OpenSlides())
    reader = SlideReader()
    slides = [reader.read(write(tmp_path / f"{i}.tif", tissue(70, 80), levels=1)) for i in range(4)]
    for wsi in slides * 2:
        reader.get_data(wsi, location=(0, 0), size=(8, 8))
        assert len(open_slides()) <= 2
    with slides[0].opened() as first:
        for wsi in slides:
            reader.get_data(wsi, location=(0, 0), size=(8, 8))
        assert first.read(0, 0, 0, 4, 4).shape == (4, 4, 3)  # lent slides are not closed
    for slide in opened._kept._slides.values():
        slide.close()


def test_paths_and_resolutions_that_make_no_sense():
    for path, message in (("", "is empty"), (None, "as text or Path"), ([], "no slide")):
        with pytest.raises(ParameterError, match=message):
            SlideReader().read(path)
    for mpp in (float("nan"), 0, (0.5, float("inf")), "0.5"):
        with pytest.raises(ParameterError, match="micrometers"):
            SlideReader(mpp=mpp)
