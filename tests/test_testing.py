"""The public laws: our own transforms keep them, and each one finds a transform that breaks it."""

import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from contracts import HOSTS, Options
from hypothesis import given
from strategies import laws

import stainxform as sx
from stainxform.errors import ParameterError, StainXformError
from stainxform.image.layout import as_numpy
from stainxform.testing import (
    LAWS,
    PENS,
    STAINS,
    Case,
    TransformLaws,
    blurred,
    check_transform,
    color_maps,
    corrupted_images,
    corrupted_tiles,
    folded,
    he_image,
    he_images,
    odd_images,
    overexposed,
    saturated,
    slides,
    stain_matrices,
    store,
    with_strokes,
)


def identity(image):
    return image.copy()


class Inverted:
    """A good transform of uint8 or floats in 0..1."""

    def __call__(self, image):
        self._check(image)
        return self._invert(image)

    def _check(self, image):
        values = as_numpy(image)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ValueError("NaN")

    def _invert(self, image):
        values = as_numpy(image)
        white = (values == (255 if values.dtype == np.uint8 else 1)) | (values == 0)
        result = np.where(white, values, (255 if values.dtype == np.uint8 else 1) - values).astype(values.dtype)
        if isinstance(image, np.ndarray):
            return result
        return type(image)(result) if image.dtype.is_floating_point else __import__("torch").from_numpy(result)


class Writes(Inverted):
    def _invert(self, image):
        result = super()._invert(image)
        image[...] = 0
        return result


class Shares(Inverted):
    def _invert(self, image):
        return image[::-1]


class Widens(Inverted):
    def _invert(self, image):
        return super()._invert(image).astype(np.float64)


class Overflows(Inverted):
    def _invert(self, image):
        return super()._invert(image) * image.dtype.type(2 if image.dtype.kind == "f" else 1)


class Remembers(Inverted):
    def __init__(self):
        self.calls = 0

    def _invert(self, image):
        self.calls += 1
        return np.roll(super()._invert(image), self.calls % 2, axis=-2) // 2 * (1 + self.calls % 2)


class ReadsRawMemory(Inverted):
    def _invert(self, image):
        flat = np.ndarray(image.shape, image.dtype, np.asarray(image).tobytes(order="A"))
        return super()._invert(flat)


class MixesBatches(Inverted):
    def _invert(self, image):
        result = super()._invert(image)
        return result[::-1] if image.ndim == 4 else result


class CannotBePickled(Inverted):
    def __init__(self):
        self.function = lambda image: image


class IsPickledWrongly(Inverted):
    shift = 1

    def _invert(self, image):
        return (super()._invert(image) // 2 * 2 + self.shift).astype(image.dtype)

    def __getstate__(self):
        return {"shift": 0}


class UsesOneBuffer(Inverted):
    def __init__(self):
        self.buffer = None

    def _invert(self, image):
        import time

        self.buffer = super()._invert(image)
        time.sleep(0.002)
        return self.buffer.copy()


class LooksAround(Inverted):
    def _invert(self, image):
        return np.clip(super()._invert(image).astype(float) - image.mean() / 4, 0, 255).astype(image.dtype)


class ChangesBlanks(Inverted):
    def _invert(self, image):
        return 255 - image


class FailsOnBlanks(Inverted):
    def _invert(self, image):
        if image.min() == image.max():
            raise ZeroDivisionError("no tissue")
        return super()._invert(image)


class SpreadsNaN(Inverted):
    def _check(self, image):
        pass


BROKEN = {
    "writes": (Writes(), "input_is_never_written", "input was changed", {}),
    "shares": (Shares(), "input_is_never_written", "shares memory", {}),
    "widens": (Widens(), "kind_is_kept", "dtype uint8 became float64", {}),
    "overflows": (Overflows(), "result_is_in_range", "outside 0..1", {"dtypes": ("float32",)}),
    "remembers": (Remembers(), "is_deterministic", "called again", {}),
    "raw memory": (ReadsRawMemory(), "memory_does_not_matter", "transposed memory", {}),
    "batches": (MixesBatches(), "batch_equals_loop", "image 0 of a batch", {"layouts": ("NHWC",)}),
    "pooled statistics": (LooksAround(), "batch_equals_loop", "of a batch", {"layouts": ("NHWC",)}),
    "lambda": (CannotBePickled(), "can_be_pickled", "cannot be pickled", {}),
    "state": (IsPickledWrongly(), "can_be_pickled", "a pickled copy", {}),
    "buffer": (UsesOneBuffer(), "threads_may_share", "in a thread", {}),
    "statistics": (LooksAround(), "tile_equals_whole", "a tile cut out", {"pointwise": True}),
    "blanks": (ChangesBlanks(), "blank_images_are_no_error", "an image of level 255", {}),
    "NaN": (SpreadsNaN(), "nan_is_refused", "a NaN was transformed", {"dtypes": ("float32",)}),
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_law_finds_a_transform_that_breaks_it(name):
    transform, law, message, options = BROKEN[name]
    with pytest.raises(AssertionError, match=f"{law}: .*{message}"):
        check_transform(transform, laws=[law], **options)


def test_every_law_is_broken_by_one_of_them():
    assert {law for _, law, _, _ in BROKEN.values()} == set(LAWS)


def test_an_error_of_the_transform_comes_through():
    with pytest.raises(ZeroDivisionError, match="no tissue"):
        check_transform(FailsOnBlanks(), laws=["blank_images_are_no_error"])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dtypes": ("uint8", "float32", "float64"), "layouts": ("HWC", "NHWC")},
        {"dtypes": ("float32",), "layouts": ("CHW", "torch CHW", "torch NCHW"), "pointwise": True},
    ],
    ids=str,
)
def test_a_good_transform_keeps_all_laws(options):
    check_transform(Inverted(), pointwise=True, **{k: v for k, v in options.items() if k != "pointwise"})


