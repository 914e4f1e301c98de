import warnings
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image
from strategies import blank_image, he_image

import stainxform as sx
from stainxform._version import __version__
from stainxform.errors import InvalidImageError, NotEnoughTissueError, ParameterError, StainXformWarning
from stainxform.io.settings import Settings
from stainxform.maps import ChannelAffineMap
from stainxform.normalizers import registry
from stainxform.normalizers.base import PointwiseNormalizer, fitted

TILES = [he_image(seed, 30, 30) for seed in range(5)]
CHEAP = [name for name, method in sx.methods().items() if not method.extra]
every_cheap_method = pytest.mark.parametrize("method", CHEAP)


class Unreadable:
    """A Dataset that must not be touched."""

    def __len__(self):
        raise AssertionError("read before the arguments were checked")

    def __getitem__(self, index):
        raise AssertionError("read before the arguments were checked")


def state(normalizer):
    """What a model file would hold, comparable."""
    return normalizer.method, normalizer.parameters(), {k: v.tobytes() for k, v in normalizer.arrays().items()}


def test_macenko_and_reinhard_are_among_the_cheap_methods():
    assert {"macenko", "reinhard"} <= set(CHEAP)


@every_cheap_method
def test_the_fit_is_that_of_the_class(method):
    assert state(sx.fit_center(TILES, method)) == state(registry.normalizer_class(method).fit(TILES))


@every_cheap_method
def test_images_of_another_center_come_to_look_like_this_one(method, tiles):
    ours, theirs = tiles
    colors = [images.reshape(-1, 3).mean(0) for images in (ours, theirs, sx.fit_center(ours, method)(theirs))]
    before, after = (np.abs(color - colors[0]).sum() for color in colors[1:])
    assert after < before * (0.8 if method == "reinhard_modified" else 0.5)  # that one keeps the contrast of lightness


@every_cheap_method
def test_folder_glob_files_arrays_and_datasets_give_equal_models(method, tmp_path):
    for index, tile in enumerate(TILES):
        Image.fromarray(tile).save(tmp_path / f"{index}.png")
    sources = {
        "folder": tmp_path,
        "glob": f"{tmp_path}/*.png",
        "files": sorted(tmp_path.iterdir()),
        "array": np.stack(TILES),
        "generator": iter(TILES),
        "dictionaries": [{"image": tile} for tile in TILES],
        "floats": [tile / 255 for tile in TILES],
    }
    expected = state(sx.fit_center(TILES, method))
    assert {name: state(sx.fit_center(images, method)) for name, images in sources.items()} == dict.fromkeys(
        sources, expected
    )


@every_cheap_method
def test_the_order_of_tiles_does_not_matter(method):
    assert state(sx.fit_center(TILES[::-1], method)) == state(sx.fit_center(TILES, method))


@every_cheap_method
def test_blank_tiles_are_skipped_with_one_warning_that_counts_them(method):
    mixed = [blank_image(), TILES[0], blank_image(0), *TILES[1:], blank_image(255)]
    with pytest.warns(StainXformWarning) as caught:
        normalizer = sx.fit_center(mixed, method)
    assert [str(warning.message) for warning in caught] == ["skipped 3 of 8 tiles: less than 1.00% tissue"]
    assert caught[0].filename == __file__
    assert normalizer.info.tiles == 5
    assert state(normalizer) == state(sx.fit_center(TILES, method))


@every_cheap_method
def test_a_center_without_blank_tiles_is_fitted_in_silence(method):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sx.fit_center(TILES, method)


@every_cheap_method
def test_only_blank_tiles_raise_without_a_warning(method):
    with pytest.raises(NotEnoughTissueError, match="none of the 2 tiles holds enough tissue"):
        sx.fit_center([blank_image(), blank_image(0)], method)


def test_min_tissue_decides_what_is_blank_in_the_fit_and_later():
    half = np.concatenate([TILES[0], blank_image(245, 30, 30)])
    assert sx.fit_center(half, "reinhard", min_tissue=0.4).info.tiles == 1
    with pytest.raises(NotEnoughTissueError, match=r"60\.00%"):
        sx.fit_center(half, "reinhard", min_tissue=0.6)
    strict = sx.fit_center(TILES, "reinhard", min_tissue=0.6)
    assert np.array_equal(strict(half), half)
    assert not np.array_equal(sx.fit_center(TILES, "reinhard")(half), half)


