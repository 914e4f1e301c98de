"""Augmentations: the laws that all of them keep, and each against its reference."""

from __future__ import annotations

import copy
import json
import pickle
import random
from abc import abstractmethod
from dataclasses import dataclass
from importlib.metadata import EntryPoint

import numpy as np
import pytest
import torch
from augment_cases import CASES, make
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from references import augment as reference
from references import macenko as macenko_reference
from references import reinhard as reinhard_reference
from skimage import color as skimage_color
from strategies import LAYOUTS, blank_image, he_image, he_images, laws, odd_images, store, stored_images
from toy_plugin import Dim

import stainxform as sx
from stainxform import _plugins
from stainxform.augment import (
    AUGMENTATIONS,
    HED,
    HSV,
    PRESETS,
    BrightnessContrast,
    ColorStatistics,
    RandStainNA,
    StainGrayscale,
    StainJitter,
    StainStyle,
    register,
    registry,
)
from stainxform.augment.base import Augmentation
from stainxform.augment.hsv import HueSaturationValue
from stainxform.errors import (
    InvalidImageError,
    ModelFileError,
    NotEnoughTissueError,
    ParameterError,
    StainXformWarning,
)
from stainxform.image.histogram import ColorHistogram
from stainxform.maps import IdentityMap
from stainxform.normalizers.base import Normalizer

few = settings(laws, max_examples=8)
"""For laws that every case repeats."""

seeds = st.integers(0, 2**32 - 1)
small = st.floats(-1, 1)


@pytest.fixture(scope="session")
def augmentations(tiles) -> dict[tuple[str, str], Augmentation]:
    """Every case, made once."""
    return {(name, label): make(name, settings, *tiles) for name, label, settings in CASES}


@pytest.fixture(scope="session", params=[case[:2] for case in CASES], ids=lambda case: "-".join(case))
def augmentation(request, augmentations) -> Augmentation:
    """Each case."""
    return augmentations[request.param]


def draw_of(augmentation, seed):
    return augmentation.sample(np.random.default_rng(seed))


def unit(image):
    """uint8 as float64 in 0..1."""
    return image / 255