class TestMacenko(TransformLaws):
    """The mixin, with a normalizer of ours."""

    case = Case(sx.Macenko(), dtypes=("uint8", "float32"), layouts=("HWC", "torch NCHW"), examples=5)


class TestRandom(TransformLaws):
    """A random transform leaves a law out."""

    case = Case(Remembers(), blank="any", examples=3)
    without = ("is_deterministic", "memory_does_not_matter", "can_be_pickled", "threads_may_share")


def test_the_mixin_has_a_test_for_each_law():
    assert {name for name in dir(TransformLaws) if name.startswith("test_")} == {f"test_{law}" for law in LAWS}

    class TestBroken(TransformLaws):
        case = Case(Writes())

    with pytest.raises(AssertionError, match="input was changed"):
        TestBroken().test_input_is_never_written()


def test_every_normalizer_keeps_the_laws(normalizer):
    check_transform(normalizer, dtypes=("uint8", "float32"), layouts=("HWC", "NHWC", "torch CHW"), examples=3)


@pytest.mark.parametrize("host", [host for host in HOSTS if host.name in ("monai-tensor", "monai-numpy", "albumentations")], ids=str)  # fmt: skip
def test_hosts_keep_the_laws(macenko, host):
    layout = "torch CHW" if host.name == "monai-tensor" else host.layouts[0]
    check_transform(host.transform(macenko, Options()), dtypes=("uint8", "float32"), layouts=(layout,), examples=5)


@laws
@given(color_maps(), he_images(2))
def test_color_maps_are_pointwise(color_map, image):
    case = Case(color_map, pointwise=True)
    LAWS["tile_equals_whole"](case, image)
    LAWS["kind_is_kept"](case, image)


@laws
@given(stain_matrices())
def test_stain_matrices_are_two_unit_vectors(matrix):
    assert matrix.shape == (3, 2)
    assert (matrix >= 0).all()
    np.testing.assert_allclose(np.linalg.norm(matrix, axis=0), 1)


@laws
@given(slides(largest=90))
def test_slides_read_back(slide):
    with tempfile.TemporaryDirectory() as folder:
        path = slide.write(Path(folder) / "slide.tif")
        with sx.open_slide(path, "tifffile") as opened:
            assert len(opened.levels) == slide.levels
            height, width = slide.image.shape[:2]
            np.testing.assert_array_equal(opened.read(0, 0, 0, width, height), slide.image)


@laws
@given(corrupted_images())
def test_corrupted_images_are_images_that_no_normalizer_stumbles_over(image):
    assert (image.dtype, image.shape) == (np.uint8, (48, 48, 3))
    assert sx.Macenko()(image).shape == image.shape


@laws
@given(odd_images())
def test_odd_images_are_images(image):
    assert image.dtype == np.uint8
    assert image.shape[2] == 3


def test_corruptions_do_what_they_say():
    tile = he_image(3, 48, 48)
    before = tile.copy()
    assert blurred(tile, 3).std((0, 1)).max() < tile.std((0, 1)).min() / 2
    assert (with_strokes(tile, PENS["blue pen"]) == PENS["blue pen"]).all(-1).mean() == pytest.approx(1 / 3, abs=0.02)
    dark = folded(tile, 0.5)
    assert (dark <= tile).all()
    assert (dark != tile).any(-1).mean() == pytest.approx(0.5, abs=0.05)
    assert np.isin(saturated(tile), (0, 255)).mean() > 0.5
    assert (overexposed(tile) == 255).mean() > (tile == 255).mean() + 0.2
    np.testing.assert_array_equal(tile, before)
    assert {image.dtype for image in corrupted_tiles().values()} == {np.dtype(np.uint8)}


def test_images_have_the_stains_they_claim():
    np.testing.assert_allclose(np.linalg.norm(STAINS, axis=0), 1)
    assert (he_image(1) != he_image(2)).any()
    assert store(he_image(), "float32", "torch NCHW").image.shape == (2, 3, 24, 24)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtypes": ("uint16",)}, "dtypes must be some of"),
        ({"dtypes": "uint8"}, "dtypes must be some of"),
        ({"layouts": ()}, "layouts must be some of"),
        ({"layouts": ("HWC", "CHW")}, "all first or all last"),
        ({"blank": "black"}, "blank must be"),
        ({"laws": ["is_nice"]}, "no law 'is_nice'"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ParameterError, match=message):
        check_transform(identity, **options)


def test_it_names_its_extra():
    code = "import sys; sys.modules['hypothesis'] = None; import stainxform.testing"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(sx.__file__).parents[1])
    assert run.returncode
    assert "stainxform[testing]" in run.stderr
    assert issubclass(ParameterError, StainXformError)
    assert pickle.loads(pickle.dumps(Inverted()))(he_image()).shape == (24, 24, 3)
