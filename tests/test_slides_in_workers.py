"""Open slides in other threads and processes: forked, spawned, closed while they are used."""

import multiprocessing
import os
import pickle
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

import stainxform as sx
from stainxform.errors import SlideError
from stainxform.slides import READERS, SlideTiles

tifffile = pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")

from slide_files import tissue, write  # noqa: E402

BOX = (0, 30, 20, 200, 150)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write(tmp_path_factory.mktemp("slides") / "slide.tif", tissue(), "deflate")


@pytest.fixture(params=list(READERS))
def reader(request):
    pytest.importorskip(request.param)
    return request.param


def in_child(work):
    """What ``work`` returns in a forked process, which ends without cleaning up after its parent."""
    receive, send = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads: that is what is tested
        child = os.fork()
    if not child:
        try:
            with os.fdopen(send, "wb") as file:
                try:
                    pickle.dump(work(), file)
                except BaseException as error:
                    pickle.dump(error, file)
        finally:
            os._exit(0)
    os.close(send)
    with os.fdopen(receive, "rb") as file:
        found = pickle.load(file)
    os.waitpid(child, 0)
    return found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
class TestForked:
    def test_a_child_reads_with_a_file_of_its_own(self, reader, path):
        with sx.open_slide(path, reader, mpp=0.3, missing="white") as slide:
            expected = slide.read(*BOX)

            def work():
                return [slide.read(*BOX) for _ in range(3)], slide.mpp, slide.mpp_from, slide.missing

            for _ in range(2):
                pixels, *told = in_child(work)
                assert told == [(0.3, 0.3), "user", "white"]
                for found in pixels:
                    np.testing.assert_array_equal(found, expected)
            np.testing.assert_array_equal(slide.read(*BOX), expected)

    def test_a_child_and_its_parent_read_at_the_same_time(self, reader, path):
        """Of one open file they would move one position."""
        with sx.open_slide(path, reader) as slide:
            boxes = [(0, x, y, 60, 60) for x in range(0, 340, 31) for y in range(0, 260, 29)]
            expected = [slide.read(*box) for box in boxes]

            def differ():
                return sum(not np.array_equal(slide.read(*box), tile) for box, tile in zip(boxes, expected))

            here = []
            thread = threading.Thread(target=lambda: here.append(differ()))
            thread.start()
            there = in_child(differ)
            thread.join()
            assert (here, there) == ([0], 0)

    def test_a_fork_while_threads_read(self, path):
        """The child has none of the threads, and no lock that one of them held."""
        with sx.open_slide(path) as slide:
            stop = threading.Event()

            def busy():
                while not stop.is_set():
                    slide.read(*BOX)

            threads = [threading.Thread(target=busy) for _ in range(3)]
            for thread in threads:
                thread.start()
            try:
                for _ in range(5):
                    assert in_child(lambda: (slide.read(*BOX).shape, slide.close())[0]) == (150, 200, 3)
            finally:
                stop.set()
                for thread in threads:
                    thread.join()
            assert slide.read(*BOX).any(), "what a child closes stays open here"

    def test_a_slide_that_was_closed_stays_closed(self, path):
        slide = sx.open_slide(path)
        slide.close()
        error = in_child(lambda: slide.read(*BOX))
        assert isinstance(error, SlideError)
        assert "was closed" in str(error)


def first_tile(tiles):
    """In a spawned process."""
    return tiles[0]


def region(slide):
    """In a spawned process."""
    with slide:
        return slide.read(*BOX), slide.mpp, slide.missing


def test_a_spawned_process_opens_what_it_is_sent(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    with sx.open_slide(path.name, mpp=0.4, missing="white") as slide:
        monkeypatch.chdir("/")
        tiles = SlideTiles(slide, size=64, per_slide=2)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            pixels, *told = pool.submit(region, slide).result(60)
            tile = pool.submit(first_tile, tiles).result(60)
        assert told == [(0.4, 0.4), "white"]
        np.testing.assert_array_equal(pixels, slide.read(*BOX))
        np.testing.assert_array_equal(tile, tiles[0])
    with pytest.raises(SlideError, match="was closed; open it again before it is sent"):
        pickle.dumps(slide)


def test_closed_while_its_tiles_are_read(reader, path):
    slide = sx.open_slide(path, reader)
    tiles = slide.tiles(0, 32, batch=2)
    next(tiles)
    slide.close()
    with pytest.raises(SlideError, match="was closed"):
        list(tiles)
    slide.close()


def test_workers_of_a_loader_share_nothing(path):
    """An open slide in a dataset, as people write it."""
    torch = pytest.importorskip("torch")

    class Tiles(torch.utils.data.Dataset):
        def __init__(self):
            self.slide = sx.open_slide(path)

        def __len__(self):
            return 12

        def __getitem__(self, index):
            return self.slide.read(0, 16 * index, 8 * index, 64, 64)

    tiles = Tiles()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        found = np.concatenate([np.asarray(batch) for batch in torch.utils.data.DataLoader(tiles, 3, num_workers=2)])
    np.testing.assert_array_equal(found, np.stack([tiles[index] for index in range(12)]))
    tiles.slide.close()
