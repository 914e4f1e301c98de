"""Calibrations: the laws of every method, groups, growing, files, and what goes wrong."""

import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import stainxform as sx
from stainxform.errors import (
    InvalidImageError,
    ModelFileError,
    NotEnoughTissueError,
    ParameterError,
    StainXformWarning,
)
from stainxform.image.histogram import ColorHistogram
from stainxform.image.tissue import tissue_mask
from stainxform.io.modelfile import read_model, write_model
from stainxform.maps import Lut3DMap, bake
from stainxform.normalizers.calibration import Calibration, calibrate
from stainxform.normalizers.calibration.checks import stain_angle
from stainxform.normalizers.calibration.groups import group_name, group_names
from stainxform.normalizers.calibration.weight import separation
from stainxform.normalizers.transport import SPACES
from stainxform.samples import pair
from stainxform.testing import blank_image, he_image

OURS, THEIRS = pair(6, 72, seed=5)
NAMES = ["a", "a", "b", "b", "c", "c"]
POINTWISE = [
    "colornormnet", "histogram_matching", "khan", "macenko", "ramakrishnan", "reinhard", "reinhard_modified", "transport",
    "vahadane",
]  # fmt: skip
DISTILLED = ["staingan", "stainlut"]

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*few to calibrate", "ignore:.*groups are few", "ignore:.*hardly", "ignore:skipped", "ignore:.*same pixels"
)


@pytest.fixture(params=POINTWISE)
def pointwise(request, normalizers):
    if request.param not in normalizers:
        pytest.skip("needs an extra")
    return normalizers[request.param]


@pytest.fixture(scope="module")
def transport():
    return sx.fit_center(OURS, "transport", qc="off")


def bridge_of(target, tiles=THEIRS, **options):
    return target.calibrate(tiles, qc="off", **options)


def colors():
    ramp = np.linspace(0, 1, 9)
    return np.stack(np.meshgrid(ramp, ramp, ramp)).reshape(3, -1)


def same_map(first, second, atol=1e-9):
    np.testing.assert_allclose(first.evaluate(colors()), second.evaluate(colors()), atol=atol)


# ---- every method ----------------------------------------------------------------------------------------------------


def test_every_method_can_be_calibrated(normalizer):
    bridge = bridge_of(normalizer, groups=NAMES)
    assert isinstance(bridge, Calibration)
    assert bridge.model_method == normalizer.method
    result = bridge(THEIRS)
    assert result.shape == THEIRS.shape
    assert result.dtype == np.uint8
    assert not np.array_equal(result, THEIRS)
    np.testing.assert_array_equal(result[0], bridge(THEIRS[0]))
    np.testing.assert_array_equal(bridge.map_for(THEIRS[0])(THEIRS), result)


def test_a_file_does_the_same(normalizer, tmp_path):
    bridge = bridge_of(normalizer, groups=NAMES, keep_groups=True, center="theirs")
    bridge.save(tmp_path / "one.safetensors")
    loaded = sx.load(tmp_path / "one.safetensors")
    loaded.save(tmp_path / "two.safetensors")
    assert type(loaded) is Calibration
    assert loaded.groups == ("a", "b", "c")
    assert (loaded.info.name, loaded.info.tiles) == ("theirs", 6)
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()
    for group in (None, "a", "b", "c", "never seen"):
        np.testing.assert_array_equal(loaded(THEIRS, group=group), bridge(THEIRS, group=group))


def test_a_pickle_does_the_same_and_does_not_depend_on_use(normalizer):
    bridge = bridge_of(normalizer, groups=NAMES)
    before = pickle.dumps(bridge)
    result = bridge(THEIRS[:1], group="b")
    copied = pickle.loads(pickle.dumps(bridge))
    np.testing.assert_array_equal(copied(THEIRS[:1], group="b"), result)
    assert len(pickle.dumps(bridge)) == len(before)


def test_the_map_of_a_slide_is_that_of_the_center_and_reads_no_tile(normalizer):
    bridge = bridge_of(normalizer)
    assert bridge.map_for_tiles(None) is bridge.fixed_map