@pytest.mark.parametrize("min_tissue", [-0.1, 1.1, float("nan")])
def test_a_senseless_min_tissue_raises_before_anything_is_read(min_tissue):
    with pytest.raises(ParameterError, match="min_tissue"):
        sx.fit_center(Unreadable(), "macenko", min_tissue=min_tissue)


def test_an_unknown_method_raises_before_anything_is_read_and_names_the_known_ones():
    with pytest.raises(ParameterError, match=f"unknown method 'vahadan'.*{', '.join(sx.methods())}"):
        sx.fit_center(Unreadable(), "vahadan")


@every_cheap_method
def test_an_unknown_setting_raises_before_anything_is_read_and_names_the_known_ones(method):
    with pytest.raises(ParameterError, match=rf"{method} has no setting 'colour'; it has: \w+"):
        sx.fit_center(Unreadable(), method, colour=1)


SENSELESS = [
    ("macenko", {"definition": "matlab"}),
    ("macenko", {"alpha": 99}),
    ("macenko", {"combine": "best"}),
    ("vahadane", {"regularization": 0}),
    ("ramakrishnan", {"patches": 0}),
    ("khan", {"confidence": 1}),
    ("reinhard", {"space": "hsv"}),
    ("reinhard_modified", {"tissue_only": "no"}),
    ("stainlut", {"steps": 0}),
    ("stainlut", {"gray": "red"}),
    ("colornormnet", {"max_offset": -1}),
    ("stainnet", {"batch": 0}),
    ("staingan", {"blocks": -1}),
    *((method, {"device": "no-such-device"}) for method in ("stainlut", "colornormnet", "stainnet", "staingan")),
]


@pytest.mark.parametrize(("method", "setting"), SENSELESS, ids=str)
def test_a_senseless_value_of_a_setting_raises_before_anything_is_read(method, setting):
    if sx.methods()[method].extra:
        pytest.importorskip("torch")
    needed = {"stainnet": {"teacher": sx.Macenko()}, "staingan": {"source": Unreadable()}}.get(method, {})
    (name,) = setting
    with pytest.raises(ParameterError, match=name):
        sx.fit_center(Unreadable(), method, **needed, **setting)


@pytest.mark.parametrize("method", sx.methods())
def test_good_settings_are_followed_by_a_look_at_the_images(method):
    if sx.methods()[method].extra:
        pytest.importorskip("torch")
    needed = {"stainnet": {"teacher": sx.Macenko()}, "staingan": {"source": Unreadable()}}.get(method, {})
    with pytest.raises(AssertionError, match="read before"):
        sx.fit_center(Unreadable(), method, **needed)


NUMPY_SCALARS = [
    ("macenko", {"alpha": np.float32(0.1), "beta": np.float64(0.2), "definition": np.str_("veta")}),
    ("vahadane", {"regularization": np.float32(0.1)}),
    ("ramakrishnan", {"patches": np.int64(3), "max_white": np.float32(0.1)}),
    ("khan", {"confidence": np.float16(0.75)}),
    ("reinhard", {"tissue_only": np.True_}),
]


@pytest.mark.parametrize(("method", "settings"), NUMPY_SCALARS, ids=str)
@pytest.mark.parametrize(
    "fit", [sx.fit_center, lambda tiles, method, **s: registry.normalizer_class(method).fit(tiles, **s)]
)
def test_numpy_scalars_as_settings_survive_a_model_file(method, settings, fit, tmp_path, tiles):
    ours, theirs = tiles
    fitted = fit(ours, method, **settings).with_info(sx.fit_center(ours, method).info, np.float32(0.02))
    fitted.save(tmp_path / "model.safetensors")
    loaded = sx.load(tmp_path / "model.safetensors")
    assert state(loaded) == state(fitted)
    assert (loaded.min_tissue, type(fitted.min_tissue)) == (fitted.min_tissue, float)
    for name, value in settings.items():
        assert (getattr(loaded, name), type(getattr(fitted, name))) == (value, type(value.item()))
    assert np.array_equal(loaded(theirs), fitted(theirs))


def test_numpy_scalars_as_settings_of_a_training(tmp_path, tiles):
    pytest.importorskip("torch")
    settings = {
        "steps": np.int64(2), "size": np.int32(5), "bases": np.int64(2), "crop": np.int64(32), "seed": np.uint8(3),
        "mono_weight": np.float32(0.1), "learning_rates": {"luts": np.float32(1e-3)}, "gray": (0.3, np.float64(0.3), 0.4),
    }  # fmt: skip
    fitted = sx.fit_center(tiles[0], "stainlut", device="cpu", progress=False, workdir=tmp_path / "work", **settings)
    fitted.save(tmp_path / "model.safetensors")
    loaded = sx.load(tmp_path / "model.safetensors")
    assert loaded.gray == (0.3, 0.3, 0.4)
    assert np.array_equal(loaded(tiles[1]), fitted(tiles[1]))