class TestLaws:
    @few
    @given(stored_images(), seeds)
    def test_type_shape_and_range_are_kept_and_the_input_is_not_touched(self, augmentation, stored, seed):
        image = stored.image
        before = copy.deepcopy(image)
        result = augmentation(image, draw_of(augmentation, seed), **stored.keywords)
        assert type(result) is type(image)
        assert (result.dtype, result.shape) == (image.dtype, image.shape)
        np.testing.assert_array_equal(image, before)
        values, high = np.asarray(result, np.float64), 255 if "uint8" in str(image.dtype) else 1
        assert values.min(initial=0) >= 0
        assert values.max(initial=0) <= high
        assert np.isfinite(values).all()

    @few
    @given(he_images(), seeds, st.sampled_from(["uint8", "float32", "float64"]))
    def test_memory_layout_does_not_change_a_bit(self, augmentation, image, seed, dtype):
        draw = draw_of(augmentation, seed)
        wanted = augmentation(store(image, dtype).image, draw)
        for layout in LAYOUTS:
            stored = store(image, dtype, layout)
            result = np.asarray(augmentation(stored.image, draw, **stored.keywords))
            result = np.moveaxis(result, stored.axis, -1)
            np.testing.assert_array_equal(result[0] if "N" in layout else result, wanted)

    @few
    @given(odd_images(), seeds, st.sampled_from(["uint8", "float16", "float32"]))
    def test_odd_images_give_finite_colors_in_range_and_no_warning(self, augmentation, image, seed, dtype):
        """pytest turns numpy's warnings into errors."""
        image = store(image, dtype).image
        result = augmentation(image, draw_of(augmentation, seed))
        assert np.isfinite(result).all()
        assert dtype == "uint8" or 0 <= result.min() <= result.max() <= 1

    @few
    @given(he_images(), seeds)
    def test_where_pixels_are_does_not_matter(self, augmentation, image, seed):
        draw = draw_of(augmentation, seed)
        order = np.random.default_rng(seed).permutation(image.shape[0] * image.shape[1])
        shuffled = image.reshape(1, -1, 3)[:, order]
        expected = augmentation(image, draw).reshape(1, -1, 3)[:, order]
        np.testing.assert_array_equal(augmentation(shuffled, draw), expected)

    @few
    @given(he_images() | odd_images())
    def test_a_neutral_draw_changes_nothing(self, augmentation, image):
        if augmentation.neutral is None:
            pytest.skip("has no neutral draw")
        np.testing.assert_array_equal(augmentation(image, augmentation.neutral), image)
        # Legacy HED is exp(ln(I + 2)) - 2; separating stains a few degrees apart costs a digit or two.
        for dtype, tolerance in (("float32", 5e-5), ("float64", 1e-13)):
            values = store(image, dtype).image
            np.testing.assert_allclose(augmentation(values, augmentation.neutral), values, atol=tolerance)

    def test_a_neutral_draw_can_be_drawn(self, augmentation):
        assert augmentation.neutral is None or augmentation.neutral.keys() == draw_of(augmentation, 0).keys()

    @few
    @given(seeds)
    def test_draws_are_plain_numbers_from_any_generator(self, augmentation, seed):
        for rng in (np.random.default_rng(seed), np.random.RandomState(seed), random.Random(seed)):
            draw = augmentation.sample(rng)
            assert all(type(value) in (float, int) for value in draw.values())
            assert np.isfinite(list(draw.values())).all()
            assert json.loads(json.dumps(draw)) == draw

    def test_a_draw_read_back_from_json_gives_the_same_pixels(self, augmentation, tiles):
        draw = draw_of(augmentation, 3)
        again = json.loads(json.dumps(draw))
        np.testing.assert_array_equal(augmentation(tiles[1][0], again), augmentation(tiles[1][0], draw))

    def test_seeds_repeat_and_differ(self, augmentation):
        draws = [draw_of(augmentation, seed) for seed in (0, 0, *range(1, 9))]
        assert draws[0] == draws[1]
        assert not draws[0] or any(draw != draws[0] for draw in draws)

    @few
    @given(seeds)
    def test_every_draw_takes_as_many_random_numbers(self, augmentation, seed):
        counts = []
        for start in (seed, seed + 1):
            calls, generator = [], random.Random(start)

            class Counting:
                def uniform(self, low, high, calls=calls, generator=generator):
                    calls.append(1)
                    return generator.uniform(low, high)

            augmentation.sample(Counting())
            counts.append(len(calls))
        assert counts[0] == counts[1]

    def test_a_batch_is_its_images(self, augmentation, tiles):
        draw, batch = draw_of(augmentation, 5), tiles[1]
        wanted = np.stack([augmentation(image, draw) for image in batch])
        np.testing.assert_array_equal(augmentation(batch, draw), wanted)
        np.testing.assert_array_equal(augmentation(batch[:, None], draw)[:, 0], wanted)
        tensor = torch.from_numpy(np.moveaxis(batch, -1, 1).copy())
        np.testing.assert_array_equal(np.moveaxis(augmentation(tensor, draw).numpy(), 1, -1), wanted)

    @pytest.mark.parametrize("dtype", [np.uint8, np.float32])
    def test_images_without_pixels(self, augmentation, dtype):
        draw = draw_of(augmentation, 0)
        for shape in ((0, 8, 8, 3), (2, 0, 8, 3), (0, 4, 3), (0, 0, 3)):
            image = np.zeros(shape, dtype)
            assert augmentation(image, draw).shape == shape
            tensor = torch.from_numpy(np.moveaxis(image, -1, -3).copy())
            assert augmentation(tensor, draw).shape == tensor.shape

    def test_flat_images_stay_flat(self, augmentation):
        for level in (255, 240, 128, 0):
            for seed in range(3):
                result = augmentation(blank_image(level), draw_of(augmentation, seed))
                assert (result == result[0, 0]).all()

    def test_torch_computes_the_same_up_to_rounding_and_has_gradients(self, augmentation, tiles):
        draw = draw_of(augmentation, 7)
        image = torch.tensor(np.moveaxis(unit(tiles[1][0]), -1, 0), requires_grad=True)
        result = augmentation(image, draw)
        expected = augmentation(image.detach(), draw)
        torch.testing.assert_close(result.detach(), expected, atol=1e-9, rtol=0)
        result.sum().backward()
        assert torch.isfinite(image.grad).all()

    @pytest.mark.gpu
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    def test_cuda_images_stay_on_their_device(self, augmentation, tiles):
        draw = draw_of(augmentation, 7)
        image = torch.tensor(np.moveaxis(tiles[1][0], -1, 0))
        result = augmentation(image.cuda(), draw)
        assert (result.device.type, result.dtype) == ("cuda", image.dtype)
        torch.testing.assert_close(result.cpu().int(), augmentation(image, draw).int(), atol=1, rtol=0)

    @pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
    def test_copies_and_pickles(self, augmentation, tiles, clone):
        draw, other = draw_of(augmentation, 1), clone(augmentation)
        assert draw_of(other, 1) == draw
        np.testing.assert_array_equal(other(tiles[1][0], draw), augmentation(tiles[1][0], draw))

    def test_parameters_cannot_be_changed(self, augmentation):
        with pytest.raises(AttributeError):
            augmentation.sigma = 1

    @pytest.mark.parametrize(
        "image", [np.zeros((8, 8), np.uint8), np.full((8, 8, 3), np.nan), np.zeros((8, 8, 3), int)]
    )
    def test_what_is_no_rgb_image_is_refused(self, augmentation, image):
        with pytest.raises(InvalidImageError):
            augmentation(image, draw_of(augmentation, 0))

    def test_on_blank(self, augmentation, tiles):
        draw = draw_of(augmentation, 0)
        with pytest.raises(ParameterError, match="on_blank"):
            augmentation(tiles[1][0], draw, on_blank="ignore")
        for image in (blank_image(), blank_image(0), np.zeros((0, 3, 3), np.uint8), he_image(0, 2, 2)):
            try:
                augmentation(image, draw, on_blank="raise")
            except NotEnoughTissueError:
                with pytest.warns(StainXformWarning, match="unchanged"):
                    result = augmentation(image, draw, on_blank="warn")
                np.testing.assert_array_equal(result, image)
                assert not np.shares_memory(result, image)

    def test_a_map_that_needs_the_image_says_so(self, augmentation, tiles):
        draw = draw_of(augmentation, 0)
        if augmentation.uses_image:
            with pytest.raises(ParameterError, match=r"ColorHistogram\.of"):
                augmentation.color_map(draw)
        histogram = ColorHistogram.of(tiles[1][0]) if augmentation.uses_image else None
        mapped = augmentation.color_map(draw, histogram)(tiles[1][0])
        np.testing.assert_array_equal(mapped, augmentation(tiles[1][0], draw))


