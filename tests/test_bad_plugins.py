"""Plug-ins that are wrong: each is refused with a sentence, and nothing comes back un-normalized without a word."""

import sys
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

import stainxform as sx
from stainxform._hosts.augment import draw_from
from stainxform.augment import AUGMENTATIONS, Augmentation, Preset
from stainxform.augment import register as register_augmentation
from stainxform.color import OpticalDensity
from stainxform.errors import MissingDependencyError, ParameterError, SlideError
from stainxform.maps import ChannelAffineMap, StainMatrixMap
from stainxform.normalizers import PointwiseNormalizer, Settings, fitted
from stainxform.normalizers.registry import METHODS
from stainxform.samples import pair
from stainxform.slides import READERS, Level, Slide, register_reader
from stainxform.slides.readers.registry import reader_class

OURS, THEIRS = pair(2, 64, seed=1)


@dataclass(frozen=True, eq=False, kw_only=True)
class Good(PointwiseNormalizer):
    """A method that works."""

    gain: np.ndarray = fitted(3)
    extra: object = None

    method: ClassVar[str] = "good"
    title: ClassVar[str] = "Good"
    source: ClassVar[str] = "This test"

    @classmethod
    def fit_histogram(cls, histogram, settings):
        return cls(gain=np.ones(3))

    def color_map(self, histogram):
        return StainMatrixMap(np.diag(self.gain), OpticalDensity())


@dataclass(frozen=True, eq=False, kw_only=True)
class NoMap(PointwiseNormalizer):
    """It has no map."""

    @classmethod
    def fit_histogram(cls, histogram, settings):
        return cls()


@dataclass(frozen=True, eq=False, kw_only=True)
class NoFit(PointwiseNormalizer):
    """It has no fit."""

    def color_map(self, histogram):
        return None


class PlainSettings(Settings):
    """Not made a dataclass: its fields would be none."""

    strength: float = 1.0


def made(**members):
    kind = type("Made", (Good,), {"__module__": __name__, "__qualname__": "Made", "method": "made", **members})
    return dataclass(frozen=True, eq=False, kw_only=True)(kind)


@pytest.fixture(autouse=True)
def forgotten():
    with METHODS.temporarily(), READERS.temporarily():
        yield


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (3, "subclass of .*Normalizer, got 3"),
        (type("Plain", (), {"method": "a", "title": "b", "source": "c"}), "subclass of .*Normalizer"),
        (type("Sub", (Good,), {}), "must be a dataclass"),
        (NoMap, "must define color_map"),
        (NoFit, "must define fit_histogram, fit_histograms or fit_tiles"),
        (made(title=3), "must say its title"),
        (made(method=""), "must say its method"),
        (made(Settings=dict), "Settings must be a subclass"),
        (made(Settings=PlainSettings), "Settings must be a subclass .* and a dataclass"),
        (made(__qualname__="test.<locals>.Made"), "within a function"),
        (made(__qualname__="Macenko"), "'Macenko' of the method 'made' is that of 'macenko'"),
        (made(__qualname__="RandHED"), "transforms of their own named 'RandHED'"),
        (made(__qualname__="StainNormalized"), "transforms of their own named 'StainNormalized'"),
        (made(__qualname__="Macenkod"), "'Macenkod' of the method 'made' is that of 'macenko'"),
        (made(method="my method/../x"), "letters, digits and underscores"),
        (made(estimates=3), "estimates of Made must be a text, got 3"),
        (made(fit_histogram=lambda histogram, settings: None), "fit_histogram of Made must be a class method"),
    ],
)
def test_a_class_that_is_no_normalizer_is_refused(kind, message):
    with pytest.raises(ParameterError, match=message):
        sx.register(kind)
    assert "made" not in sx.methods()


@pytest.mark.parametrize("path", ["no_such_module:Class", f"{__name__}:NoSuchClass"])
def test_a_method_that_cannot_be_imported_says_so(path):
    sx.register(sx.Method("lost", path, "Lost", "This test"))
    with pytest.raises(MissingDependencyError, match="'lost' cannot be imported from"):
        sx.fit_center(OURS, "lost")


@pytest.mark.parametrize("found", [None, lambda image: image])
def test_what_is_no_map_is_refused(found, monkeypatch):
    monkeypatch.setattr(Good, "color_map", lambda self, histogram: found)
    normalizer = Good(gain=np.ones(3))
    for use in (normalizer, normalizer.map_for, normalizer.map_for_tiles):
        with pytest.raises(ParameterError, match="Good must give a map"):
            use(THEIRS[0])


