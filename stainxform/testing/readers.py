"""What every reader of slides must do, as pytest tests that a reader from outside derives."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from stainxform.errors import ParameterError, SlideError, UnsupportedSlideError
from stainxform.slides import Slide
from stainxform.slides.base import TILE_THREADS
from stainxform.testing.images import he_image
from stainxform.testing.slides import pyramid, write_slide

__all__ = ["SHAPE", "SlideReaderTests"]

SHAPE = (150, 203)
"""(height, width) of level 0 of the test slide."""


class SlideReaderTests:
    """One pytest test for each thing that a reader must do: derive a class ``Test...`` that says how to open a file.

    >>> class TestMyReader(SlideReaderTests):  # doctest: +SKIP
    ...     def open(self, path):
    ...         return MySlide(path)

    The file is a generic pyramidal TIFF (deflate); a reader of other files overrides ``write``, too.

    Attributes
    ----------
    levels : int
        How many resolutions the file has; 1 for formats without a pyramid.
    tolerance : int
        How far a pixel may be from the one written, in 8-bit levels: 0, or more for lossy formats.
    """

    levels: int = 3
    tolerance: int = 0

    @abstractmethod
    def open(self, path: Path) -> Slide:
        """Open a file that ``write`` wrote, or one that is damaged or no slide."""

    def write(self, path: Path, levels: Sequence[np.ndarray]) -> Path:
        """Write a slide of these levels, uint8 ``(height, width, 3)``, each half as large as the one before."""
        return write_slide(path, levels[0], "deflate", len(levels))

    def test_levels_are_those_of_the_file(self, tmp_path: Path) -> None:
        """The finest first, with their shapes and downsamples."""
        expected, slide = self._slide(tmp_path)
        with slide:
            assert [level.shape for level in slide.levels] == [pixels.shape[:2] for pixels in expected]
            for number, level in enumerate(slide.levels):
                assert abs(level.downsample / 2**number - 1) < 0.1
                assert min(level.tile) >= 1
                _check(slide.read(number, 0, 0, *level.shape[::-1]), expected[number], self.tolerance)

    def test_what_it_says_about_itself(self, tmp_path: Path) -> None:
        """Name and path; resolution, magnification and color profile where the file says them."""
        _, slide = self._slide(tmp_path)
        with slide:
            assert isinstance(slide.reader, str)
            assert slide.reader in repr(slide)
            assert slide.path.is_file()
            assert slide.mpp is None or len(slide.mpp) == 2
            assert slide.magnification is None or slide.magnification > 0
            assert slide.icc is None or isinstance(slide.icc, bytes)

    def test_regions_are_parts_of_their_level(self, tmp_path: Path) -> None:
        """Anywhere, of any size, at the edges too."""
        _, slide = self._slide(tmp_path)
        rng = np.random.default_rng(0)
        with slide:
            for number, level in enumerate(slide.levels):
                rows, columns = level.shape
                whole = slide.read(number, 0, 0, columns, rows)
                corners = [
                    (0, 0, 1, 1),
                    (columns - 1, rows - 1, 1, 1),
                    (0, rows - 1, columns, 1),
                    (columns - 1, 0, 1, rows),
                ]
                for _ in range(20):
                    x, y = int(rng.integers(columns)), int(rng.integers(rows))
                    corners.append((x, y, int(rng.integers(1, columns - x + 1)), int(rng.integers(1, rows - y + 1))))
                for x, y, width, height in corners:
                    _check(slide.read(number, x, y, width, height), whole[y : y + height, x : x + width])

    def test_regions_and_levels_outside_are_refused(self, tmp_path: Path) -> None:
        """With a ParameterError."""
        _, slide = self._slide(tmp_path)
        height, width = SHAPE
        with slide:
            outside = [(-1, 0, 5, 5), (0, -1, 5, 5), (0, 0, width + 1, 5), (0, 0, 5, height + 1), (width - 1, 0, 2, 1)]
            for box in [*outside, (0, 0, 0, 5)]:
                message = _error_of(ParameterError, slide.read, 0, *box)
                assert f"does not lie inside level 0 ({width} x {height})" in message
            for level in (-1, self.levels):
                message = _error_of(ParameterError, slide.read, level, 0, 0, 1, 1)
                assert f"level must be between 0 and {self.levels - 1}" in message

    def test_pixels_belong_to_the_caller(self, tmp_path: Path) -> None:
        """What a caller does to them does not reach the next one."""
        _, slide = self._slide(tmp_path)
        with slide:
            first = slide.read(0, 3, 5, 40, 30)
            before = first.copy()
            first[:] = 0
            _check(slide.read(0, 3, 5, 40, 30), before)

    def test_tiles_are_the_regions_of_their_grid_in_order(self, tmp_path: Path) -> None:
        """Cut tiles are padded with white; with a device they are tensors."""
        _, slide = self._slide(tmp_path)
        devices = (None, "cpu") if find_spec("torch") else (None,)
        with slide:
            for device in devices:
                for level, size, overlap in [(0, None, 0), (-2, 30, 0), (0, (70, 40), 8), (-1, 500, 0)]:
                    level %= self.levels
                    grid, seen = slide.grid(level, size, overlap), []
                    for batch in slide.tiles(level, size, overlap, batch=5, device=device):
                        assert batch.level == level
                        assert 1 <= len(batch) <= 5
                        for pixels, box, index in zip(np.asarray(batch.pixels), batch.boxes, batch.indices):
                            assert tuple(box) == grid.box(*index)
                            x, y, width, height = (int(value) for value in box)
                            assert pixels.shape == (grid.size[1], grid.size[0], 3)
                            _check(pixels[:height, :width], slide.read(level, x, y, width, height))
                            assert (pixels[height:] == 255).all()
                            assert (pixels[:, width:] == 255).all()
                            seen.append(tuple(index))
                    assert seen == grid.chosen()

    def test_tiles_of_a_mask(self, tmp_path: Path) -> None:
        """Only those, in order; a mask of another shape is a ParameterError."""
        _, slide = self._slide(tmp_path)
        with slide:
            where = np.zeros((3, 4), bool)
            where[0, 3] = where[2, 1] = True
            indices = [tuple(index) for batch in slide.tiles(0, 64, where=where) for index in batch.indices]
            assert indices == [(0, 3), (2, 1)]
            message = _error_of(ParameterError, lambda: slide.tiles(0, 64, where=where.T))
            assert "where must be a bool mask of shape (3, 4)" in message

    def test_a_region_as_a_tensor_is_the_same(self, tmp_path: Path) -> None:
        """Nothing is tested where torch is not installed."""
        if not find_spec("torch"):
            return
        _, slide = self._slide(tmp_path)
        with slide:
            pixels = slide.read_tensor(self.levels - 1, 3, 5, 30, 20, device="cpu")
            assert pixels.device.type == "cpu"
            _check(pixels.numpy(), slide.read(self.levels - 1, 3, 5, 30, 20))
            assert "does not lie inside" in _error_of(ParameterError, slide.read_tensor, 0, -1, 0, 10, 10)

    def test_many_threads_may_read(self, tmp_path: Path) -> None:
        """At the same time, from all levels."""
        _, slide = self._slide(tmp_path)
        with slide, ThreadPoolExecutor(8) as pool:
            wholes = [slide.read(number, 0, 0, *level.shape[::-1]) for number, level in enumerate(slide.levels)]

            def read(k: int) -> None:
                level = k % self.levels
                rows, columns = slide.levels[level].shape
                x, y = 7 * k % (columns - 20), 11 * k % (rows - 20)
                _check(slide.read(level, x, y, 20, 20), wholes[level][y : y + 20, x : x + 20])

            list(pool.map(read, range(96)))

    def test_iterators_are_independent_and_may_be_left(self, tmp_path: Path) -> None:
        """No thread is left of one that was closed early."""
        _, slide = self._slide(tmp_path)
        with slide:
            one, other = slide.tiles(0, 32, batch=2), slide.tiles(0, 32, batch=2)
            for _ in range(3):
                np.testing.assert_array_equal(next(one).pixels, next(other).pixels)
            one.close()
            assert len(next(other)) == 2
            other.close()
        assert not [thread for thread in threading.enumerate() if thread.name.startswith(TILE_THREADS)]

    def test_a_closed_slide_says_so(self, tmp_path: Path) -> None:
        """Closing again does nothing; a read under way ends before the file is closed."""
        _, slide = self._slide(tmp_path)
        with slide.opened() as same:
            assert same is slide
        with slide.in_use():
            closing = threading.Thread(target=slide.close)
            closing.start()
            closing.join(0.05)
            assert closing.is_alive()
        closing.join()
        slide.close()
        assert "was closed" in _error_of(SlideError, slide.read, 0, 0, 0, 1, 1)
        assert "was closed" in _error_of(SlideError, lambda: list(slide.tiles()))

    def test_stored_bytes_are_those_of_the_stored_tiles_or_unknown(self, tmp_path: Path) -> None:
        """One number for each tile of the file's own grid."""
        _, slide = self._slide(tmp_path)
        with slide:
            for level in range(self.levels):
                counts, grid = slide.encoded_bytes(level), slide.grid(level)
                assert counts is None or counts.shape == (grid.rows, grid.columns)

    def test_missing_tiles_are_known_or_unknown(self, tmp_path: Path) -> None:
        """One value for each tile of the file's own grid; this file holds all."""
        _, slide = self._slide(tmp_path)
        with slide:
            for level in range(self.levels):
                missing, grid = slide.missing_tiles(level), slide.grid(level)
                assert missing is None or missing.shape == (grid.rows, grid.columns)
                assert missing is None or not missing.any()

    def test_another_process_can_open_it_again(self, tmp_path: Path) -> None:
        """By what pickle sends there, with what the user said of it."""
        _, slide = self._slide(tmp_path)
        slide.tell(mpp=(0.3, 0.4), missing="white")
        with slide:
            again, arguments = slide.__reduce__()
            with again(*arguments) as other:
                assert (other.reader, other.levels) == (slide.reader, slide.levels)
                assert (other.mpp, other.mpp_from, other.missing) == ((0.3, 0.4), "user", "white")
                _check(other.read(0, 3, 5, 40, 30), slide.read(0, 3, 5, 40, 30))

    def test_what_is_no_slide_is_left_to_other_readers(self, tmp_path: Path) -> None:
        """By an UnsupportedSlideError, after which "auto" tries the next reader."""
        path = tmp_path / "notes.txt"
        path.write_text("no slide at all")
        _error_of(UnsupportedSlideError, self.open, path)

    def test_a_file_that_ends_early_is_an_error(self, tmp_path: Path) -> None:
        """When it is opened, or when what is missing is read: never black pixels."""
        expected, slide = self._slide(tmp_path)
        slide.close()
        data = slide.path.read_bytes()
        cut = slide.path.with_name(f"cut{slide.path.suffix}")
        cut.write_bytes(data[: len(data) // 2])

        def read_all() -> None:
            with self.open(cut) as damaged:
                for level, pixels in enumerate(expected):
                    damaged.read(level, 0, 0, pixels.shape[1], pixels.shape[0])

        _error_of(SlideError, read_all)

    def _slide(self, folder: Path) -> tuple[list[np.ndarray], Slide]:
        """A new test slide, opened, and its levels."""
        levels = pyramid(he_image(0, *SHAPE), self.levels)
        return levels, self.open(self.write(folder / "slide.tif", levels))


def _check(pixels: np.ndarray, expected: np.ndarray, tolerance: int = 0) -> None:
    assert pixels.dtype == np.uint8
    assert pixels.shape == expected.shape
    assert np.abs(pixels.astype(int) - expected).max() <= tolerance


def _error_of(kind: type[Exception], call: Callable[..., object], *arguments: object) -> str:
    """What an exception says that must come."""
    try:
        call(*arguments)
    except kind as error:
        return str(error)
    raise AssertionError(f"no {kind.__name__} was raised")