class TestTable:
    @pytest.mark.parametrize("name", AUGMENTATIONS)
    def test_every_augmentation_says_what_it_is(self, name):
        kind = AUGMENTATIONS[name]
        assert (kind.name, bool(kind.title), bool(kind.source)) == (name, True, True)

    @pytest.mark.parametrize("name", PRESETS)
    def test_presets_have_a_source_and_light_is_the_default(self, name, tiles):
        assert set(PRESETS[name]) == {"light", "strong"}
        assert all(preset.source for preset in PRESETS[name].values())
        default = make(name, {}, *tiles)
        for parameter, value in PRESETS[name]["light"].parameters.items():
            assert getattr(default, parameter) == value

    def test_presets_are_what_was_published(self):
        assert HSV.preset("light") == HSV(hue=(-0.1, 0.1), saturation=(-0.1, 0.1)) == HSV()
        assert HSV.preset("strong") == HSV(hue=(-1, 1), saturation=(-1, 1))
        assert HED.preset("light") == HED(
            sigma=[-0.05, 0.05], bias=[-0.05, 0.05], definition="legacy", cutoff=(0.15, 0.85)
        )
        assert HED.preset("strong") == HED(sigma=(-0.2, 0.2), bias=(-0.2, 0.2))
        assert BrightnessContrast.preset("strong") == BrightnessContrast(brightness=(0.65, 1.35), contrast=(0.5, 1.5))

    def test_presets_take_other_parameters_but_not_their_own(self):
        assert HED.preset("light", cutoff=(0, 1)).cutoff == (0, 1)
        with pytest.raises(ParameterError, match="'light' sets definition"):
            HED.preset("light", definition="current")
        with pytest.raises(ParameterError, match="no preset 'medium'; it has: light, strong"):
            HSV.preset("medium")
        with pytest.raises(ParameterError, match="no preset 'light'; it has: none"):
            StainGrayscale.preset("light")

    def test_the_tables_are_views_that_nobody_writes_to(self):
        assert [name for name in AUGMENTATIONS if name in PRESETS] == list(PRESETS)
        assert len(PRESETS) == len(list(PRESETS))
        assert "grayscale" in AUGMENTATIONS
        assert PRESETS.get("grayscale") is None
        with pytest.raises(TypeError, match="item assignment"):
            AUGMENTATIONS["mine"] = HSV

    def test_importing_them_loads_no_torch(self):
        import subprocess
        import sys

        code = "import sys, stainxform.augment; sys.exit('torch' in sys.modules or 'skimage' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class TestRegister:
    @pytest.fixture(autouse=True)
    def kinds(self):
        """A table that the tests may change, of which nothing is left."""
        with AUGMENTATIONS.temporarily():
            yield

    def test_a_registered_one_is_in_the_tables(self):
        assert register(Dim) is Dim
        assert register(Dim) is Dim  # once more is the same
        assert AUGMENTATIONS["dim"] is Dim
        assert list(AUGMENTATIONS)[-1] == "dim"
        assert PRESETS["dim"] is Dim.presets
        assert Dim.preset("strong") == Dim(factor=(0.5, 1))

    def test_a_class_defined_again_takes_the_place_of_the_first(self):
        def define():
            return dataclass(frozen=True, kw_only=True)(type("Again", (Dim,), {"name": "again", "__module__": "cell"}))

        first, second = register(define()), register(define())
        assert AUGMENTATIONS["again"] is second is not first

    @pytest.mark.parametrize(
        ("members", "message"),
        [
            ({"name": "hsv"}, r"'hsv'.* is taken by .*HSV"),
            ({"name": "other", "__qualname__": "RandHSV"}, "is taken by"),
            ({"title": None}, "must say its title"),
            ({"sample": abstractmethod(Dim.sample)}, "must define sample"),
        ],
        ids=["name", "class name", "title", "abstract"],
    )
    def test_what_is_none_or_has_a_taken_name_is_refused(self, members, message):
        name = members.get("__qualname__", "Mine")
        kind = dataclass(frozen=True, kw_only=True)(type(name, (Dim,), {"name": "mine", **members}))
        with pytest.raises(ParameterError, match=message):
            register(kind)
        assert "mine" not in AUGMENTATIONS

    @pytest.mark.parametrize("kind", [Dim(), int, "dim"], ids=repr)
    def test_so_is_what_is_no_class_of_augmentations(self, kind):
        with pytest.raises(ParameterError, match="subclass of"):
            register(kind)

    def test_so_is_a_class_that_is_no_dataclass(self):
        with pytest.raises(ParameterError, match="must be a dataclass"):
            register(type("Plain", (Dim,), {"name": "plain"}))

    def test_an_announced_one_that_does_not_load_is_left_out_with_a_warning(self, monkeypatch):
        points = [
            EntryPoint(name, f"toy_plugin:{kind}", registry.ENTRY_POINTS)
            for name, kind in (("bad", "Nothing"), ("dim", "Dim"))
        ]
        monkeypatch.setattr(_plugins, "entry_points", lambda group: points if group == registry.ENTRY_POINTS else [])
        monkeypatch.setattr(AUGMENTATIONS, "_searched", False)
        with pytest.warns(StainXformWarning, match="'bad' of toy_plugin:Nothing cannot be used .*Nothing"):
            assert AUGMENTATIONS["dim"] is Dim
        assert len(AUGMENTATIONS) == 8