def test_settings_reach_the_method():
    fitted = sx.fit_center(TILES, "macenko", definition="paper", alpha=3)
    assert (fitted.definition, fitted.alpha) == ("paper", 3)


def test_nothing_to_read_and_unreadable_tiles_raise(tmp_path):
    with pytest.raises(InvalidImageError):
        sx.fit_center(tmp_path, "macenko")
    with pytest.raises(InvalidImageError, match="item 1"):
        sx.fit_center([TILES[0], TILES[1][..., :2]], "macenko")


@every_cheap_method
def test_info_says_what_was_fitted(method, tmp_path):
    fitted = sx.fit_center(TILES, method, center="Center A", license="CC0-1.0")
    fitted.save(tmp_path / "model.safetensors")
    for normalizer in (fitted, sx.load(tmp_path / "model.safetensors")):
        info = normalizer.info
        assert (info.name, info.tiles, info.license, info.library_version) == ("Center A", 5, "CC0-1.0", __version__)
    assert sx.fit_center(TILES, method).info.name == ""


@dataclass(frozen=True, kw_only=True)
class MeanShiftSettings(Settings):
    strength: float = 1.0


@dataclass(frozen=True, eq=False, kw_only=True)
class MeanShift(PointwiseNormalizer):
    """A user's method, in one class."""

    mean: np.ndarray = fitted(3)
    strength: float = 1.0

    method: ClassVar[str] = "meanshift"
    Settings = MeanShiftSettings

    @classmethod
    def fit_histogram(cls, histogram, settings):
        mean = np.average(histogram.colors, axis=1, weights=histogram.counts)
        return cls(mean=mean, strength=settings.strength)

    def color_map(self, histogram):
        mean = np.average(histogram.colors, axis=1, weights=histogram.counts)

        class RGB:
            from_rgb = to_rgb = staticmethod(lambda planes: planes)

        return ChannelAffineMap(RGB(), np.ones(3), (self.mean - mean) * self.strength)


@pytest.fixture
def meanshift():
    with registry.METHODS.temporarily():
        sx.register(sx.Method("meanshift", f"{__name__}:MeanShift", "Shift of the mean", "This test"))
        yield


@pytest.mark.usefixtures("meanshift")
@pytest.mark.filterwarnings("ignore:.*same pixels")
def test_one_registration_makes_a_method_work_everywhere(tmp_path):
    path = tmp_path / "model.safetensors"
    assert "meanshift" in sx.methods()
    fitted = sx.fit_center([*TILES, TILES[0]], "meanshift", center="B", strength=0.5)
    fitted.save(path)
    loaded = sx.load(path)
    assert isinstance(loaded, MeanShift)
    assert (loaded.strength, loaded.info.name, loaded.info.tiles) == (0.5, "B", 6)
    assert np.array_equal(loaded(TILES[2]), fitted(TILES[2]))
    assert np.array_equal(loaded(blank_image()), blank_image())
    with pytest.raises(ParameterError, match="no setting 'alpha'; it has: strength"):
        sx.fit_center(Unreadable(), "meanshift", alpha=1)


@pytest.mark.usefixtures("meanshift")
def test_a_name_is_registered_once():
    sx.register(sx.Method("meanshift", f"{__name__}:MeanShift", "Again", "The same class may come back"))
    with pytest.raises(ParameterError, match=f"'macenko' is taken by {sx.methods()['macenko'].path}"):
        sx.register(sx.Method("macenko", f"{__name__}:MeanShift", "", ""))


def test_a_model_of_a_method_that_is_not_registered_is_refused(tmp_path):
    MeanShift(mean=np.zeros(3)).save(tmp_path / "model.safetensors")
    with pytest.raises(sx.errors.ModelFileError, match="'meanshift', which this stainxform does not know"):
        sx.load(tmp_path / "model.safetensors")


def test_every_registered_method_states_its_source():
    for name, method in sx.methods().items():
        assert (method.name, bool(method.title), bool(method.source)) == (name, True, True)
        assert method.extra or not method.needs
