"""3D LUTs: interpolation against a plain float64 reference, exact baking, and .cube files good and bad."""

from __future__ import annotations

import contextlib
import pickle
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from references import lut3d as reference
from strategies import blank_image, he_image, laws

import stainxform as sx
from stainxform._native import native
from stainxform.color import CIELab
from stainxform.errors import ModelFileError, NotEnoughTissueError, ParameterError
from stainxform.maps import (
    BakeError,
    ChannelAffineMap,
    ColorMap,
    IdentityMap,
    ImageMap,
    Lut3DMap,
    bake,
    bake_center,
    bake_error,
    read_cube,
    write_cube,
)
from stainxform.maps.lut3d import MAX_NODES

each_interpolation = pytest.mark.parametrize("interpolation", ["trilinear", "tetrahedral"])


def random_table(nodes: int, dtype: str = "float64", seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((nodes, nodes, nodes, 3)).astype(dtype)


def random_planes(count: int = 300, seed: int = 1) -> np.ndarray:
    """Colors with exact nodes, ties and both ends among them."""
    rng = np.random.default_rng(seed)
    ties = rng.integers(0, 5, (3, count)) / 4
    return np.concatenate([rng.random((3, count)), ties, rng.random((1, count)).repeat(3, 0)], axis=1)


@pytest.fixture(scope="module")
def macenko_map():
    return sx.fit_center([he_image(1)], "macenko").map_for(he_image(5, hematoxylin=1.3))


# ---------------------------------------------------------------- interpolation


@each_interpolation
@pytest.mark.parametrize("nodes", [2, 5, 17])
def test_interpolation_is_that_of_the_plain_reference(interpolation, nodes):
    table, planes = random_table(nodes), random_planes()
    wanted = getattr(reference, interpolation)(table, planes)
    lut = Lut3DMap(table, interpolation)
    np.testing.assert_allclose(lut.evaluate(planes), wanted, atol=1e-13, rtol=0)
    np.testing.assert_allclose(lut.evaluate(torch.from_numpy(planes)).numpy(), wanted, atol=1e-13, rtol=0)
    single = lut.evaluate(planes.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, wanted, atol=2e-5, rtol=0)


def test_both_agree_at_nodes_and_on_tables_that_are_linear_and_differ_elsewhere():
    planes, grid = random_planes(), np.stack(np.meshgrid(*[np.linspace(0, 1, 5)] * 3, indexing="ij"), axis=-1)
    matrix = np.random.default_rng(2).random((3, 3))
    for interpolation in ("trilinear", "tetrahedral"):
        linear = Lut3DMap(grid @ matrix.T, interpolation)
        np.testing.assert_allclose(linear.evaluate(planes), matrix @ planes, atol=1e-14, rtol=0)
        table = random_table(5)
        np.testing.assert_array_equal(Lut3DMap(table, interpolation).evaluate(np.moveaxis(grid, -1, 0)), np.moveaxis(table, -1, 0))  # fmt: skip
    one, other = (Lut3DMap(random_table(5), name).evaluate(planes) for name in ("trilinear", "tetrahedral"))
    assert np.abs(one - other).max() > 0.05


def test_tetrahedral_keeps_grays_on_the_diagonal_of_the_table():
    table = random_table(5)
    grays = np.linspace(0, 1, 33)
    diagonal = table[np.arange(5), np.arange(5), np.arange(5)]
    wanted = np.stack([np.interp(grays, np.linspace(0, 1, 5), channel) for channel in diagonal.T])
    found = Lut3DMap(table, "tetrahedral").evaluate(np.broadcast_to(grays, (3, 33)))
    np.testing.assert_allclose(found, wanted, atol=1e-14)


@each_interpolation
def test_gradients_reach_the_colors(interpolation):
    lut = Lut3DMap(random_table(4), interpolation)
    rng = np.random.default_rng(3)
    # away from the nodes and from ties, where the slope jumps
    colors = torch.from_numpy(
        (rng.integers(0, 3, (3, 20)) + rng.permuted(np.tile([[0.2], [0.5], [0.8]], 20), axis=0)) / 3
    )
    assert torch.autograd.gradcheck(lut.evaluate, colors.requires_grad_())


@each_interpolation
@laws
@given(seed=st.integers(0, 99), nodes=st.integers(2, 40))
def test_an_identity_table_changes_no_8_bit_image(interpolation, seed, nodes):
    image = np.random.default_rng(seed).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    np.testing.assert_array_equal(bake(IdentityMap(), nodes, interpolation)(image), image)


@each_interpolation
def test_layouts_and_hosts_give_the_same_bits(interpolation):
    lut, image = Lut3DMap(random_table(9, "float32"), interpolation), he_image(3, 40, 31)
    wanted = lut(image)
    np.testing.assert_array_equal(lut(np.asfortranarray(image)), wanted)
    np.testing.assert_array_equal(lut(np.stack([image, image]))[1], wanted)
    np.testing.assert_array_equal(lut(torch.from_numpy(image.transpose(2, 0, 1).copy())).permute(1, 2, 0), wanted)
    frozen = random_table(9, "float32")
    frozen.setflags(write=False)
    np.testing.assert_array_equal(Lut3DMap(np.asfortranarray(frozen), interpolation)(image), wanted)
    floats = torch.from_numpy(image.transpose(2, 0, 1) / 255).requires_grad_()
    assert np.abs(np.moveaxis(lut(floats).detach().numpy(), 0, -1) * 255 - wanted).max() < 0.51


@pytest.mark.parametrize("shape", [(3, 0), (3, 0, 4), (3, 2, 3, 4)])
def test_planes_of_any_shape(shape):
    planes = np.random.default_rng(0).random(shape)
    assert Lut3DMap(random_table(3)).evaluate(planes).shape == shape


@pytest.mark.parametrize(
    ("table", "options"),
    [
        (np.zeros((4, 4, 3)), {}), (np.zeros((4, 4, 5, 3)), {}), (np.zeros((1, 1, 1, 3)), {}), (np.zeros(()), {}),
        (np.zeros((3, 3, 3, 4)), {}), (np.zeros((3, 3, 3, 3), np.uint8), {}),
        (np.zeros((3, 3, 3, 3)), {"interpolation": "cubic"}),
        (np.zeros((3, 3, 3, 3)), {"domain": ((0, 0, 1), (1, 1, 1))}),
    ],
)  # fmt: skip
def test_a_table_that_is_none_is_refused(table, options):
    with pytest.raises(ParameterError):
        Lut3DMap(table, **options)


# ---------------------------------------------------------------- baking


def test_with_256_nodes_8_bit_images_come_out_bit_equal(macenko_map):
    lut = bake(macenko_map, 256)
    random = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    for image in (random, he_image(5, 60, 50)):
        with native.using("off"):
            closed_form = macenko_map(image)
            np.testing.assert_array_equal(lut(image), closed_form)
        np.testing.assert_array_equal(lut(image), closed_form)
        np.testing.assert_array_equal(Lut3DMap(lut.table, "tetrahedral")(image), closed_form)
    assert bake_error(macenko_map, lut).max < 1e-3  # float32 of the table


def test_more_nodes_err_less(macenko_map):
    errors = [bake_error(macenko_map, bake(macenko_map, nodes), [he_image(5, 60, 50)]) for nodes in (9, 17, 33, 65)]
    for name in ("max", "mean", "p99"):
        values = [getattr(error, name) for error in errors]
        assert sorted(values, reverse=True) == values
    assert errors[-1].mean < 0.05


def test_bake_error_is_in_levels_and_weighs_colors_by_how_often_they_occur():
    shifted = ChannelAffineMap(CIELab(), np.ones(3), np.zeros(3))
    assert bake_error(IdentityMap(), shifted).max < 1e-6

    class TenLevelsBrighterIfDark(ColorMap):
        def evaluate(self, planes):
            return np.where(planes.max(0) < 0.5, planes + 10 / 255, planes)

    image = np.full((10, 10, 3), 200, np.uint8)
    image[0] = 50
    found = bake_error(IdentityMap(), TenLevelsBrighterIfDark(), image)
    np.testing.assert_allclose((found.max, found.mean, found.p99), (10, 1, 10))
    assert bake_error(IdentityMap(), IdentityMap()) == BakeError(0.0, 0.0, 0.0)
    with pytest.raises(ParameterError, match="no color"):
        bake_error(IdentityMap(), IdentityMap(), np.zeros((0, 4, 3), np.uint8))


def test_a_map_that_leaves_the_range_at_glass_is_not_clipped_at_the_nodes():
    brighter = ChannelAffineMap(CIELab(), np.ones(3), np.array([5.0, 0, 0]))
    glass = np.random.default_rng(0).integers(225, 256, (40, 40, 3), dtype=np.uint8)
    assert bake(brighter, 17).table.max() > 1
    assert bake_error(brighter, bake(brighter, 17), glass).max < 0.5


def test_a_center_bakes_to_the_map_of_its_pooled_tiles():
    ours, theirs = sx.fit_center([he_image(1)], "reinhard"), [he_image(seed) for seed in (5, 6)]
    wanted = bake(ours.map_for(np.concatenate(theirs)), 9)
    for images in (theirs, np.stack(theirs), iter(theirs)):
        with pytest.deprecated_call(match="calibrate"):
            np.testing.assert_array_equal(bake_center(ours, images, 9).table, wanted.table)
    with pytest.deprecated_call(), pytest.raises(NotEnoughTissueError):
        bake_center(ours, blank_image())


def test_a_table_that_was_applied_is_pickled_like_a_new_one():
    image, table = he_image(1), bake(ChannelAffineMap(CIELab(), np.ones(3), np.ones(3)), 9)
    before = pickle.dumps(table)
    wanted = table(image)
    assert pickle.dumps(table) == before
    np.testing.assert_array_equal(pickle.loads(before)(image), wanted)


def test_whatever_has_a_map_for_tiles_bakes_like_a_center():
    class Fixed:
        def map_for_tiles(self, tiles):
            return IdentityMap()

    with pytest.deprecated_call():
        np.testing.assert_array_equal(bake_center(Fixed(), [], 5).table, bake(IdentityMap(), 5).table)


def test_what_looks_at_neighbors_or_makes_no_sense_does_not_bake():
    class Blur(ImageMap):
        def apply(self, image, spec):
            return image

    with pytest.raises(ParameterError, match="distill the normalizer into a StainNet"):
        bake(Blur())
    for nodes in (1, 257, 33.0, None):
        with pytest.raises(ParameterError, match="nodes"):
            bake(IdentityMap(), nodes)


# ---------------------------------------------------------------- .cube


@pytest.mark.parametrize("nodes", [2, 5, 17])
def test_a_cube_file_gives_back_what_was_written(tmp_path, nodes, macenko_map):
    lut = bake(macenko_map, nodes)
    write_cube(tmp_path / "a.cube", lut, "center a <- center b")
    again = read_cube(tmp_path / "a.cube", "tetrahedral")
    np.testing.assert_allclose(again.table, lut.table, atol=1e-8)
    assert (again.interpolation, again.domain) == ("tetrahedral", ((0, 0, 0), (1, 1, 1)))
    assert [path.name for path in tmp_path.iterdir()] == ["a.cube"]
    lines = (tmp_path / "a.cube").read_text().splitlines()
    assert lines[:2] == ['TITLE "center a <- center b"', f"LUT_3D_SIZE {nodes}"]
    assert len(lines) == 4 + nodes**3


def test_red_changes_fastest(tmp_path):
    table = np.zeros((3, 3, 3, 3))
    for r, g, b in product(range(3), repeat=3):
        table[r, g, b] = r / 2, g / 4, b / 8
    write_cube(tmp_path / "a.cube", Lut3DMap(table))
    rows = np.loadtxt((tmp_path / "a.cube").read_text().splitlines()[4:])
    np.testing.assert_allclose(rows[:4], [[0, 0, 0], [0.5, 0, 0], [1, 0, 0], [0, 0.25, 0]])
    np.testing.assert_allclose(rows[9], [0, 0, 0.125])


COLORS = "0 0 0\n1 0 0\n0 1 0\n1 1 0\n0 0 1\n1 0 1\n0 1 1\n1 1 1\n"


@pytest.mark.parametrize(
    "text",
    [
        "LUT_3D_SIZE 2\n" + COLORS,
        "\ufeff# made elsewhere\n\nTITLE \"a LUT_3D_SIZE 9\"\r\n  LUT_3D_SIZE   2  \nDOMAIN_MIN 0 0 0\n\n" + COLORS,
        "LUT_3D_SIZE 2\nLUT_3D_INPUT_RANGE 0.0 1.0\n" + COLORS.replace("\n", "\n# between\n\n"),
        "DOMAIN_MAX 1 1 1\nLUT_3D_SIZE 2\n" + COLORS.replace("1", "1e0").replace(" ", "\t").rstrip(),
    ],
)  # fmt: skip
def test_files_of_other_programs_are_read(tmp_path, text):
    (tmp_path / "a.cube").write_bytes(text.encode())
    image = he_image()
    np.testing.assert_array_equal(read_cube(tmp_path / "a.cube")(image), image)


def test_another_domain_is_kept(tmp_path):
    (tmp_path / "a.cube").write_text("LUT_3D_SIZE 2\nDOMAIN_MIN -1 0 0\nDOMAIN_MAX 1 2 1\n" + COLORS)
    lut = read_cube(tmp_path / "a.cube")
    colors = np.array([[0.0, 1, 0.5], [0, 1, 0.5], [0, 1, 0.5]])
    np.testing.assert_allclose(lut.evaluate(colors), [[0.5, 1, 0.75], [0, 0.5, 0.25], [0, 1, 0.5]], atol=1e-7)
    write_cube(tmp_path / "b.cube", lut)
    assert read_cube(tmp_path / "b.cube").domain == lut.domain


HEAD = "LUT_3D_SIZE 2\n"
BAD = {
    "empty": b"",
    "no colors": HEAD.encode(),
    "no size": COLORS.encode(),
    "truncated": (HEAD + COLORS[:-12]).encode(),
    "within a number": (HEAD + COLORS[:-3]).encode(),
    "too long": (HEAD + COLORS + "1 1 1\n").encode(),
    "two columns": (HEAD + COLORS.replace("1 1 1", "1 1")).encode(),
    "four columns": (HEAD + COLORS.replace("\n", " 1\n")).encode(),
    "text": (HEAD + COLORS.replace("1 1 1", "one 1 1")).encode(),
    "keyword among colors": (HEAD + COLORS[:18] + "DOMAIN_MIN 0 0 0\n" + COLORS[18:]).encode(),
    "NaN": (HEAD + COLORS.replace("1 1 1", "1 nan 1")).encode(),
    "NaN first": (HEAD + "nan 0 0\n" + COLORS[6:]).encode(),
    "infinite": (HEAD + COLORS.replace("1 1 1", "1 1e999 1")).encode(),
    "1D": ("LUT_1D_SIZE 8\n" + COLORS).encode(),
    "size 1": b"LUT_3D_SIZE 1\n0 0 0\n",
    "huge size": ("LUT_3D_SIZE 100000000000\n" + COLORS).encode(),
    "negative size": ("LUT_3D_SIZE -2\n" + COLORS).encode(),
    "size missing": ("LUT_3D_SIZE\n" + COLORS).encode(),
    "two sizes": ("LUT_3D_SIZE 2 2\n" + COLORS).encode(),
    "fractional size": ("LUT_3D_SIZE 2.0\n" + COLORS).encode(),
    "empty domain": (HEAD + "DOMAIN_MAX 0 1 1\n" + COLORS).encode(),
    "NaN domain": (HEAD + "DOMAIN_MAX nan 1 1\n" + COLORS).encode(),
    "infinite domain": (HEAD + "DOMAIN_MAX inf 1 1\n" + COLORS).encode(),
    "short domain": (HEAD + "DOMAIN_MAX 1 1\n" + COLORS).encode(),
    "binary": bytes(range(256)) * 40,
    "zeros": bytes(4000),
    "a PNG": b"\x89PNG\r\n\x1a\n" + bytes(100),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_gives_one_clear_error(tmp_path, name):
    (tmp_path / "bad.cube").write_bytes(BAD[name])
    with pytest.raises(ModelFileError, match=r"bad.cube as a 3D .cube file \(.+\); export it again"):
        read_cube(tmp_path / "bad.cube")


@laws
@given(st.binary(max_size=200), st.integers(0, 60))
def test_no_bytes_crash_the_reader(tmp_path_factory, junk, cut):
    path = tmp_path_factory.getbasetemp() / "junk.cube"
    good = (HEAD + COLORS).encode()
    path.write_bytes(good[:cut] + junk + good[cut:])
    with contextlib.suppress(ModelFileError):
        assert np.isfinite(read_cube(path).table).all()


def test_a_missing_file_a_folder_and_one_too_large_are_refused(tmp_path, monkeypatch):
    (tmp_path / "big.cube").write_text(HEAD + COLORS)
    monkeypatch.setattr("stainxform.maps.cube._MAX_BYTES", 10)
    for path in (tmp_path / "missing.cube", tmp_path, tmp_path / "big.cube", "nul\0.cube"):
        with pytest.raises(ModelFileError):
            read_cube(path)


def test_what_the_format_cannot_hold_is_not_written(tmp_path):
    lut = bake(IdentityMap(), 2)
    for title in ('say "hi"', "line\nbreak", "Färbung", "x" * 1000):
        with pytest.raises(ParameterError, match="title"):
            write_cube(tmp_path / "a.cube", lut, title)
    broken = Lut3DMap(np.full((2, 2, 2, 3), np.nan))
    with pytest.raises(ParameterError, match="NaN"):
        write_cube(tmp_path / "a.cube", broken)
    assert not list(tmp_path.iterdir())
    assert MAX_NODES == 256