BAD_PARAMETERS = [
    (HSV, {"hue": (0.2, 0.1)}),
    (HSV, {"hue": (-2, 0)}),
    (HSV, {"saturation": 0.1}),
    (HSV, {"saturation": ("a", "b")}),
    (HSV, {"saturation": (0, float("nan"))}),
    (HED, {"sigma": (0, 1, 2)}),
    (HED, {"bias": (-3, 3)}),
    (HED, {"cutoff": (-0.1, 1)}),
    (HED, {"definition": "skimage"}),
    (BrightnessContrast, {"brightness": (-1, 1)}),
    (BrightnessContrast, {"contrast": (0, float("inf"))}),
    (StainJitter, {"estimator": "reinhard"}),
    (StainJitter, {"estimator": "typo"}),
    (StainJitter, {"stain_matrix": np.eye(3)}),
    (StainJitter, {"stain_matrix": [[1, 2], [1, 2], [1, 2]]}),
    (StainJitter, {"stain_matrix": [[0, 1], [0, 1], [0, 0]]}),
    (StainJitter, {"stain_matrix": [[1, 1], [1, 1.01], [1, 1]]}),
    (StainJitter, {"stain_matrix": [[1, 2], [3]]}),
    (StainJitter, {"stain_matrix": [["a", "b"]]}),
    (StainJitter, {"stain_matrix": "identity"}),
    (StainJitter, {"stain_matrix": "hed"}),
    (RandStainNA, {"model": 3}),
    (RandStainNA, {"model": "typo.safetensors"}),
    (StainStyle, {"models": []}),
    (StainStyle, {"models": "a.safetensors"}),
    (StainStyle, {"models": [3]}),
    (StainStyle, {"models": [sx.Macenko()], "interpolate": True}),
]


@pytest.mark.parametrize(("kind", "parameters"), BAD_PARAMETERS, ids=str)
def test_senseless_parameters_are_refused(kind, parameters):
    word = next(iter(parameters))
    word = {"estimator": "estimator|unknown method"}.get(word, word)
    with pytest.raises((ParameterError, ModelFileError), match=word):
        kind(**parameters)