def test_weight_one_is_the_map_for_all_tiles_and_zero_that_of_the_group(pointwise):
    bridge = bridge_of(pointwise, groups=NAMES, center_weight=1)
    for group in ("a", "b", None):
        assert bridge.map_of(group) is bridge.map_of(None)
    own = bridge_of(pointwise, groups=NAMES, center_weight=0)
    if pointwise.method != "ramakrishnan":  # takes medians of tiles, which do not merge
        same_map(bridge.closed_map_of(None), pointwise.map_for_tiles(THEIRS))
        same_map(own.closed_map_of("b"), pointwise.map_for_tiles(THEIRS[2:4]))


def test_a_map_between_lies_between(pointwise):
    maps = [bridge_of(pointwise, groups=NAMES, center_weight=w).closed_map_of("a") for w in (0, 0.5, 1)]
    own, half, center = (np.clip(one.evaluate(THEIRS[0].reshape(-1, 3).T / 255), 0, 1) for one in maps)
    whole = np.abs(own - center).mean()
    assert np.abs(own - half).mean() <= whole + 1e-6
    assert np.abs(half - center).mean() <= whole + 1e-6


def test_strength_is_part_of_the_way(pointwise):
    none, half, all_ = (bridge_of(pointwise, strength=s)(THEIRS).astype(float) for s in (0, 0.5, 1.0))
    np.testing.assert_array_equal(none, THEIRS)
    assert np.abs(half - THEIRS).mean() < np.abs(all_ - THEIRS).mean()
    assert np.abs(half - all_).mean() < np.abs(all_ - THEIRS).mean()


def test_merged_and_grown_is_made_at_once(pointwise):
    whole = bridge_of(pointwise, groups=NAMES)
    first = bridge_of(pointwise, THEIRS[:3], groups=NAMES[:3])
    second = bridge_of(pointwise, THEIRS[3:], groups=NAMES[3:])
    for grown in (first.merge(second), second.merge(first), first.add(THEIRS[3:], groups=NAMES[3:], qc="off")):
        assert grown.groups == whole.groups
        assert grown.info.tiles == 6
        assert grown.center_weight == pytest.approx(whole.center_weight)
        for group in (None, *whole.groups):
            same_map(grown.closed_map_of(group), whole.closed_map_of(group), atol=1e-7)


def test_the_order_of_tiles_does_not_matter(pointwise):
    order = [4, 1, 5, 0, 3, 2]
    turned = bridge_of(pointwise, THEIRS[order], groups=[NAMES[i] for i in order])
    for group in (None, "a", "c"):
        same_map(turned.closed_map_of(group), bridge_of(pointwise, groups=NAMES).closed_map_of(group), atol=1e-7)


def test_many_tiles_are_one_big_one(pointwise):
    if pointwise.method == "colornormnet":
        pytest.skip("its network sees the edges of tiles")
    whole = THEIRS.reshape(1, -1, 72, 3)
    same_map(bridge_of(pointwise, whole).closed_map_of(None), bridge_of(pointwise).closed_map_of(None), atol=1e-7)


def test_a_loaded_file_grows_if_it_holds_what_it_was_made_from(pointwise, tmp_path):
    counts_colors = isinstance(pointwise.summary(THEIRS[0], ColorHistogram.of(THEIRS[0])), ColorHistogram)
    for keep_colors in (False, True):
        path = tmp_path / f"{keep_colors}.safetensors"
        bridge_of(pointwise, THEIRS[:3], keep_colors=keep_colors).save(path)
        loaded = sx.load(path)
        assert (loaded.colors > 0) == (counts_colors and keep_colors)
        if counts_colors and not keep_colors:
            with pytest.raises(ParameterError, match="keep_colors"):
                loaded.add(THEIRS[3:], qc="off")
        else:
            same_map(
                loaded.add(THEIRS[3:], qc="off").closed_map_of(None), bridge_of(pointwise).closed_map_of(None), 1e-7
            )
            loaded.without_colors().save(path)
            assert sx.load(path).colors == 0


