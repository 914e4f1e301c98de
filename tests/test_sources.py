import numpy as np
import pytest
from PIL import Image
from strategies import he_image

from stainxform.errors import InvalidImageError, ParameterError
from stainxform.io import sources
from stainxform.io.images import image_files
from stainxform.io.sources import Tiles, to_uint8

TILES = [he_image(seed, 10 + seed, 12) for seed in range(4)]
SQUARE = np.stack([he_image(seed, 10, 12) for seed in range(4)])


def assert_tiles(found, expected):
    assert len(found) == len(expected)
    for tile, image in zip(found, expected, strict=True):
        assert (tile.dtype, tile.flags.c_contiguous) == (np.uint8, True)
        assert np.array_equal(tile, image)


@pytest.fixture
def folder(tmp_path):
    """Four tiles in two folders, and what must be left alone."""
    for name, tile in zip(("a/2.png", "a/10.tif", "b.PNG", "z.bmp"), TILES, strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(tile).save(tmp_path / name)
    for hidden in (".hidden.png", "._b.png", ".thumbs/x.png", "a/.cache/y.png"):
        (tmp_path / hidden).parent.mkdir(exist_ok=True)
        (tmp_path / hidden).write_bytes(b"not an image")
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "folder.png").mkdir()
    return tmp_path


IN_ORDER = [TILES[1], TILES[0], TILES[2], TILES[3]]


def test_a_folder_is_searched_recursively_sorted_and_without_hidden_files(folder):
    names = [path.relative_to(folder).as_posix() for path in image_files(folder)]
    assert names == ["a/10.tif", "a/2.png", "b.PNG", "z.bmp"]
    assert_tiles(Tiles(folder), IN_ORDER)
    assert_tiles(Tiles(str(folder)), IN_ORDER)


def test_a_hidden_folder_that_was_asked_for_is_read(tmp_path):
    hidden = tmp_path / ".center"
    hidden.mkdir()
    Image.fromarray(TILES[0]).save(hidden / "a.png")
    assert_tiles(Tiles(hidden), TILES[:1])


def test_globs_files_and_lists_of_them(folder):
    assert_tiles(Tiles(f"{folder}/a/*"), IN_ORDER[:2])
    assert_tiles(Tiles(f"{folder}/**/*.[pP][nN][gG]"), [TILES[0], TILES[2]])
    assert_tiles(Tiles(folder / "z.bmp"), [TILES[3]])
    assert_tiles(Tiles([folder / "z.bmp", str(folder / "a")]), [TILES[3], TILES[1], TILES[0]])
    assert_tiles(Tiles((folder / "z.bmp", TILES[0])), [TILES[3], TILES[0]])


def test_a_file_name_that_looks_like_a_glob_is_taken_literally(tmp_path):
    Image.fromarray(TILES[0]).save(tmp_path / "tile[1].png")
    assert_tiles(Tiles(tmp_path / "tile[1].png"), TILES[:1])


class Dataset:
    """The protocol of torch and MONAI: a length and items."""

    def __init__(self, items):
        self.items, self.asked = items, []

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        self.asked.append(index)
        return self.items[index]


CHANNELS_FIRST = [np.moveaxis(tile, -1, 0) for tile in TILES]
IN_MEMORY = {
    "list": (TILES, TILES),
    "tuple": (tuple(TILES), TILES),
    "generator": (iter(TILES), TILES),
    "one array": (TILES[0], TILES[:1]),
    "batch": (SQUARE, SQUARE),
    "channel-first": (CHANNELS_FIRST, TILES),
    "channel-first batch": (np.moveaxis(SQUARE, -1, 1), SQUARE),
    "floats": ([tile / 255 for tile in TILES], TILES),
    "float32": ([np.float32(tile / 255) for tile in TILES], TILES),
    "strided": ([tile[::-1, ::2] for tile in TILES], [tile[::-1, ::2] for tile in TILES]),
    "Dataset": (Dataset(TILES), TILES),
    "Dataset of tuples": (Dataset([(tile, i) for i, tile in enumerate(TILES)]), TILES),
    "Dataset of dictionaries": (Dataset([{"image": tile, "label": 1} for tile in TILES]), TILES),
    "Tiles": (Tiles(TILES), TILES),
}


@pytest.mark.parametrize(("images", "expected"), IN_MEMORY.values(), ids=IN_MEMORY)
def test_arrays_batches_and_datasets(images, expected):
    assert_tiles(Tiles(images), expected)


def test_dictionaries_may_hold_files_under_any_key(folder):
    items = [{"path": folder / "z.bmp"}, {"path": str(folder / "b.PNG")}]
    assert_tiles(Tiles(items, image_key="path"), [TILES[3], TILES[2]])
    assert_tiles(Tiles(Dataset([(folder / "z.bmp", 0)])), [TILES[3]])
    with pytest.raises(InvalidImageError, match="item 0 has no key 'image'; pass image_key="):
        Tiles(items)[0]


def test_tensors_and_torch_datasets():
    torch = pytest.importorskip("torch")
    tensors = [torch.from_numpy(tile).movedim(-1, 0) for tile in TILES]
    assert_tiles(Tiles(tensors), TILES)
    assert_tiles(Tiles([tensor / 255 for tensor in tensors]), TILES)
    assert_tiles(Tiles(tensors[0]), TILES[:1])
    assert_tiles(Tiles(torch.from_numpy(SQUARE).movedim(-1, 1)), SQUARE)
    stacked = torch.utils.data.TensorDataset(torch.from_numpy(SQUARE).movedim(-1, 1), torch.zeros(4))
    assert_tiles(Tiles(stacked), SQUARE)
    assert_tiles(Tiles(torch.utils.data.Subset(stacked, [2, 0])), SQUARE[[2, 0]])