class TestHSV:
    @laws
    @given(odd_images() | he_images())
    def test_the_space_is_that_of_scikit_image(self, image):
        planes = np.moveaxis(unit(image), -1, 0)
        hue, saturation, value = HueSaturationValue().from_rgb(planes)
        expected = np.moveaxis(skimage_color.rgb2hsv(unit(image)), -1, 0)
        np.testing.assert_allclose(np.cos(2 * np.pi * (hue - expected[0])), 1, atol=1e-12)  # 0 and 1 are the same hue
        np.testing.assert_allclose(saturation, expected[1], atol=1e-14)
        np.testing.assert_allclose(value, expected[2], atol=0)
        back = HueSaturationValue().to_rgb(np.stack([hue, saturation, value]))
        np.testing.assert_allclose(back, planes, atol=1e-14)

    @laws
    @given(odd_images() | he_images(), small, small)
    def test_equals_the_reference(self, image, hue, saturation):
        draw = {"hue": hue, "saturation": saturation}
        expected = reference.hsv(unit(image), hue, saturation)
        np.testing.assert_allclose(HSV()(unit(image), draw), expected, atol=1e-12)
        np.testing.assert_allclose(HSV()(image, draw), expected * 255, atol=0.501)

    @laws
    @given(he_images(), st.integers(-1, 1))
    def test_whole_turns_change_nothing_and_no_saturation_is_gray(self, image, turns):
        np.testing.assert_array_equal(HSV()(image, {"hue": turns, "saturation": 0.0}), image)
        gray = HSV()(image, {"hue": 0.3, "saturation": -1.0})
        np.testing.assert_array_equal(gray, np.repeat(image.max(-1, keepdims=True), 3, -1))

    def test_brightness_stays(self):
        image = he_image(3)
        for seed in range(10):
            result = HSV.preset("strong")(image, draw_of(HSV.preset("strong"), seed))
            np.testing.assert_array_equal(result.max(-1), image.max(-1))


def hed_draw(sigma, bias):
    return {
        f"{kind}_{s}": value for kind, values in (("sigma", sigma), ("bias", bias)) for s, value in zip("hed", values)
    }


triples = st.tuples(*[st.floats(-0.2, 0.2)] * 3)


class TestHED:
    @laws
    @given(odd_images() | he_images(), triples, triples)
    def test_legacy_equals_scikit_image_0_17(self, image, sigma, bias):
        hed = HED(cutoff=(0, 1))
        expected = reference.hed_legacy(unit(image), sigma, bias)
        np.testing.assert_allclose(hed(unit(image), hed_draw(sigma, bias)), expected, atol=1e-12)
        # float32: one part in 10^7 of numbers up to 3 / 0.1, in levels; then rounded.
        np.testing.assert_allclose(hed(image, hed_draw(sigma, bias)), expected * 255, atol=0.51)

    @laws
    @given(odd_images() | he_images(), triples, triples)
    def test_current_equals_scikit_image(self, image, sigma, bias):
        hed = HED(definition="current", cutoff=(0, 1))
        expected = reference.hed_current(unit(image), sigma, bias)
        np.testing.assert_allclose(hed(unit(image), hed_draw(sigma, bias)), expected, atol=1e-12)
        np.testing.assert_allclose(hed(image, hed_draw(sigma, bias)), expected * 255, atol=0.51)

    def test_the_current_definition_changes_colors_that_three_stains_cannot_mix(self):
        image = np.full((8, 8, 3), (150, 130, 60), np.uint8)
        zero = hed_draw((0, 0, 0), (0, 0, 0))
        assert (HED()(image, zero) == image).all()
        assert (HED(definition="current")(image, zero) != image).any()

    @pytest.mark.parametrize(("level", "changed"), [(37, False), (39, True), (216, True), (218, False)])
    def test_images_beyond_the_cutoff_are_left_alone(self, level, changed):
        image, draw = blank_image(level), hed_draw((0.1, 0.1, 0.1), (0.1, 0.1, 0.1))
        for stored in (image, unit(image)):
            assert (HED()(stored, draw) != stored).any() == changed
        kind = HED().color_map(draw, ColorHistogram.of(image))
        assert isinstance(kind, IdentityMap) != changed

    def test_each_stain_is_drawn_by_itself(self):
        assert len(set(draw_of(HED(), 0).values())) == 6


PAIRS = st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3))


def jitter_draw(sigma, bias):
    return {"sigma_h": sigma[0], "sigma_e": sigma[1], "bias_h": bias[0], "bias_e": bias[1]}