def test_maps_of_numbers_that_are_none_are_refused():
    for matrix in (np.eye(2), np.full((3, 3), np.nan)):
        with pytest.raises(ParameterError, match="matrix must be finite numbers of shape"):
            StainMatrixMap(matrix)
    with pytest.raises(ParameterError, match="shift must be"):
        ChannelAffineMap(OpticalDensity(), np.ones(3), np.array([0, 0, np.inf]))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"gain": np.ones(4)}, "gain must be an array of floats of shape"),
        ({"gain": [1.0, 1.0, 1.0]}, "gain must be an array"),
        ({"gain": np.array([1, np.nan, 1])}, "gain holds NaN"),
        ({"gain": np.ones(3), "extra": np.ones(3)}, "extra of Good is an array that could not be read back"),
        ({"gain": np.ones(3), "extra": {1}}, "cannot be stored in a model file"),
        ({"gain": np.ones(3), "extra": float("nan")}, "cannot be stored in a model file"),
    ],
)
def test_what_could_not_be_read_back_is_not_written(tmp_path, fields, message):
    with pytest.raises(ParameterError, match=message):
        Good(**fields).save(tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


def test_settings_of_another_kind_are_parameter_errors():
    for method, setting in (("macenko", {"alpha": np.ones(2)}), ("stainlut", {"mono_weight": "x"})):
        if method == "stainlut":
            pytest.importorskip("torch")
        with pytest.raises(ParameterError, match="wrong type"):
            sx.fit_center(OURS, method, **setting)


@pytest.mark.parametrize("setting", [{"crop": float("nan")}, {"smooth_weight": -1}, {"mono_weight": float("inf")}])
def test_settings_of_stainlut_that_make_no_sense(setting):
    pytest.importorskip("torch")
    with pytest.raises(ParameterError, match=next(iter(setting))):
        sx.fit_center(OURS, "stainlut", **setting)


class NoDraw(Augmentation):
    """Its draw is None, which would mean that it is left out."""

    def sample(self, rng):
        return None

    def color_map(self, draw, histogram=None):
        return None


def test_a_draw_that_is_none_is_refused():
    with pytest.raises(ParameterError, match=r"NoDraw\.sample must give numbers by name, got None"):
        draw_from(NoDraw(), np.random.default_rng(0))


@dataclass(frozen=True, kw_only=True)
class Odd(Augmentation):
    """Its map is none."""

    size: float = 1.0

    name: ClassVar[str] = "odd"
    title: ClassVar[str] = "Odd"
    source: ClassVar[str] = "This test"

    def sample(self, rng):
        return {"size": rng.uniform(0, 1)}

    def color_map(self, draw, histogram=None):
        return draw["size"]


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (None, "a draw holds numbers by name, as Odd.sample gives, got None"),
        ({"size": "x"}, "a draw holds numbers by name"),
        ({}, "a draw of Odd needs 'size', as sample gives; this one has: none"),
        ({"size": 0.5}, "Odd must give a map of stainxform.maps, got float"),
    ],
)
def test_a_draw_from_a_log_is_checked(draw, message):
    with pytest.raises(ParameterError, match=message):
        Odd()(THEIRS[0], draw)


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("presets", {"light": {"size": 1}}, "the preset 'light' of Odd must be a Preset of its parameters"),
        ("presets", {"light": Preset({"width": 1}, "nobody")}, "the preset 'light' of Odd must be a Preset"),
        ("source", "", "Odd must say its source"),
    ],
)
def test_an_augmentation_that_could_not_be_used_is_not_registered(monkeypatch, attribute, value, message):
    monkeypatch.setattr(Odd, attribute, value)
    with AUGMENTATIONS.temporarily(), pytest.raises(ParameterError, match=message):
        register_augmentation(Odd)


@dataclass(frozen=True, kw_only=True)
class Needy(Settings):
    """A setting without a default, and one that fit_center takes for itself."""

    strength: float
    qc: str = ""


def test_settings_that_cannot_be_given_are_refused(monkeypatch):
    with pytest.raises(ParameterError, match="good needs the setting 'strength', which has no default"):
        Needy.of("good", {})
    monkeypatch.setattr(Good, "Settings", Needy)
    with pytest.raises(ParameterError, match="'qc' is an argument of fit_center"):
        sx.register(Good)


@pytest.mark.parametrize("wrong", [{"min_tissue": "x"}, {"center": 3}, {"license": None}])
def test_what_a_model_file_says_is_checked_before_the_fit(wrong):
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        sx.fit_center(OURS, "macenko", **wrong)


class Gray(Slide):
    """Its regions have one channel."""

    reader = "gray"

    def __init__(self, path):
        super().__init__(path, [Level((64, 64), 1.0, (64, 64))])

    def read_pixels(self, level, box):
        return np.zeros((box[3], box[2]), np.uint8)

    def close_file(self):
        pass


def test_regions_of_another_shape_are_slide_errors(tmp_path):
    with (
        Gray(tmp_path) as slide,
        pytest.raises(SlideError, match=r"'gray' gave uint8 \(8, 9\) where uint8 \(8, 9, 3\)"),
    ):
        slide.read(0, 0, 0, 9, 8)


def test_a_reader_that_is_none_stops_no_other(tmp_path, monkeypatch):
    for reader in (3, int, type("Abstract", (Slide,), {}), type("Suffixes", (Gray,), {"suffixes": ".svs"})):
        with pytest.raises(ParameterError):
            register_reader("wrong", reader)
    (tmp_path / "broken_reader.py").write_text("raise ValueError('broken')\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name, path in (("broken", "broken_reader:Broken"), ("counter", "collections:Counter")):
        register_reader(name, path)
        with pytest.raises(MissingDependencyError, match=f"'{name}' cannot be imported from {path}"):
            reader_class(name)
    (tmp_path / "no_slide.tif").write_bytes(b"no slide")
    with pytest.raises(SlideError):
        sx.open_slide(tmp_path / "no_slide.tif")
    sys.modules.pop("broken_reader", None)