@pytest.mark.parametrize("method", DISTILLED)
def test_a_network_comes_down_to_a_function_of_color(method, normalizers):
    bridge = bridge_of(normalizers[method], groups=NAMES)
    assert isinstance(bridge.fixed_map, Lut3DMap)
    with pytest.raises(ParameterError, match="cannot grow"):
        bridge.add(THEIRS[:1])


def test_the_input_is_never_changed(normalizer):
    tiles = THEIRS.copy()
    bridge_of(normalizer, tiles, groups=NAMES)(tiles, group="a")
    np.testing.assert_array_equal(tiles, THEIRS)


# ---- transport -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", SPACES)
@given(seed=st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_calibrated_on_the_target_itself_it_is_the_identity(space, seed):
    tiles = np.stack([he_image(seed + k) for k in range(2)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bridge = bridge_of(sx.fit_center(tiles, "transport", space=space, qc="off"), tiles)
    same_map(bridge.closed_map_of(None), bake_identity(), atol=1e-6)


def bake_identity():
    from stainxform.maps import IdentityMap

    return bake(IdentityMap(), 9)


@given(weight=st.floats(0, 1))
@settings(max_examples=20, deadline=None)
def test_the_map_of_a_group_moves_steadily_to_the_centers(weight):
    target = sx.fit_center(OURS, "transport", qc="off")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found, own, center = (
            bridge_of(target, groups=NAMES, center_weight=w).closed_map_of("a").matrix for w in (weight, 0.0, 1.0)
        )
    whole = np.linalg.norm(own - center)
    assert np.linalg.norm(found - own) <= 1.1 * whole + 1e-9
    assert np.linalg.norm(found - center) <= 1.1 * whole + 1e-9


def test_it_keeps_twenty_and_ten_numbers_of_a_center(transport, tmp_path):
    bridge_of(transport, groups=NAMES).save(tmp_path / "b.safetensors")
    state = read_model(tmp_path / "b.safetensors")
    own = {name: array.size for name, array in state.arrays.items() if name.startswith("parts/")}
    assert own == {"parts/0/count": 1, "parts/0/covariance": 9, "parts/0/mean": 3}
    assert state.parameters["parts"].keys() == {""}
    assert len(str(state.parameters["parts"]).split(",")) < 25
    text = (tmp_path / "b.safetensors").read_bytes()
    for name in (b'"a"', b'"b"', b'"c"'):
        assert name not in text


def test_a_group_like_the_center_gets_its_map_whatever_the_weight(transport):
    bridge = bridge_of(transport, np.concatenate([THEIRS, THEIRS]), groups=["x"] * 6 + ["y"] * 6, center_weight=0.3)
    same_map(bridge.closed_map_of("x"), bridge.closed_map_of(None), atol=1e-7)


# ---- the weight ------------------------------------------------------------------------------------------------------


def shifted(tiles, by):
    return np.clip(tiles.astype(float) * np.exp(-np.asarray(by)), 0, 255).astype(np.uint8)


def test_groups_far_apart_are_believed_and_groups_alike_are_not(transport):
    alike = bridge_of(transport, np.concatenate([THEIRS] * 3), groups=["a"] * 6 + ["b"] * 6 + ["c"] * 6)
    apart = np.concatenate([shifted(THEIRS, 0.25 * k * np.array([0.5, -0.2, 0.3])) for k in (0, 1, 2)])
    differing = bridge_of(transport, apart, groups=["a"] * 6 + ["b"] * 6 + ["c"] * 6)
    assert alike.center_weight == pytest.approx(1)
    assert differing.center_weight < 0.2


def test_the_separation_of_groups_is_that_of_the_plain_formula(transport):
    bridge = bridge_of(transport, groups=NAMES)
    density = [-np.log((THEIRS[k : k + 2].reshape(-1, 3).astype(float) + 1) / 256) for k in (0, 2, 4)]
    tissue = [values[tissue_mask(THEIRS[k : k + 2]).ravel()] for k, values in zip((0, 2, 4), density)]
    within = sum(len(values) * np.cov(values.T, bias=True) for values in tissue) / sum(map(len, tissue))
    between = np.cov(np.array([values.mean(0) for values in tissue]).T)
    wanted = np.trace(np.linalg.inv(within + 2.5e-5 * np.eye(3)) @ between) / 3
    assert separation(part.tissue for part in bridge.parts.values()) == pytest.approx(wanted, rel=1e-6)
    assert bridge.center_weight == pytest.approx(1 / (1 + (wanted / 0.5) ** 4))


def test_one_group_is_the_center(transport):
    assert bridge_of(transport, groups=["a"] * 6).center_weight == 1
    assert bridge_of(transport).center_weight == 1


def test_models_without_tissue_color_are_calibrated(transport, tmp_path):
    state = transport.state()
    del state.parameters["tissue"]
    write_model(tmp_path / "old.safetensors", state)
    bridge = bridge_of(sx.load(tmp_path / "old.safetensors"), groups=NAMES)
    assert bridge.target_tissue is None
    assert bridge.groups == ("a", "b", "c")


# ---- groups ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    for number, (tile, name) in enumerate(zip(THEIRS, NAMES)):
        (tmp_path / name).mkdir(exist_ok=True)
        Image.fromarray(tile).save(tmp_path / name / f"{name}_{number}.png")
    return tmp_path


@pytest.mark.parametrize(
    "groups",
    [
        "folder",
        "{group}_*.png",
        lambda path: path.parent.name,
        {f"{name}_{number}": name for number, name in enumerate(NAMES)},
        {f"{name}_{number}.png": name for number, name in enumerate(NAMES)},
        NAMES,
    ],
    ids=["folder", "pattern", "function", "stems", "names", "list"],
)
def test_groups_can_be_told_in_many_ways(transport, folder, groups):
    bridge = bridge_of(transport, folder, groups=groups)
    assert bridge.groups == ("a", "b", "c")
    same_map(bridge.closed_map_of("b"), bridge_of(transport, groups=NAMES).closed_map_of("b"))


def test_each_file_can_be_a_group(transport, folder):
    assert bridge_of(transport, folder, groups="file").groups == tuple(f"{n}_{i}" for i, n in enumerate(NAMES))


def test_folders_of_one_name_in_different_places_are_not_mixed_up(tmp_path):
    paths = [tmp_path / f"{patient}/tiles/{k}.png" for patient in "ab" for k in range(2)]
    with pytest.raises(ParameterError, match="would be one group, 'tiles'"):
        group_names(paths, "folder")
    assert group_names(paths, "{group}/tiles/*.png") == ["a", "a", "b", "b"]
    with pytest.raises(ParameterError, match="would be one group, '0'"):
        group_names(paths, "file")


def test_a_folder_has_one_name_whatever_is_given_with_it(tmp_path):
    paths = [tmp_path / f"{patient}/{patient}_slide/{k}.png" for patient in "ab" for k in range(2)]
    assert group_names(paths, "folder") == [*group_names(paths[:2], "folder"), *group_names(paths[2:], "folder")]


def test_a_pattern_takes_as_long_a_name_as_can_be():
    assert group_names(["x/slide_03_00.png", "x/slide_05_1.png"], "{group}_*.png") == ["slide_03", "slide_05"]


@pytest.mark.parametrize(
    ("given", "name"),
    [(1, "1"), (1.0, "1"), ("1", "1"), (1.5, "1.5"), (np.int64(1), "1"), (np.array([1]), "1"), (None, None),
     (float("nan"), None), (np.float32("nan"), None)],
)  # fmt: skip
def test_a_name_is_a_text_a_number_or_missing(given, name):
    assert group_name(given) == name


@pytest.mark.parametrize("given", [["a", "b"], ["a"], np.array(["a", "b"]), b"a", "", "a\0b", {"a": 1}])
def test_what_is_no_name_is_refused(transport, given):
    bridge = bridge_of(transport, groups=NAMES)
    with pytest.raises(ParameterError, match="a group"):
        bridge(THEIRS, group=given)
    with pytest.raises(ParameterError, match="a group"):
        bridge_of(transport, groups=lambda tile: given)


def test_tensors_and_arrays_name_groups(transport):
    torch = pytest.importorskip("torch")
    bridge = bridge_of(transport, groups=np.array([1, 1, 2, 2, 3, 3]), center_weight=0)
    np.testing.assert_array_equal(bridge(THEIRS, group=torch.tensor(2)), bridge(THEIRS, group="2"))
    assert bridge_of(transport, groups=iter(NAMES)).groups == ("a", "b", "c")


def test_a_function_that_fails_is_named_with_what_it_failed_on(transport, folder):
    with pytest.raises(ParameterError, match=r"failed on .*a_0\.png: IndexError"):
        bridge_of(transport, folder, groups=lambda path: path.parents[99].name)
    with pytest.raises(ParameterError, match="failed on item 0"):
        bridge_of(transport, groups=lambda tile: tile["slide"])


def test_numbers_are_names(transport):
    bridge = bridge_of(transport, groups=[1, 1, 2, 2, 3, 3], center_weight=0)
    np.testing.assert_array_equal(bridge(THEIRS, group=1), bridge(THEIRS, group="1"))
    assert not np.array_equal(bridge(THEIRS, group=1), bridge(THEIRS))


def test_tiles_of_no_group_count_for_the_center(transport):
    bridge = bridge_of(transport, groups=["a", "a", None, None, None, None])
    assert bridge.groups == ("a",)
    same_map(bridge.closed_map_of(None), bridge_of(transport).closed_map_of(None))


def test_an_unknown_group_gets_the_map_of_the_center(transport):
    bridge = bridge_of(transport, groups=NAMES, center_weight=0)
    np.testing.assert_array_equal(bridge(THEIRS, group="never seen"), bridge(THEIRS))


def test_for_group_is_a_calibration_of_its_own(transport, tmp_path):
    bridge = bridge_of(transport, groups=NAMES, center_weight=0)
    only = bridge.for_group("b")
    np.testing.assert_array_equal(only(THEIRS), bridge(THEIRS, group="b"))
    only.save(tmp_path / "b.safetensors")
    np.testing.assert_array_equal(sx.load(tmp_path / "b.safetensors")(THEIRS), bridge(THEIRS, group="b"))


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ("folders", "groups must be"),
        (5, "groups must be"),
        (["a"], "names 1 tiles"),
        ("{group}{group}", "groups must be"),
        ({}, "need files"),
        ("folder", "need files"),
        ([""] * 6, "must have a name"),
    ],
)
def test_groups_that_cannot_be_told_are_refused(transport, groups, message):
    with pytest.raises(ParameterError, match=message):
        bridge_of(transport, groups=groups)


def test_a_file_that_does_not_match_is_named(transport, folder):
    with pytest.raises(ParameterError, match=r"a_0.png does not match"):
        bridge_of(transport, folder, groups="{group}-*.png")
    with pytest.raises(ParameterError, match="no name for"):
        bridge_of(transport, folder, groups={"x": "y"})


# ---- bad input -------------------------------------------------------------------------------------------------------


def test_a_blank_group_gets_the_map_of_the_center_and_a_warning(transport):
    tiles = [*THEIRS[:4], blank_image(), blank_image()]
    with pytest.warns(StainXformWarning, match=r"no tile of 1 group \(c\) has enough"):
        bridge = bridge_of(transport, tiles, groups=NAMES)
    assert bridge.groups == ("a", "b")
    np.testing.assert_array_equal(bridge(THEIRS, group="c"), bridge(THEIRS))


def test_blank_tiles_alone_are_refused(normalizer):
    with pytest.raises(NotEnoughTissueError):
        bridge_of(normalizer, [blank_image(), blank_image()])


def test_one_color_explodes_nowhere_and_is_said(pointwise):
    flat = np.full((2, 64, 64, 3), (180, 110, 160), np.uint8)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            bridge = bridge_of(pointwise, flat)
        except NotEnoughTissueError:
            return
    assert any("of one color" in str(warning.message) for warning in said)
    assert np.isfinite(bridge.closed_map_of(None).evaluate(colors())).all()


def test_ink_is_called_by_its_name(transport):
    ink = np.clip(THEIRS.astype(int) * [0.2, 0.5, 1.0] + [0, 0, 60], 0, 255).astype(np.uint8)
    with pytest.warns(StainXformWarning, match="another stain, or ink"):
        bridge_of(transport, ink)
    with pytest.warns(StainXformWarning, match=r"1 of 3 groups \(c\)"):
        bridge_of(transport, np.concatenate([THEIRS[:4], ink[:2]]), groups=NAMES)


def test_few_tiles_and_groups_are_said(transport):
    with pytest.warns(StainXformWarning, match="6 tiles with tissue are few"):
        bridge_of(transport)
    many = np.concatenate([THEIRS, THEIRS])
    with pytest.warns(StainXformWarning, match="2 groups are few"):
        bridge_of(transport, many, groups=["a"] * 6 + ["b"] * 6)


def test_nothing_to_do_is_said(transport):
    with pytest.warns(StainXformWarning, match="hardly anything to normalize"):
        bridge_of(transport, OURS)


def test_ten_thousand_groups(transport):
    tile = THEIRS[0][:16, :16]
    bridge = bridge_of(transport, np.broadcast_to(tile, (10_000, *tile.shape)), groups=range(10_000))
    assert len(bridge.groups) == 10_000


def test_two_targets_do_not_merge(transport):
    other = sx.fit_center(THEIRS, "transport", qc="off")
    with pytest.raises(ParameterError, match="different targets"):
        bridge_of(transport).merge(bridge_of(other))
    with pytest.raises(ParameterError, match="merges with another one"):
        bridge_of(transport).merge(transport)


def test_settings_stay_as_they_are_when_it_grows(transport):
    for name, value in (("strength", 0.5), ("center", "theirs"), ("keep_groups", True)):
        with pytest.raises(ParameterError, match=f"{name} of a calibration stays"):
            bridge_of(transport).add(THEIRS, **{name: value})


def test_it_says_what_it_is(transport):
    assert repr(bridge_of(transport, groups=NAMES)).startswith(
        "Calibration(of 'transport', 6 tiles, 3 groups, center_w"
    )


def test_the_same_tiles_do_not_count_twice(transport):
    bridge = bridge_of(transport, groups=NAMES)
    with pytest.raises(ParameterError, match=r"the same tiles of '[abc]'"):
        bridge.merge(bridge)
    with pytest.raises(ParameterError, match="the same tiles; they"):
        bridge_of(transport).merge(bridge_of(transport))


def test_one_group_does_not_grow(transport):
    with pytest.raises(ParameterError, match="not one group of it"):
        bridge_of(transport, groups=NAMES).for_group("a").add(THEIRS)


def test_a_file_of_many_groups_is_read_in_no_time(transport, tmp_path):
    tile = THEIRS[0][:16, :16]
    bridge = bridge_of(transport, np.broadcast_to(tile, (2000, *tile.shape)), groups=range(2000), keep_groups=True)
    bridge.save(tmp_path / "many.safetensors")
    loaded = sx.load(tmp_path / "many.safetensors")
    assert len(loaded.groups) == 2000
    same_map(loaded.closed_map_of(1999), bridge.closed_map_of(1999))


def test_a_folder_that_is_not_there_is_said(transport, tmp_path):
    with pytest.raises(ParameterError, match="there is no folder"):
        transport.save(tmp_path / "nowhere" / "x.safetensors")
    with pytest.raises(ParameterError, match="is a folder"):
        transport.save(tmp_path)


def test_a_calibration_is_not_calibrated_or_fitted(transport):
    with pytest.raises(ParameterError, match="this is a calibration"):
        bridge_of(bridge_of(transport))
    with pytest.raises(ParameterError, match="made by normalizer"):
        Calibration.fit(OURS)
    with pytest.raises(ParameterError, match="unknown method"):
        sx.fit_center(OURS, "calibration")
    with pytest.raises(ParameterError, match="takes a fitted Normalizer"):
        calibrate("center.safetensors", OURS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"center_weight": 2}, "center_weight"),
        ({"center_weight": "half"}, "center_weight"),
        ({"center_weight": True}, "center_weight"),
        ({"strength": -1}, "strength"),
        ({"strength": float("nan")}, "strength"),
        ({"keep_groups": 1}, "keep_groups"),
        ({"qc": "no"}, "qc"),
        ({"min_tissue": 2}, "min_tissue"),
        ({"sampling": {"size": 3}}, "slides="),
        ({"center": None}, "center is a text"),
    ],
)
def test_options_are_checked_before_a_tile_is_read(transport, options, message):
    from stainxform.testing.normalizers import Unreadable

    with pytest.raises(ParameterError, match=message):
        transport.calibrate(Unreadable(), **options)