class TestStainJitter:
    @laws
    @given(odd_images() | he_images(), PAIRS, PAIRS, st.booleans(), st.booleans())
    def test_given_stains_equal_the_reference(self, image, sigma, bias, residual, tissue_only):
        jitter = StainJitter(stain_matrix=[[2, 0.07], [2, 0.99], [1, 0.11]], residual=residual, tissue_only=tissue_only)
        stains = np.array(jitter.stain_matrix)
        np.testing.assert_allclose(np.linalg.norm(stains, axis=0), 1)
        expected = reference.stain_jitter(unit(image), stains, sigma, bias, residual, tissue_only)
        np.testing.assert_allclose(jitter(unit(image), jitter_draw(sigma, bias)), expected, atol=1e-12)

    @laws
    @given(he_images(smallest=12), PAIRS, PAIRS)
    def test_estimated_stains_equal_the_reference(self, image, sigma, bias):
        try:
            sx.Macenko.fit(image)
        except NotEnoughTissueError:
            assume(False)
        stains, _ = macenko_reference.veta_fit(image)
        expected = reference.stain_jitter(unit(image), stains, sigma, bias, True, True)
        result = StainJitter()(image, jitter_draw(sigma, bias), on_blank="raise")
        np.testing.assert_allclose(result, expected * 255, atol=0.51)

    @pytest.mark.parametrize("estimator", ["macenko", "vahadane", "ramakrishnan"])
    @pytest.mark.parametrize("dtype", ["uint8", "float64"])
    def test_estimators_are_the_fits_of_their_methods(self, tiles, estimator, dtype):
        image = store(tiles[1][0], dtype).image
        stains = sx.fit_center(image[None] if dtype == "uint8" else tiles[1][:1], estimator).stain_matrix
        draw = jitter_draw((0.1, -0.2), (0.05, 0.02))
        wanted = StainJitter(stain_matrix=stains.tolist())(image, draw)
        np.testing.assert_allclose(StainJitter(estimator=estimator)(image, draw), wanted, atol=1e-9)

    def test_stains_may_be_named(self, tiles):
        image, draw = tiles[1][0], jitter_draw((0.1, -0.2), (0.05, 0.02))
        wanted = StainJitter(stain_matrix=[[0.65, 0.07], [0.70, 0.99], [0.29, 0.11]])(image, draw)
        named = StainJitter(stain_matrix="he")
        np.testing.assert_array_equal(named(image, draw), wanted)
        assert not named.uses_image

    def test_the_amounts_of_stain_change_as_drawn(self):
        image = he_image(4, 64, 64)
        stains = sx.Macenko.fit(image).stain_matrix
        jitter = StainJitter(stain_matrix=stains.tolist(), tissue_only=False)
        result = jitter(unit(image), jitter_draw((0.1, -0.2), (0.05, 0.02)))
        inside = (result > 0).all(-1) & (result < 1).all(-1)

        def amounts(rgb):
            return np.linalg.pinv(stains) @ -np.log((rgb[inside].T * 255 + 1) / 240)

        expected = amounts(unit(image)) * [[1.1], [0.8]] + [[0.05], [0.02]]
        np.testing.assert_allclose(amounts(result), expected, atol=1e-9)

    def test_glass_stays_unless_asked_for(self):
        image = np.concatenate([he_image(1, 40, 40, hematoxylin=2, eosin=2), blank_image(245, 4, 40)])
        draw = jitter_draw((0.2, 0.2), (0.2, 0.2))
        np.testing.assert_array_equal(StainJitter()(image, draw)[40:], image[40:])
        assert (StainJitter(tissue_only=False)(image, draw)[40:] < image[40:]).all()

    def test_without_two_stains_nothing_changes_and_raise_raises(self):
        draw = draw_of(StainJitter(), 0)
        for image in (blank_image(), blank_image(0), np.full((24, 24, 3), (150, 90, 160), np.uint8)):
            np.testing.assert_array_equal(StainJitter()(image, draw), image)
            with pytest.raises(NotEnoughTissueError):
                StainJitter()(image, draw, on_blank="raise")


class TestBrightnessContrast:
    @laws
    @given(odd_images() | he_images(), st.floats(0, 2), st.floats(0, 2))
    def test_equals_the_reference_and_nearly_pillow(self, image, brightness, contrast):
        draw = {"brightness": brightness, "contrast": contrast}
        expected = reference.brightness_contrast(unit(image), brightness, contrast)
        np.testing.assert_allclose(BrightnessContrast()(unit(image), draw), expected, atol=1e-12)
        result = BrightnessContrast()(image, draw)
        np.testing.assert_allclose(result, expected * 255, atol=0.501)
        lit = ImageEnhance.Brightness(Image.fromarray(image)).enhance(brightness)
        pillow = np.asarray(ImageEnhance.Contrast(lit).enhance(contrast))
        # Pillow cuts the brightened level (below 1, times contrast), rounds each gray (.5) and their mean (.5), and cuts
        # the result (1); the factor of the latter two is 1 - contrast.
        np.testing.assert_allclose(result.astype(int), pillow.astype(int), atol=4)

    def test_mean_gray_is_the_pivot(self):
        image = unit(he_image(0))
        result = BrightnessContrast()(image, {"brightness": 1.0, "contrast": 0.5})
        weights = [0.299, 0.587, 0.114]
        np.testing.assert_allclose((result @ weights).mean(), (image @ weights).mean())
        np.testing.assert_allclose((result @ weights).std(), (image @ weights).std() / 2)


def test_grayscale_is_bt601_three_times():
    image = he_image(2)
    expected = np.asarray(Image.fromarray(image).convert("L"))
    result = StainGrayscale()(image, {})
    assert (result == result[..., :1]).all()
    np.testing.assert_allclose(result[..., 0].astype(int), expected, atol=1)


@pytest.fixture(scope="session")
def statistics(tiles):
    return ColorStatistics.fit(tiles[0], center="ours", license="CC0")


