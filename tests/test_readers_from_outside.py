"""Readers of other packages: registered by a call or an entry point, found everywhere, tested by a derived class."""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import stainxform as sx
from stainxform.cli.app import app
from stainxform.errors import MissingDependencyError, ParameterError, SlideError, UnsupportedSlideError
from stainxform.samples import pair
from stainxform.slides import READERS, Level, Slide, SlideTiles, register_reader
from stainxform.slides.readers import registry
from stainxform.testing import SlideReaderTests

pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")

from slide_files import tissue, write

ROOT = Path(sx.__file__).parents[1]


class NumpySlide(Slide):
    """A slide of one level in a .npy file."""

    reader = "numpy"
    suffixes = (".npy",)

    def __init__(self, path):
        with open(path, "rb") as file:
            if file.read(6) != b"\x93NUMPY":
                raise UnsupportedSlideError(f"{path} is no .npy file")
        try:
            self._pixels = np.load(path, mmap_mode="r")
        except ValueError as error:
            raise SlideError(f"{path} is damaged ({error})") from error
        super().__init__(path, [Level(self._pixels.shape[:2], 1.0, (64, 64))])

    def read_pixels(self, level, box):
        x, y, width, height = box
        return np.array(self._pixels[y : y + height, x : x + width])

    def close_file(self):
        del self._pixels


class TestNumpySlide(SlideReaderTests):
    levels = 1

    def open(self, path):
        return NumpySlide(path)

    def write(self, path, levels):
        path = path.with_suffix(".npy")
        np.save(path, levels[0])
        return path


@pytest.fixture
def registered():
    """The registry as it was, afterwards."""
    with READERS.temporarily():
        register_reader("numpy", NumpySlide)
        yield


@pytest.fixture
def array_file(tmp_path):
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in" / "slide.npy", tissue())
    return tmp_path / "in" / "slide.npy"


@pytest.mark.parametrize("reader", ["numpy", "auto"])
def test_a_registered_reader_is_asked_for_or_found(registered, array_file, reader):
    with sx.open_slide(array_file, reader) as slide:
        assert slide.reader == "numpy"
        np.testing.assert_array_equal(slide.read(0, 0, 0, 421, 333), tissue())
    assert len(SlideTiles(array_file, size=64, per_slide=3, reader=reader)) == 3


def test_auto_tries_registered_readers_last_unless_they_ask_for_such_files(registered, array_file, tmp_path):
    path = write(tmp_path / "slide.tif", tissue())

    class Greedy(NumpySlide):
        reader, suffixes = "greedy", (".tif",)

        def __init__(self, path):
            Slide.__init__(self, path, [Level((10, 10), 1.0, (10, 10))])

        def close_file(self):
            pass

    with sx.open_slide(path) as slide:
        assert slide.reader in registry.BUILT_IN
    register_reader("greedy", Greedy)
    with sx.open_slide(path) as slide:
        assert slide.reader == "greedy"
    with sx.open_slide(array_file) as slide:
        assert slide.reader == "numpy"


def test_a_reader_may_stand_back(registered, array_file, monkeypatch):
    monkeypatch.setattr(NumpySlide, "tried_by_auto", classmethod(lambda cls: False))
    with pytest.raises(UnsupportedSlideError, match="is no TIFF file"):
        sx.open_slide(array_file)
    sx.open_slide(array_file, "numpy").close()


def test_the_command_line_and_the_pipeline_take_it(registered, array_file, tmp_path):
    model = tmp_path / "model.safetensors"
    sx.fit_center(pair(3, 64, ("a",), 1)[0], "macenko").save(model)
    (outcome,) = sx.normalize_slides(array_file, tmp_path / "out", model, reader="numpy")
    assert outcome.status == "written"
    command = ["tiles", str(array_file), "-o", str(tmp_path / "tiles"), "--size", "64", "--reader"]
    result = CliRunner().invoke(app, [*command, "numpy"])
    assert result.exit_code == 0, result.output
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*command, "numpi"])
    assert result.exit_code == 1
    assert "reader must be 'auto' or one of: " in result.output
    assert "numpy; got 'numpi'" in result.output


