"""Slide to slide: the pixels are those of the map of the whole, and nothing that happens on the way is lost."""

import errno
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stainxform as sx
from stainxform._native import native
from stainxform.errors import ParameterError, ResumeError, SlideBusyError, SlideError, SlideWriteError
from stainxform.maps import IdentityMap, ImageMap, TileMap
from stainxform.slides import PyramidOptions, tissue_of, write_slide
from stainxform.slides.writer import write as writing

tifffile = pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")

from pyramid_files import ArraySlide, levels_with_tifffile, noise  # noqa: E402
from slide_files import tissue  # noqa: E402

LOSSLESS = PyramidOptions(tile=64, lossless=True)
few = settings(max_examples=8, deadline=None)


@pytest.fixture(scope="module")
def reinhard():
    return sx.fit_center([tissue(200, 200)], "reinhard").map_for(tissue(150, 170))


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of 128 pixels, and a note after every one."""
    monkeypatch.setattr(writing, "BLOCK_SIDE", 128)
    monkeypatch.setattr(writing, "NOTE_SECONDS", 0.0)


class Blur(ImageMap):
    """The mean of what lies within 5 pixels; grid lines of every fourth row and column stay: it needs halo and align."""

    halo, align, tile = 5, 4, None

    def apply(self, image, spec, levels=None):
        padded = np.pad(image.astype(np.int64), ((5, 5), (5, 5), (0, 0)))
        ones = np.pad(np.ones((*image.shape[:2], 1), np.int64), ((5, 5), (5, 5), (0, 0)))
        for axis in (0, 1):
            padded, ones = (sum(np.roll(part, step, axis) for step in range(-5, 6)) for part in (padded, ones))
        blurred = (padded // ones)[5:-5, 5:-5].astype(np.uint8)
        blurred[::4], blurred[:, ::4] = image[::4], image[:, ::4]
        return blurred


class Squares(ImageMap):
    """Every square of 48 pixels gets its own mean."""

    halo, align, tile = 0, 1, 48

    def apply(self, image, spec, levels=None):
        assert max(image.shape[:2]) <= 48
        return np.broadcast_to(image.mean((0, 1)).astype(np.uint8), image.shape)

    def whole(self, image):
        result = np.empty_like(image)
        for y in range(0, image.shape[0], 48):
            for x in range(0, image.shape[1], 48):
                result[y : y + 48, x : x + 48] = image[y : y + 48, x : x + 48].mean((0, 1)).astype(np.uint8)
        return result


class WholeImage(ImageMap):
    """Depends on everything."""

    halo, align, tile = None, 1, None

    def apply(self, image, spec, levels=None):
        raise AssertionError("never called")


def written(path, image, image_map=None, options=LOSSLESS, **more):
    with ArraySlide(image, **more.pop("facts", {})) as slide:
        return write_slide(slide, path, image_map, options, **more)


def level_0(path):
    return levels_with_tifffile(path)[0]


sides = st.integers(1, 300)


@few
@given(sides, sides, st.sampled_from([32, 64, 80]), st.integers(1, 3), st.integers(0, 2**32))
def test_a_pointwise_map_gives_the_pixels_of_the_whole(tmp_path_factory, reinhard, height, width, tile, threads, seed):
    image, path = noise(height, width, seed), tmp_path_factory.mktemp("slide") / "slide.tif"
    written(path, image, reinhard, PyramidOptions(tile=tile, lossless=True), threads=threads)
    np.testing.assert_array_equal(level_0(path), reinhard(image))


@few
@given(sides, sides, st.integers(0, 2**32))
def test_a_map_with_a_halo_gives_the_pixels_of_the_whole(tmp_path_factory, height, width, seed):
    image, path = noise(height, width, seed), tmp_path_factory.mktemp("slide") / "slide.tif"
    written(path, image, Blur())
    np.testing.assert_array_equal(level_0(path), Blur()(image))


@few
@given(sides, sides, st.integers(0, 2**32))
def test_a_map_of_squares_gets_exactly_these(tmp_path_factory, height, width, seed):
    image, path = noise(height, width, seed), tmp_path_factory.mktemp("slide") / "slide.tif"
    written(path, image, Squares())
    np.testing.assert_array_equal(level_0(path), Squares().whole(image))


@pytest.mark.parametrize("options", [PyramidOptions(tile=64), LOSSLESS], ids=["jpeg", "lossless"])
def test_threads_and_compiled_code_do_not_change_a_byte(tmp_path, options):
    image = tissue()
    for name, threads in (("1", 1), ("2", 2), ("5", 5)):
        written(tmp_path / name, image, None, options, threads=threads)
    with native.using("off"):
        written(tmp_path / "plain", image, None, options)
    assert len({(tmp_path / name).read_bytes() for name in ("1", "2", "5", "plain")}) == 1


@pytest.mark.parametrize("background", ["normalize", "keep"])
@pytest.mark.parametrize("method", ["reinhard", "macenko", "vahadane", "khan", "squares"])
def test_tensors_on_a_device_give_the_same_bytes(tmp_path, monkeypatch, method, background):
    """As on a GPU: pixels become tensors of the device, are mapped as such, and come back to be encoded."""
    pytest.importorskip("torch")
    pixels = tissue(200, 230)
    center = sx.fit_center([tissue(200, 200)], "reinhard" if method == "squares" else method)
    image_map = TileMap(center, 48) if method == "squares" else center.map_for(tissue(150, 170))
    with ArraySlide(pixels) as slide:
        expected = write_slide(slide, tmp_path / "arrays.tif", image_map, LOSSLESS, background=background)
        monkeypatch.setattr(ArraySlide, "read_pixels_on", counted := Counted(ArraySlide.read_pixels_on))
        found = write_slide(slide, tmp_path / "tensors.tif", image_map, LOSSLESS, background=background, device="cpu")
    assert counted.devices == {"cpu"}
    assert found.levels == expected.levels
    assert (tmp_path / "tensors.tif").read_bytes() == (tmp_path / "arrays.tif").read_bytes()


class Counted:
    """A method that notes the devices that it is asked for."""

    def __init__(self, method):
        self.method, self.devices = method, set()

    def __get__(self, slide, owner):
        def method(level, box, device):
            self.devices.add(device.type)
            return self.method(slide, level, box, device)

        return method


def test_levels_and_size_are_told(tmp_path):
    result = written(tmp_path / "slide.tif", tissue())
    assert result.path == tmp_path / "slide.tif"
    assert result.size == result.path.stat().st_size
    assert not result.resumed
    with sx.open_slide(result.path, "tifffile") as slide:
        assert slide.levels == result.levels
    assert os.listdir(tmp_path) == ["slide.tif"]


def test_progress_counts_the_pixels_of_level_0(tmp_path):
    calls = []
    written(tmp_path / "slide.tif", tissue(), progress=lambda *call: calls.append(call))
    assert [total for _, total in calls] == [421 * 333] * 12
    assert calls[-1] == (421 * 333, 421 * 333)
    assert calls == sorted(set(calls))


def test_kept_background_keeps_its_pixels(tmp_path, reinhard):
    image = tissue(640, 640)
    written(tmp_path / "slide.tif", image, reinhard, background="keep")
    found, mapped = level_0(tmp_path / "slide.tif"), reinhard(image)
    assert (mapped[:, -1] != 244).any()
    with ArraySlide(image) as slide:
        fraction = tissue_of(slide).on(slide.grid(0, 64)).fraction
    assert 20 < (fraction < 0.01).sum() < 80
    for row, column in np.ndindex(fraction.shape):
        part = np.s_[row * 64 : row * 64 + 64, column * 64 : column * 64 + 64]
        np.testing.assert_array_equal(found[part], (image if fraction[row, column] < 0.01 else mapped)[part])


def test_a_map_says_so_in_the_file(tmp_path, reinhard):
    written(tmp_path / "slide.tif", tissue(), reinhard)
    with tifffile.TiffFile(tmp_path / "slide.tif") as file:
        assert "colors normalized to the target's, ICC profile sRGB" in file.pages[0].description


def test_the_target_is_replaced_at_the_end_only(tmp_path):
    path = tmp_path / "slide.tif"
    path.write_text("before")
    written(
        path, tissue(), progress=lambda *_: [].append(path.read_text() == "before" or pytest.fail("replaced early"))
    )
    assert level_0(path).shape == (333, 421, 3)


# ---- interrupted ----------------------------------------------------------------------------------------------------


class Stop(Exception):
    """Ends a pass from its progress callback."""


def stop_at(path, image, block, **more):
    """Write, and stop after so many blocks."""
    seen = []

    def progress(*_):
        seen.append(0)
        if len(seen) > block:
            raise Stop

    with pytest.raises(Stop):
        written(path, image, progress=progress, **more)


def part_of(path):
    return path.with_name(path.name + ".part")


def journal_of(path):
    return path.with_name(path.name + ".journal")


@few
@given(st.integers(0, 11), st.integers(0, 3000), st.integers(0, 3000), st.booleans())
def test_whatever_is_left_resume_gives_the_same_file(tmp_path_factory, block, torn, more, jpeg):
    """The journal may lack its end, and the data may be longer than it says."""
    folder, image = tmp_path_factory.mktemp("slide"), tissue()
    options = PyramidOptions(tile=64, layout="svs") if jpeg else LOSSLESS
    clean, path = folder / "clean.tif", folder / "slide.tif"
    written(clean, image, None, options)
    stop_at(path, image, block, options=options)
    assert not path.exists()
    journal = journal_of(path).read_bytes()
    journal_of(path).write_bytes(journal[: max(0, len(journal) - torn)])
    with part_of(path).open("ab") as file:
        file.write(os.urandom(more))
    result = written(path, image, None, options, resume=True)
    assert path.read_bytes() == clean.read_bytes()
    assert result.resumed or block == 0 or torn
    assert sorted(os.listdir(folder)) == ["clean.tif", "slide.tif"]


def test_resume_does_not_read_again_what_is_done(tmp_path):
    path, image, calls = tmp_path / "slide.tif", tissue(), []
    stop_at(path, image, 8)
    with ArraySlide(image) as slide:
        read = slide.read_pixels
        slide.read_pixels = lambda *box: calls.append(box) or read(*box)
        assert write_slide(slide, path, None, LOSSLESS, resume=True).resumed
    assert len(calls) <= 4


def test_without_resume_it_begins_anew(tmp_path):
    path = tmp_path / "slide.tif"
    stop_at(path, tissue(), 5)
    image = noise(333, 421)
    assert not written(path, image).resumed
    np.testing.assert_array_equal(level_0(path), image)


def test_resume_of_nothing_begins(tmp_path):
    assert not written(tmp_path / "slide.tif", tissue(), resume=True).resumed


def test_a_kill_between_the_name_and_the_end_of_the_journal(tmp_path):
    path, image = tmp_path / "slide.tif", tissue()
    stop_at(path, image, 5)
    journal = journal_of(path).read_bytes()
    written(path, image, resume=True)
    whole = path.read_bytes()
    journal_of(path).write_bytes(journal)
    written(path, image, resume=True)
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "other",
    [
        {"fingerprint": "another"},
        {"options": PyramidOptions(tile=64, lossless=True, layout="ome")},
        {"facts": {"mpp": (0.5, 0.5)}},
        {"icc": "srgb"},
        {"background": "keep"},
    ],
    ids=str,
)
def test_a_partial_file_of_something_else_is_not_continued(tmp_path, other):
    path, image = tmp_path / "slide.tif", tissue()
    stop_at(path, image, 5, fingerprint="one")
    before = part_of(path).read_bytes()
    with pytest.raises(ResumeError, match="was begun from another slide"):
        written(path, image, resume=True, **{"fingerprint": "one", **other})
    assert part_of(path).read_bytes() == before
    assert written(path, image, fingerprint="one", resume=True).resumed


def test_another_map_needs_another_fingerprint_but_a_copy_is_distinguished(tmp_path, reinhard):
    path = tmp_path / "slide.tif"
    stop_at(path, tissue(), 5, fingerprint="slide")
    with pytest.raises(ResumeError):
        written(path, tissue(), reinhard, resume=True, fingerprint="slide")


def test_two_at_once(tmp_path):
    path, refused = tmp_path / "slide.tif", []

    def second(*_):
        with pytest.raises(SlideBusyError, match="another process is writing"):
            written(path, noise(50, 50))
        refused.append(0)

    image = tissue()
    written(path, image, progress=second)
    assert refused
    np.testing.assert_array_equal(level_0(path), image)


def test_the_lock_ends_with_the_process(tmp_path):
    process, path = started(tmp_path), tmp_path / "slide.tif"
    process.stdout.readline()
    with pytest.raises(SlideBusyError):
        written(path, tissue())
    process.kill()
    process.communicate()
    written(path, tissue())


def test_a_full_disk(tmp_path):
    resource = pytest.importorskip("resource")
    clean, path, image = tmp_path / "clean.tif", tmp_path / "slide.tif", tissue()
    written(clean, image)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(SlideWriteError, match="make room and resume"):
            written(path, image)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not path.exists()
    assert written(path, image, resume=True).resumed
    assert path.read_bytes() == clean.read_bytes()


@pytest.mark.parametrize("call", ["fsync", "replace", "write"])
@pytest.mark.parametrize(("number", "message"), [(errno.ENOSPC, "there is no room"), (errno.EIO, "cannot be written")])
def test_errors_of_the_disk_at_any_time(tmp_path, monkeypatch, call, number, message):
    path, image, calls, original = tmp_path / "slide.tif", tissue(), [], getattr(os, call)

    def failing(*arguments):
        calls.append(0)
        if len(calls) > 9 or call == "replace":
            raise OSError(number, os.strerror(number))
        return original(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(os, call, failing)
        with pytest.raises(SlideWriteError, match=message):
            written(path, image)
    assert not path.exists()
    written(path, image, resume=True)
    np.testing.assert_array_equal(level_0(path), image)


class Damaged(ArraySlide):
    """A slide with a tile that cannot be read."""

    def read_pixels(self, level, box):
        x, y, width, height = box
        if x <= 300 < x + width and y <= 200 < y + height:
            raise SlideError(f"level {level}, the tile at x=300, y=200 is damaged")
        return super().read_pixels(level, box)


def test_a_damaged_tile_ends_it_and_the_rest_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "NOTE_SECONDS", 1e9)
    path, clean, image = tmp_path / "slide.tif", tmp_path / "clean.tif", tissue()
    with Damaged(image) as slide, pytest.raises(SlideError, match="tile at x=300, y=200 is damaged"):
        write_slide(slide, path, None, LOSSLESS, threads=3)
    assert not path.exists()
    assert written(path, image, resume=True).resumed
    written(clean, image)
    assert path.read_bytes() == clean.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_map": WholeImage()}, "depends on the whole image"),
        ({"background": "black"}, "background must be one of: normalize, keep"),
        ({"image_map": IdentityMap(), "resume": True}, "give a fingerprint"),
        ({"threads": 0}, "threads must be at least 1"),
        ({"icc": "adobe"}, 'icc must be "auto"'),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_arguments_that_make_no_sense_leave_no_file(tmp_path, arguments, message):
    with pytest.raises(ParameterError, match=message):
        written(tmp_path / "slide.tif", tissue(), **arguments)
    assert not os.listdir(tmp_path)


def test_a_slide_is_not_written_over_itself(tmp_path):
    path = tmp_path / "slide.tif"
    written(path, tissue())
    with sx.open_slide(path) as slide, pytest.raises(ParameterError, match="the slide that is being read"):
        write_slide(slide, path, None)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(SlideWriteError, match="cannot be written"):
        written(tmp_path / "no" / "slide.tif", tissue())


# ---- killed ---------------------------------------------------------------------------------------------------------


def started(folder, mode="anew"):
    """A process that writes a slide and says ``block`` after each."""
    here = Path(__file__).parent
    return subprocess.Popen(
        [sys.executable, str(here / "write_one_slide.py"), str(folder / "slide.tif"), mode],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(here.parent), str(here)])},
    )


@pytest.mark.slow
def test_killed_at_random_moments_it_is_resumed_to_the_same_bytes(tmp_path):
    from write_one_slide import write

    clean, path, chance = tmp_path / "clean.tif", tmp_path / "slide.tif", random.Random(5)
    write(clean, False)
    for _ in range(3):
        process = started(tmp_path, "anew")
        for _ in range(chance.randrange(1, 50)):
            process.stdout.readline()
        time.sleep(chance.random() * 0.01)
        process.kill()
        process.communicate()
        if path.exists():  # it was done
            path.unlink()
            continue
        assert part_of(path).exists()
        write(path, True)
        assert path.read_bytes() == clean.read_bytes()
        path.unlink()