def test_images_are_checked(transport):
    bridge = bridge_of(transport)
    with pytest.raises(InvalidImageError):
        bridge(np.full((8, 8, 3), np.nan, np.float32))
    with pytest.raises(InvalidImageError):
        bridge(np.zeros((8, 8), np.uint8))
    with pytest.raises(InvalidImageError):
        bridge_of(transport, "/nowhere")


def test_a_blank_tile_is_mapped_like_any_other_unless_asked(transport):
    bridge, blank = bridge_of(transport), blank_image()
    np.testing.assert_array_equal(bridge(np.stack([blank, THEIRS[0][: len(blank), : len(blank)]]))[0], bridge(blank))
    with pytest.raises(NotEnoughTissueError):
        bridge(blank, on_blank="raise")
    with pytest.warns(StainXformWarning, match="returned unchanged"):
        np.testing.assert_array_equal(bridge(blank, on_blank="warn"), blank)


def test_a_damaged_file_is_refused(transport, tmp_path):
    bridge_of(transport, groups=NAMES, keep_groups=True).save(tmp_path / "b.safetensors")
    state = read_model(tmp_path / "b.safetensors")
    for change in (
        lambda s: s.parameters.pop("maps"),
        lambda s: s.parameters["maps"].update({"": {"type": "os", "fields": {}}}),
        lambda s: s.parameters["maps"].update({"": 5}),
        lambda s: s.parameters["settings"].update({"strength": 7}),
        lambda s: (
            s.parameters["parts"][""].update({"tissue": {}})
            if "" in s.parameters["parts"]
            else s.arrays.pop("parts/0/mean")
        ),
        lambda s: s.arrays.update({"parts/0/covariance": -np.eye(3)}),
    ):
        damaged = read_model(tmp_path / "b.safetensors")
        change(damaged)
        write_model(tmp_path / "damaged.safetensors", damaged)
        with pytest.raises(ModelFileError):
            sx.load(tmp_path / "damaged.safetensors")
    assert state.method == "calibration"


# ---- how sure --------------------------------------------------------------------------------------------------------


def test_uncertainty_falls_with_groups_that_agree(transport):
    sure = bridge_of(transport, np.concatenate([THEIRS, THEIRS]), groups=["a"] * 6 + ["b"] * 6)
    unsure = bridge_of(transport, groups=NAMES)
    assert sure.uncertainty() == pytest.approx(0, abs=1e-3)
    assert unsure.uncertainty() > 0.1
    assert unsure.uncertainty(seed=1) == unsure.uncertainty(seed=1)
    assert bridge_of(transport).uncertainty() > 0.1


def test_uncertainty_needs_groups(transport, tmp_path):
    bridge_of(transport, groups=NAMES).save(tmp_path / "b.safetensors")
    with pytest.raises(ParameterError, match="two groups or more"):
        sx.load(tmp_path / "b.safetensors").uncertainty()
    with pytest.raises(ParameterError, match="resamples"):
        bridge_of(transport, groups=NAMES).uncertainty(0)


def test_the_angle_of_stains_does_not_see_how_strongly_they_are_stained(transport):
    pale = sx.fit_center(shifted(OURS, 0) // 2 + 127, "transport", qc="off").info.tissue
    assert stain_angle(pale, transport.info.tissue) < 8