def test_auto_goes_on_where_a_reader_from_outside_fails(registered, tmp_path):
    class Failing(NumpySlide):
        reader, suffixes = "failing", (".tif",)

        def __init__(self, path):
            raise ValueError("not mine")

    register_reader("failing", Failing)
    with sx.open_slide(write(tmp_path / "slide.tif", tissue())) as slide:
        assert slide.reader in registry.BUILT_IN
    (tmp_path / "none.tif").write_bytes(b"nothing")
    with pytest.raises(UnsupportedSlideError, match=r"the reader 'failing' failed on .* \(not mine\)"):
        sx.open_slide(tmp_path / "none.tif")


def test_nothing_is_written_for_an_unknown_reader(array_file, tmp_path):
    model = tmp_path / "model.safetensors"
    sx.fit_center(pair(3, 64, ("a",), 1)[0], "macenko").save(model)
    with pytest.raises(ParameterError, match="reader must be"):
        sx.normalize_slides(array_file, tmp_path / "out", model, reader="numpi")
    assert not (tmp_path / "out").exists()


def test_what_is_no_reader_is_refused(registered):
    for name, message in (("auto", "the best reader of a file"), ("tifffile", "'tifffile' is taken by")):
        with pytest.raises(ParameterError, match=message):
            register_reader(name, NumpySlide)
    for wrong in (int, NumpySlide.read, "no_path", None):
        with pytest.raises(ParameterError, match="a reader is a class derived from Slide"):
            register_reader("mine", wrong)


def test_a_reader_that_cannot_be_imported_keeps_nothing_else_from_being_read(registered, tmp_path):
    register_reader("gone", "no_such_package_anywhere.slides:Slide")
    with sx.open_slide(write(tmp_path / "slide.tif", tissue())):
        pass
    with pytest.raises(MissingDependencyError, match=r"the reader 'gone' cannot be imported from no_such_package"):
        sx.open_slide(tmp_path / "slide.tif", "gone")


def test_an_entry_point_is_a_reader_in_every_process(array_file, tmp_path):
    """Of a package as pip would leave it: a module, and its metadata."""
    (tmp_path / "arrays.py").write_text(
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_readers_from_outside import NumpySlide\n"
    )
    info = tmp_path / "arrays-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: arrays\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[stainxform.readers]\nnumpy = arrays:NumpySlide\ntifffile = arrays:Wrong\n")
    assert [point.name for point in importlib.metadata.Distribution.at(info).entry_points] == ["numpy", "tifffile"]
    code = (
        "import stainxform as sx; from stainxform.slides import READERS;"
        f"print(list(READERS), READERS['tifffile'], sx.open_slide({str(array_file)!r}).reader)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    assert "'numpy'" in run.stdout
    assert run.stdout.split()[-2:] == ["stainxform.slides.readers.tifffile:TifffileSlide", "numpy"]


class BadSlide(NumpySlide):
    """Each fault is one that the tests must find."""

    fault = ""

    def read_pixels(self, level, box):
        x, y, width, height = box
        if self.fault == "shifted":
            x = max(0, x - 1)
        pixels = self._pixels[y : y + height, x : x + width]
        if self.fault == "float":
            return pixels.astype(np.float32)
        if self.fault == "shared":
            self.kept = getattr(self, "kept", {})
            return self.kept.setdefault(box, np.array(pixels))
        return np.array(pixels)


@pytest.mark.parametrize(
    ("fault", "test"),
    [
        ("shifted", "test_regions_are_parts_of_their_level"),
        ("float", "test_levels_are_those_of_the_file"),
        ("shared", "test_pixels_belong_to_the_caller"),
    ],
)
def test_the_tests_find_faults(tmp_path, monkeypatch, fault, test):
    monkeypatch.setattr(BadSlide, "fault", fault)
    tests = TestNumpySlide()
    monkeypatch.setattr(tests, "open", BadSlide)
    with pytest.raises((AssertionError, SlideError)):
        getattr(tests, test)(tmp_path)
    monkeypatch.setattr(BadSlide, "fault", "")
    getattr(tests, test)(tmp_path)