class TestRandStainNA:
    def test_numpy_scalars_as_settings_survive_a_file_and_a_draw(self, tiles, tmp_path):
        ColorStatistics.fit(tiles[0], tissue_only=np.True_, space=np.str_("ruderman")).save(tmp_path / "s.safetensors")
        found = RandStainNA(model=tmp_path / "s.safetensors", spread=np.float32(0.5))
        assert (found.statistics.tissue_only, found.statistics.space) == (True, "ruderman")
        draw = draw_of(found, 1)
        assert json.loads(json.dumps(draw)) == draw
        assert draw == draw_of(RandStainNA(model=tmp_path / "s.safetensors", spread=0.5), 1)

    @pytest.mark.parametrize("space", ["cielab", "ruderman"])
    @pytest.mark.parametrize("tissue_only", [False, True])
    def test_fit_is_the_mean_and_deviation_of_single_images(self, tiles, space, tissue_only):
        singles = [reinhard_reference.statistics(tile, space, tissue_only) for tile in tiles[0]]
        means, stds = np.array([s[0] for s in singles]), np.array([s[1] for s in singles])
        found = ColorStatistics.fit(tiles[0], space=space, tissue_only=tissue_only)
        np.testing.assert_allclose(found.mean, means.mean(0), atol=1e-9)
        np.testing.assert_allclose(found.mean_spread, means.std(0), atol=1e-9)
        np.testing.assert_allclose(found.std, stds.mean(0), atol=1e-9)
        np.testing.assert_allclose(found.std_spread, stds.std(0), atol=1e-9)
        assert found.tiles == 3

    @pytest.mark.parametrize("space", ["cielab", "ruderman"])
    @laws
    @given(he_images(smallest=12), seeds)
    def test_a_draw_is_the_target_of_reinhard(self, tiles, space, image, seed):
        augmentation = RandStainNA.fit(tiles[0], space=space)
        draw = draw_of(augmentation, seed)
        mean, std = ([draw[f"{name}_{i}"] for i in range(3)] for name in ("mean", "std"))
        expected = reinhard_reference.normalize(image, mean, std, space)
        np.testing.assert_allclose(augmentation(image, draw, on_blank="raise"), expected, atol=0.51)

    @pytest.mark.parametrize(("distribution", "deviation"), [("normal", 1), ("laplace", np.sqrt(2))])
    def test_draws_follow_the_fitted_distribution(self, statistics, distribution, deviation):
        augmentation = RandStainNA(model=statistics, distribution=distribution, spread=0.5)
        rng = np.random.default_rng(0)
        draws = [augmentation.sample(rng) for _ in range(4000)]
        for name, center, spread in (
            ("mean", statistics.mean, statistics.mean_spread),
            ("std", statistics.std, statistics.std_spread),
        ):
            values = np.array([[draw[f"{name}_{i}"] for i in range(3)] for draw in draws])
            np.testing.assert_allclose(values.mean(0), center, atol=5 * spread.max() / np.sqrt(4000))
            np.testing.assert_allclose(values.std(0), 0.5 * spread * deviation, rtol=0.15)

    def test_drawn_deviations_stay_positive(self, tiles):
        found = ColorStatistics(mean=[60, 20, -10], mean_spread=[0, 0, 0], std=[10, 5, 5], std_spread=[99, 99, 99])
        augmentation, rng = RandStainNA(model=found), np.random.default_rng(0)
        assert (
            min(draw[f"std_{i}"] / found.std[i] for draw in map(augmentation.sample, [rng] * 99) for i in range(3))
            == 0.1
        )

    def test_extreme_random_numbers_give_finite_draws(self, statistics):
        class Edge:
            def __init__(self, at):
                self.at = at

            def uniform(self, low, high):
                return low if self.at == 0 else high

        for distribution in ("normal", "laplace"):
            for at in (0, 1):
                draw = RandStainNA(model=statistics, distribution=distribution).sample(Edge(at))
                assert np.isfinite(list(draw.values())).all()

    def test_save_and_load(self, statistics, tmp_path):
        path = tmp_path / "statistics.safetensors"
        statistics.save(path)
        loaded = ColorStatistics.load(path)
        for name, value in vars(statistics).items():
            np.testing.assert_array_equal(getattr(loaded, name), value)
        assert (loaded.center, loaded.license, loaded.tiles) == ("ours", "CC0", 3)
        for model in (path, str(path)):
            augmentation = RandStainNA(model=model)
            assert augmentation.model == str(path)
            assert draw_of(augmentation, 4) == draw_of(RandStainNA(model=statistics), 4)
        statistics.save(tmp_path / "again.safetensors")
        assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()

    def test_other_files_are_refused(self, tmp_path, statistics):
        sx.Macenko().save(tmp_path / "macenko.safetensors")
        with pytest.raises(ModelFileError, match="holds a 'macenko' model, expected 'randstainna'"):
            RandStainNA(model=tmp_path / "macenko.safetensors")
        statistics.save(tmp_path / "statistics.safetensors")
        with pytest.raises(ModelFileError, match="randstainna"):
            sx.load(tmp_path / "statistics.safetensors")

    @pytest.mark.parametrize(
        "change", [{"space": "xyz"}, {"tissue_only": 1}, {"no": 0}, {"mean": 0}, {"std": -1}, {"std": 2}]
    )
    def test_tampered_files_are_refused(self, statistics, tmp_path, change):
        from stainxform.modelfile import ModelState, write_model

        arrays = {name: getattr(statistics, name) for name in ("mean", "mean_spread", "std", "std_spread")}
        parameters = {"space": "cielab", "tissue_only": False} | {k: v for k, v in change.items() if k not in arrays}
        bad = {"mean": lambda: arrays.pop("mean"), "std": lambda: arrays.update(std=np.full(change["std"] + 2, -1.0))}
        for name in change.keys() & bad.keys():
            bad[name]()
        write_model(tmp_path / "bad.safetensors", ModelState("randstainna", arrays, parameters))
        with pytest.raises(ModelFileError, match="no valid 'randstainna' model"):
            ColorStatistics.load(tmp_path / "bad.safetensors")

    def test_blank_tiles_are_skipped_and_two_are_needed(self, tiles):
        images = [*tiles[0], blank_image()]
        with pytest.warns(StainXformWarning, match="skipped 1 of 4 tiles"):
            found = ColorStatistics.fit(images)
        np.testing.assert_array_equal(found.mean, ColorStatistics.fit(tiles[0]).mean)
        with pytest.raises(NotEnoughTissueError, match="1 of 2 tiles"):
            ColorStatistics.fit([tiles[0][0], blank_image()])

    def test_fit_takes_a_folder(self, tiles, tmp_path):
        for i, tile in enumerate(tiles[0]):
            Image.fromarray(tile).save(tmp_path / f"{i}.png")
        np.testing.assert_array_equal(ColorStatistics.fit(tmp_path).mean, ColorStatistics.fit(tiles[0]).mean)

    def test_senseless_settings(self, statistics, tiles):
        with pytest.raises(ParameterError, match="space"):
            ColorStatistics.fit(tiles[0], space="hsv")
        with pytest.raises(ParameterError, match="distribution"):
            RandStainNA(model=statistics, distribution="uniform")
        for spread in (-1, float("nan")):
            with pytest.raises(ParameterError, match="spread"):
                RandStainNA(model=statistics, spread=spread)


