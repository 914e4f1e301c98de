"""The procedural tissue: what the other tests take for ground truth."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from stainxform.errors import ParameterError
from stainxform.samples import CENTERS, Center, Tissue, pair, render, tissue, write_center

RUIFROK = np.array([[0.650, 0.072], [0.704, 0.990], [0.286, 0.105]])
RUIFROK /= np.linalg.norm(RUIFROK, axis=0)


@pytest.fixture(scope="module")
def slide() -> Tissue:
    return tissue(192, seed=7)


def optical_density(image, center):
    return -np.log(np.maximum(image, 0.5) / center.background)


def assert_same(first: Tissue, second: Tissue) -> None:
    for one, other in zip(dataclasses.astuple(first), dataclasses.astuple(second)):
        np.testing.assert_array_equal(one, other)


def assert_valid(slide: Tissue, shape: tuple[int, int]) -> None:
    assert slide.concentrations.dtype == np.float32
    assert slide.concentrations.shape == (2, *shape)
    assert np.isfinite(slide.concentrations).all()
    assert slide.concentrations.min() >= 0
    assert slide.nuclei.dtype == np.int32
    assert slide.nuclei.shape == shape
    assert set(np.unique(slide.nuclei)) | {0} == set(range(slide.nuclei.max() + 1))
    assert slide.tissue.dtype == bool
    assert slide.tissue.shape == shape
    assert slide.tissue[slide.nuclei > 0].all()
    assert not slide.concentrations[:, ~slide.tissue].any()


class TestTissue:
    @pytest.mark.parametrize("size", [1, 2, (1, 7), (7, 1), (33, 50), (5, 300), 128])
    def test_any_size(self, size):
        assert_valid(tissue(size, seed=0), size if isinstance(size, tuple) else (size, size))

    @settings(max_examples=40, deadline=None)
    @given(
        size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
        seed=st.integers(0, 2**64),
        background=st.floats(0, 1),
        cellularity=st.floats(0, 1),
    )
    def test_any_arguments(self, size, seed, background, cellularity):
        slide = tissue(size, seed=seed, background=background, cellularity=cellularity)
        assert_valid(slide, size)
        image = render(slide, "b")
        assert image.dtype == np.uint8
        assert image.shape == (*size, 3)

    def test_seed_decides(self, slide):
        assert_same(tissue(192, seed=7), slide)
        assert not np.array_equal(tissue(192, seed=8).concentrations, slide.concentrations)

    def test_numpy_integers_are_sizes_and_seeds(self):
        assert_same(tissue(np.int64(20), seed=np.int32(3)), tissue((20, np.uint8(20)), seed=3))

    def test_global_random_state_is_left_alone(self):
        before = np.random.get_state()[1].copy()  # noqa: NPY002
        tissue(32, seed=0)
        np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002

    @pytest.mark.parametrize("background", [0, 0.05, 0.15, 0.5, 0.9, 1])
    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_background_fraction(self, background, seed):
        glass = 1 - tissue(160, seed=seed, background=background).tissue.mean()
        assert background - 0.03 <= glass <= background + 1e-3

    def test_no_cells(self):
        slide = tissue(128, seed=0, cellularity=0)
        assert slide.nuclei.max() == 0
        assert slide.concentrations[1].max() > 0.3

    def test_cellularity_adds_nuclei(self):
        covered = [np.mean(tissue(256, seed=1, cellularity=c).nuclei > 0) for c in (0.1, 0.5, 1)]
        assert covered == sorted(covered)
        assert covered[-1] > 2 * covered[0]

    def test_stains_scale_and_vanish(self, slide):
        halved = tissue(192, seed=7, eosin=0.5, hematoxylin=0)
        assert not halved.concentrations[0].any()
        np.testing.assert_array_equal(halved.concentrations[1], slide.concentrations[1] / 2)
        np.testing.assert_array_equal(halved.nuclei, slide.nuclei)
        assert not tissue(192, seed=7, eosin=0).concentrations[1].any()

    def test_nuclei_hold_the_hematoxylin(self, slide):
        hematoxylin, eosin = slide.concentrations
        nuclei, rest = slide.nuclei > 0, slide.tissue & (slide.nuclei == 0)
        assert slide.nuclei.max() > 10
        assert np.median(hematoxylin[nuclei]) > 3 * np.median(hematoxylin[rest])
        assert np.median(eosin[rest]) > 1.5 * np.median(eosin[nuclei])

    @pytest.mark.parametrize("size", [0, -3, 2.5, (4, 0), (4,), (4, 4, 3), "12", None, (2.0, 3)])
    def test_bad_size(self, size):
        with pytest.raises(ParameterError, match="size must be"):
            tissue(size, seed=0)

    @pytest.mark.parametrize("name", ["background", "cellularity", "eosin", "hematoxylin"])
    @pytest.mark.parametrize("value", [-0.1, np.nan, np.inf])
    def test_bad_fraction(self, name, value):
        with pytest.raises(ParameterError, match=name):
            tissue(8, seed=0, **{name: value})

    @pytest.mark.parametrize("name", ["background", "cellularity"])
    def test_fraction_above_one(self, name):
        with pytest.raises(ParameterError, match=name):
            tissue(8, seed=0, **{name: 1.01})

    @pytest.mark.parametrize("seed", [-1, 0.5, "x", None, (1, None)])
    def test_bad_seed(self, seed):
        with pytest.raises(ParameterError, match="seed"):
            tissue(8, seed=seed)


class TestRender:
    @pytest.mark.parametrize("center", [CENTERS["a"], Center("plain", RUIFROK)])
    def test_beer_lambert_to_the_bit(self, slide, center):
        amounts = np.moveaxis(slide.concentrations, 0, -1) * center.strength
        expected = np.rint(center.background * np.exp(-(amounts @ center.stain_matrix.T)))
        np.testing.assert_array_equal(render(slide, center, noise=False), expected)

    @pytest.mark.parametrize("name", CENTERS)
    def test_least_squares_recovers_concentrations(self, slide, name):
        ideal = dataclasses.replace(CENTERS[name], color_matrix=np.eye(3), gamma=1, blur=0)
        image = render(slide, ideal, noise=False).astype(float)
        found = optical_density(image, ideal) @ np.linalg.pinv(ideal.stain_matrix * ideal.strength).T
        # Half a level of rounding is 0.5 / image in optical density; pinv mixes the three channels.
        gain = np.abs(np.linalg.pinv(ideal.stain_matrix * ideal.strength))
        tolerance = (0.55 / np.maximum(image, 1)) @ gain.T
        assert (np.abs(found - np.moveaxis(slide.concentrations, 0, -1)) <= tolerance + 1e-5).all()

    @pytest.mark.parametrize("name", CENTERS)
    def test_glass_has_the_color_of_the_background(self, name):
        glass = tissue(64, seed=0, background=1)
        expected = np.broadcast_to(np.rint(CENTERS[name].background), (64, 64, 3))
        np.testing.assert_allclose(render(glass, name, noise=False), expected, atol=1)
        noisy = render(glass, name).astype(float)
        assert noisy.std() > 0
        np.testing.assert_allclose(noisy.mean((0, 1)), CENTERS[name].background, atol=0.5)

    def test_noise_has_its_seed_and_size(self, slide):
        center = dataclasses.replace(CENTERS["a"], noise=3)
        np.testing.assert_array_equal(render(slide, center, seed=5), render(slide, center, seed=5))
        assert not np.array_equal(render(slide, center, seed=5), render(slide, center, seed=6))
        difference = render(slide, center).astype(float) - render(slide, center, noise=False)
        assert difference.std() == pytest.approx(3, rel=0.1)
        assert abs(difference.mean()) < 0.1

    def test_blur_smooths(self, slide):
        sharp = render(slide, CENTERS["a"], noise=False).astype(float)
        soft = render(slide, dataclasses.replace(CENTERS["a"], blur=2), noise=False).astype(float)
        assert np.abs(np.diff(soft, axis=0)).mean() < 0.8 * np.abs(np.diff(sharp, axis=0)).mean()
        np.testing.assert_allclose(soft.mean((0, 1)), sharp.mean((0, 1)), atol=2)

    def test_gamma_and_color_matrix(self):
        gray = Tissue(np.ones((2, 1, 1), np.float32), np.zeros((1, 1), np.int32), np.ones((1, 1), bool))
        light = np.exp(-RUIFROK.sum(axis=1))
        swap = np.eye(3)[::-1]
        image = render(gray, Center("swapped", RUIFROK, gamma=2, color_matrix=swap), noise=False)
        np.testing.assert_array_equal(image[0, 0], np.rint(255 * light[::-1] ** 2))

    def test_channels_are_contiguous_and_writable(self, slide):
        image = render(slide, "a")
        assert image.flags.c_contiguous
        assert image.flags.writeable

    @pytest.mark.parametrize("center", ["z", ""])
    def test_unknown_center(self, slide, center):
        with pytest.raises(ParameterError, match="use a Center or one of a, b, c"):
            render(slide, center)


class TestCenter:
    def test_fields_become_read_only_arrays(self):
        center = Center("x", RUIFROK.tolist(), strength=(1, 2), background=(240, 241, 242), gamma=1)
        assert center.stain_matrix.dtype == center.strength.dtype == center.background.dtype == np.float64
        assert isinstance(center.gamma, float)
        with pytest.raises(ValueError, match="read-only"):
            center.background[0] = 1
        with pytest.raises(dataclasses.FrozenInstanceError):
            center.name = "y"

    def test_matrix_of_the_caller_is_copied(self):
        matrix = RUIFROK.copy()
        center = Center("x", matrix)
        matrix[:] = 0
        np.testing.assert_array_equal(center.stain_matrix, RUIFROK)

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("name", ""),
            ("name", 3),
            ("stain_matrix", RUIFROK.T),
            ("stain_matrix", 2 * RUIFROK),
            ("stain_matrix", RUIFROK * [-1, 1]),
            ("stain_matrix", "purple"),
            ("strength", (1, -1)),
            ("strength", 1),
            ("background", (0, 255, 255)),
            ("background", (256, 255, 255)),
            ("gamma", 0),
            ("gamma", np.nan),
            ("color_matrix", np.full((3, 3), np.inf)),
            ("color_matrix", np.eye(2)),
            ("noise", -1),
            ("blur", -0.1),
            ("blur", None),
        ],
    )
    def test_bad_field(self, field, value):
        with pytest.raises(ParameterError, match=f"Center {field} must be"):
            dataclasses.replace(CENTERS["a"], **{field: value})

    def test_centers_are_read_only_and_differ(self, slide):
        assert list(CENTERS) == ["a", "b", "c"]
        assert all(center.name == name for name, center in CENTERS.items())
        with pytest.raises(TypeError):
            CENTERS["d"] = CENTERS["a"]
        colors = [render(slide, name)[slide.tissue].mean(axis=0) for name in CENTERS]
        for i, j in ((0, 1), (0, 2), (1, 2)):
            assert np.abs(colors[i] - colors[j]).max() > 20


class TestPair:
    def test_same_tissue_in_every_center(self):
        n, size = 2, (40, 56)
        images = pair(n, size, centers=("a", "b", CENTERS["c"]), seed=3, noise=False)
        assert [image.shape for image in images] == [(n, *size, 3)] * 3
        for k in range(n):
            slide = tissue(size, seed=(3, k))
            for name, image in zip(CENTERS, images):
                np.testing.assert_array_equal(image[k], render(slide, name, noise=False))
        assert not np.array_equal(images[0][0], images[0][1])

    def test_noise_differs_between_centers(self):
        twin = dataclasses.replace(CENTERS["a"], name="twin")
        first, second = pair(1, 64, centers=("a", twin))
        assert not np.array_equal(first, second)

    def test_tile_does_not_depend_on_n(self):
        np.testing.assert_array_equal(pair(3, 24)[1][0], pair(1, 24)[1][0])

    def test_options_reach_the_tissue(self):
        (image,) = pair(1, 32, centers=("a",), background=1, noise=False)
        assert (image == CENTERS["a"].background).all()

    def test_none(self):
        assert pair(0, 8)[0].shape == (0, 8, 8, 3)
        assert pair(1, 8, centers=()) == ()

    @pytest.mark.parametrize("n", [-1, 1.5, None])
    def test_bad_n(self, n):
        with pytest.raises(ParameterError, match="n must be"):
            pair(n, 8)

    def test_bad_center(self):
        with pytest.raises(ParameterError, match="no center 'z'"):
            pair(1, 8, centers=("a", "z"))

    @pytest.mark.parametrize("seed", [-1, None])
    def test_bad_seed(self, seed):
        with pytest.raises(ParameterError, match="seed"):
            pair(1, 8, seed=seed)


class TestWriteCenter:
    def test_files_are_the_tiles_of_pair(self, tmp_path):
        folder = tmp_path / "new" / "b"
        paths = write_center(folder, "b", 2, (20, 31), seed=4, cellularity=0.8)
        assert paths == [folder / "tile_000.png", folder / "tile_001.png"]
        (expected,) = pair(2, (20, 31), centers=("b",), seed=4, cellularity=0.8)
        for path, image in zip(paths, expected):
            with Image.open(path) as opened:
                assert opened.mode == "RGB"
                np.testing.assert_array_equal(np.asarray(opened), image)

    def test_bad_arguments_leave_no_folder(self, tmp_path):
        for arguments in (("z", 1), ("a", -1), ("a", 1, 0)):
            with pytest.raises(ParameterError):
                write_center(tmp_path / "new", *arguments)
        assert not (tmp_path / "new").exists()


def test_import_loads_neither_scipy_nor_pillow():
    code = "import sys, stainxform.samples; print(sorted({'scipy', 'PIL', 'torch', 'skimage'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