def test_monai_datasets_of_dictionaries(folder):
    pytest.importorskip("torch")
    monai_data = pytest.importorskip("monai.data")
    transforms = pytest.importorskip("monai.transforms")
    load = transforms.LoadImaged("image", ensure_channel_first=True, reader="PILReader", reverse_indexing=False)
    dataset = monai_data.Dataset([{"image": str(folder / "z.bmp")}, {"image": str(folder / "b.PNG")}], load)
    # MONAI loads 8-bit files as float32 in 0..255.
    assert_tiles(Tiles(dataset, value_range=(0, 255)), [np.asarray(TILES[3]), np.asarray(TILES[2])])


@pytest.mark.parametrize("value_range", [(0, 255), (-1, 1), (0, 65535)])
def test_floats_are_rounded_to_8_bits_from_their_value_range(value_range):
    low, high = value_range
    assert_tiles(Tiles([low + tile / 255 * (high - low) for tile in TILES], value_range=value_range), TILES)
    overshoot = np.full((2, 2, 3), high + (high - low) / 10)
    assert (to_uint8(overshoot, value_range) == 255).all()


def test_tiles_behave_like_a_sequence():
    found = Tiles(TILES)
    assert np.array_equal(found[-1], TILES[-1])
    assert np.array_equal(found[np.int64(2)], TILES[2])
    assert_tiles(found[1:3], TILES[1:3])
    assert_tiles(list(reversed(found)), TILES[::-1])
    with pytest.raises(IndexError):
        found[4]


def test_tiles_are_copies():
    image = TILES[0].copy()
    tile = Tiles([image])[0]
    image[:] = 0
    assert np.array_equal(tile, TILES[0])


def test_a_tile_is_decoded_once_and_then_read_only():
    dataset = Dataset(TILES)
    found = Tiles(dataset)
    assert all(found[1] is found[1] for _ in range(3))
    assert dataset.asked == [1]
    with pytest.raises(ValueError, match="read-only"):
        found[1][0] = 0


def test_the_cache_is_bounded_and_nothing_is_decoded_before_it_is_asked_for(monkeypatch):
    monkeypatch.setattr(sources, "CACHE_BYTES", TILES[0].nbytes + TILES[1].nbytes)
    dataset = Dataset(TILES)
    found = Tiles(dataset)
    assert (len(found), dataset.asked) == (4, [])
    for _ in range(2):
        assert_tiles(found, TILES)
    assert dataset.asked == [0, 1, 2, 3, 2, 3]


def test_a_subset_shares_what_is_cached():
    dataset = Dataset(TILES)
    found = Tiles(dataset)
    whole = list(found)
    chosen = found.subset([3, 1])
    assert_tiles(chosen, [TILES[3], TILES[1]])
    assert chosen[0] is whole[3]
    assert_tiles(chosen.subset([1]), [TILES[1]])
    assert sorted(dataset.asked) == [0, 1, 2, 3]
    assert_tiles(Tiles(Dataset(TILES)).subset([2]), [TILES[2]])


NOTHING = {
    "empty folder": (lambda path: path, "holds no png, jpg, tif or bmp images"),
    "missing": (lambda path: path / "none.png", "no file, folder or glob pattern matches"),
    "glob": (lambda path: f"{path}/*.png", "no file, folder or glob pattern matches"),
    "one missing": (lambda path: [TILES[0], path / "none.png"], "no file, folder or glob pattern matches"),
    "empty list": (lambda path: [], "no images were given"),
    "empty batch": (lambda path: np.zeros((0, 4, 4, 3), np.uint8), "no images were given"),
    "empty generator": (lambda path: iter(()), "no images were given"),
}


@pytest.mark.parametrize(("images", "message"), NOTHING.values(), ids=NOTHING)
def test_nothing_found_is_an_error_at_once(tmp_path, images, message):
    with pytest.raises(InvalidImageError, match=message):
        Tiles(images(tmp_path))


@pytest.mark.parametrize("images", [None, 3, object()])
def test_what_is_no_source_of_images_is_refused(images):
    with pytest.raises(ParameterError, match="expected a folder"):
        Tiles(images)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (np.zeros((4, 4), np.uint8), "item 1: .*repeat a gray image"),
        (np.zeros((4, 4, 4), np.uint8), "item 1: .*alpha"),
        (np.zeros((4, 4, 3), np.uint16), "item 1: .*uint16"),
        (np.full((4, 4, 3), np.nan), "item 1: .*NaN"),
        (np.full((4, 4, 3), 99.0), "item 1: .*value_range"),
        (SQUARE, "item 1: expected one tile, got a batch"),
        (None, "item 1: expected a numpy array"),
        ([], "item 1: expected a numpy array"),
    ],
    ids=["gray", "RGBA", "uint16", "NaN", "range", "batch", "None", "empty"],
)
def test_a_bad_item_is_named(item, message):
    with pytest.raises(InvalidImageError, match=message):
        list(Tiles([TILES[0], item]))