class TestStainStyle:
    def test_a_draw_is_a_center(self, tiles):
        models = [sx.Macenko.fit(tiles[0]), sx.Reinhard.fit(tiles[0]), sx.Macenko()]
        style = StainStyle(models=models)
        for center, model in enumerate(models):
            np.testing.assert_array_equal(style(tiles[1][0], {"center": center}), model(tiles[1][0]))
        rng = np.random.default_rng(0)
        assert {style.sample(rng)["center"] for _ in range(60)} == {0, 1, 2}

    def test_mixtures_lie_between_two_centers(self, tiles):
        models = [sx.Macenko.fit(tiles[0]), sx.Macenko()]
        style = StainStyle(models=models, interpolate=True)
        image = unit(tiles[1][0])
        ends = [model(image) for model in models]
        for weight, end in ((0.0, ends[0]), (1.0, ends[1])):
            np.testing.assert_allclose(style(image, {"center": 0, "other": 1, "weight": weight}), end, atol=1e-12)
        mixed = style(image, {"center": 0, "other": 1, "weight": 0.3})
        expected = (ends[0] + 1 / 255) ** 0.7 * (ends[1] + 1 / 255) ** 0.3 - 1 / 255  # optical densities, averaged
        np.testing.assert_allclose(mixed, expected, atol=1e-12)

    def test_mixtures_draw_two_different_centers(self, tiles):
        style = StainStyle(models=[sx.Macenko()] * 3, interpolate=True)
        rng = np.random.default_rng(0)
        draws = [style.sample(rng) for _ in range(200)]
        found = {(draw["center"], draw["other"]) for draw in draws}
        assert found == {(i, j) for i in range(3) for j in range(3) if i != j}
        assert all(0 <= draw["weight"] <= 1 for draw in draws)

    def test_models_may_be_files(self, tiles, tmp_path):
        sx.Macenko.fit(tiles[0]).save(tmp_path / "a.safetensors")
        style = StainStyle(models=[tmp_path / "a.safetensors", sx.Macenko()])
        assert style.models[0] == str(tmp_path / "a.safetensors")
        np.testing.assert_array_equal(style(tiles[1][0], {"center": 0}), sx.Macenko.fit(tiles[0])(tiles[1][0]))

    def test_methods_that_are_not_pointwise_are_refused(self):
        class Context(Normalizer):
            method = "context"
            fit_tiles = image_map = None

        with pytest.raises(ParameterError, match="got a 'context' model"):
            StainStyle(models=[Context()])
