"""A calibration goes wherever a normalizer goes, and the group of each image with it."""

from __future__ import annotations

import json
import pickle
import warnings

import albumentations as A
import numpy as np
import pytest
import torch
from contracts import HOSTS, arrange
from monai.bundle import ConfigParser
from monai.data import CacheDataset, DataLoader, MetaTensor, PersistentDataset
from monai.transforms import Compose, MapTransform

import stainxform as sx
import stainxform.albumentations as for_albumentations
import stainxform.monai as for_monai
from stainxform.errors import NotEnoughTissueError, ParameterError, StainXformWarning
from stainxform.evaluate import evaluate_centers
from stainxform.maps import Lut3DMap, bake, read_cube, write_cube
from stainxform.nn import Normalize
from stainxform.nn.operator import Estimated
from stainxform.testing import blank_image

GROUPS = ("a", "b", 3, np.int64(3), None, "never seen")
KEY = "slide"


@pytest.fixture(scope="module", params=["transport", "macenko", "khan", "colornormnet"])
def any_bridge(request, normalizers, tiles):
    """Calibrations of several methods: in closed form, by a table, of a network."""
    if request.param not in normalizers:
        pytest.skip(f"{request.param} needs an extra")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StainXformWarning)  # few tiles
        return normalizers[request.param].calibrate(
            tiles[1], groups=["a", "b", 3], center_weight=0.5, keep_groups=True, qc="off"
        )


@pytest.fixture
def groupless(bridge, tmp_path):
    """The same calibration after a file that holds no groups."""
    bridge.for_group(None).save(tmp_path / "center.safetensors")
    return str(tmp_path / "center.safetensors")


@pytest.fixture(scope="module")
def first(tiles):
    return arrange(tiles[1], "CHW")


def in_monai(transform, image, **more):
    return transform({"image": image, **more})["image"]


@pytest.mark.parametrize("host", HOSTS, ids=str)
def test_every_host_gives_the_centers_map_by_default(host, bridge, tiles):
    np.testing.assert_array_equal(host(bridge, tiles[1][0]), bridge(tiles[1][0]))


@pytest.mark.parametrize("host", HOSTS, ids=str)
def test_blank_images_are_mapped_unless_asked_for(host, bridge):
    blank = blank_image()
    np.testing.assert_array_equal(host(bridge, blank), bridge.fixed_map(blank))
    with pytest.raises(NotEnoughTissueError):
        host(bridge, blank, on_blank="raise")


class TestMonai:
    @pytest.mark.parametrize("group", GROUPS, ids=repr)
    @pytest.mark.parametrize("name", ["StainNormalized", "Transportd"])
    def test_each_item_gets_the_map_of_its_group(self, bridge, bridge_path, first, name, group):
        wanted = bridge(first, channel_axis=-3, group=group)
        for model in (bridge, bridge_path):
            transform = getattr(for_monai, name)("image", model, group_key=KEY)
            np.testing.assert_array_equal(in_monai(transform, first, slide=group), wanted)
        array = getattr(for_monai, name.removesuffix("d"))(bridge)
        np.testing.assert_array_equal(array(first, group=group), wanted)

    def test_groups_differ(self, bridge, first):
        results = [bridge(first, channel_axis=-3, group=group) for group in ("a", "b", "3", None)]
        for index, one in enumerate(results):
            assert not any(np.array_equal(one, other) for other in results[:index])

    def test_any_key_and_held_numbers(self, bridge, first):
        wanted = bridge(first, channel_axis=-3, group="3")
        for held in (torch.tensor(3), torch.tensor([3]), np.array(3), MetaTensor(torch.tensor(3))):
            transform = for_monai.StainNormalized("image", bridge, group_key=7)
            np.testing.assert_array_equal(transform({"image": first, 7: held})["image"], wanted)

    @pytest.mark.parametrize("group", [["a"], torch.tensor([3, 3]), np.array(["a", "b"]), {}], ids=repr)
    def test_a_group_is_one_name(self, bridge, first, group):
        with pytest.raises(ParameterError, match="a group is one name"):
            in_monai(for_monai.StainNormalized("image", bridge, group_key=KEY), first, slide=group)

    def test_a_missing_group_is_an_error_even_where_keys_may_be_missing(self, bridge, first):
        transform = for_monai.StainNormalized("image", bridge, allow_missing_keys=True, group_key=KEY)
        with pytest.raises(KeyError, match="group_key='slide' is not in the data, which hold: 'image', 'label'"):
            transform({"image": first, "label": 1})
        assert transform({KEY: "a"}) == {KEY: "a"}

    def test_the_rest_of_a_pipeline(self, bridge, bridge_path, first, tmp_path):
        data = [{"image": first, KEY: group, "label": 1} for group in ("a", "b", None)]
        wanted = [bridge(first, channel_axis=-3, group=item[KEY]) for item in data]
        transform = Compose([for_monai.Transportd("image", model=bridge_path, group_key=KEY)])
        copied = pickle.loads(pickle.dumps(transform))
        for dataset in (
            CacheDataset(data, transform, progress=False), PersistentDataset(data, transform, tmp_path / "cache"),
            PersistentDataset(data, copied, tmp_path / "cache"),
        ):  # fmt: skip
            for item, result in zip(dataset, wanted, strict=True):
                np.testing.assert_array_equal(item["image"], result)
        loaded = DataLoader(CacheDataset(data[:2], copied, progress=False), batch_size=2)
        np.testing.assert_array_equal(next(iter(loaded))["image"], np.stack(wanted[:2]))

    def test_in_a_bundle(self, bridge, bridge_path, first):
        config = {"_target_": "stainxform.monai.Transportd", "keys": "image", "model": bridge_path, "group_key": KEY}
        parser = ConfigParser({"transform": config})
        transform = parser.get_parsed_content("transform")
        np.testing.assert_array_equal(in_monai(transform, first, slide="b"), bridge(first, channel_axis=-3, group="b"))


class TestAlbumentations:
    @pytest.mark.parametrize("group", GROUPS, ids=repr)
    @pytest.mark.parametrize("name", ["StainNormalize", "Transport"])
    def test_a_call_says_the_group(self, bridge, bridge_path, tiles, name, group):
        image, wanted = tiles[1][0], bridge(tiles[1], group=group)
        for model in (bridge, bridge_path):
            transform = getattr(for_albumentations, name)(model, group_key=KEY)
            for call in (transform, A.Compose([A.NoOp(), transform]), A.Compose([transform], strict=True)):
                np.testing.assert_array_equal(call(image=image, slide=group)["image"], wanted[0])
                np.testing.assert_array_equal(call(images=tiles[1], slide=group)["images"], wanted)
                np.testing.assert_array_equal(call(volume=tiles[1], slide=group)["volume"], wanted)
                assert call(image=image, slide=group)[KEY] is group

    def test_a_missing_group_is_an_error(self, bridge, tiles):
        call = for_albumentations.Transport(bridge, group_key=KEY)
        for transform in (call, A.Compose([call])):
            with pytest.raises(ValueError, match=r"looks at slide="):
                transform(image=tiles[1][0])

    def test_serialized(self, bridge, bridge_path, tiles):
        pipeline = A.Compose([for_albumentations.Transport(bridge_path, group_key=KEY)])
        record = json.loads(json.dumps(A.to_dict(pipeline)))
        assert record["transform"]["transforms"][0]["group_key"] == KEY
        wanted = bridge(tiles[1][0], group="a")
        for other in (A.from_dict(record), pickle.loads(pickle.dumps(pipeline))):
            np.testing.assert_array_equal(other(image=tiles[1][0], slide="a")["image"], wanted)

    def test_a_record_of_an_earlier_version(self, bridge, bridge_path, tiles):
        record = A.to_dict(A.Compose([for_albumentations.Transport(bridge_path)]))
        del record["transform"]["transforms"][0]["group_key"]
        np.testing.assert_array_equal(A.from_dict(record)(image=tiles[1][0])["image"], bridge(tiles[1][0]))

    @pytest.mark.filterwarnings("ignore:.*params depend on targets")
    def test_replay(self, bridge, bridge_path, tiles):
        pipeline = A.ReplayCompose([for_albumentations.Transport(bridge_path, group_key=KEY)])
        found = pipeline(image=tiles[1][0], slide=np.int64(3))
        again = A.ReplayCompose.replay(json.loads(json.dumps(found["replay"])), image=tiles[1][0], slide=3)
        for result in (found, again):
            np.testing.assert_array_equal(result["image"], bridge(tiles[1][0], group=3))


MAKERS = [
    lambda model: for_monai.StainNormalized("image", model, group_key=KEY),
    lambda model: for_albumentations.StainNormalize(model, group_key=KEY),
]


@pytest.mark.parametrize("make", MAKERS)
def test_a_group_key_needs_a_calibration(make, macenko, macenko_path):
    for model in (macenko, macenko_path):
        with pytest.raises(
            ParameterError, match=r"group_key='slide' needs a calibration, and this is a 'macenko' model"
        ):
            make(model)
    with pytest.raises(ParameterError, match="group='a' needs a calibration"):
        for_monai.StainNormalize(macenko)(np.zeros((3, 8, 8), np.float32), group="a")


@pytest.mark.parametrize("make", MAKERS)
def test_a_calibration_without_groups_is_warned_of_once(make, groupless, bridge, first):
    with pytest.warns(StainXformWarning, match="keep_groups=True") as caught:
        transform = make(groupless)
    assert len(caught) == 1
    image = first if isinstance(transform, MapTransform) else np.moveaxis(first, 0, -1)
    data = {"image": image, KEY: "a"}
    result = transform(data) if isinstance(transform, MapTransform) else transform(**data)
    np.testing.assert_array_equal(result["image"], bridge(image, channel_axis=-3 if image is first else -1))


def test_a_transform_takes_calibrations_of_its_method_only(bridge):
    for host in (for_monai, for_albumentations):
        with pytest.raises(ParameterError, match="'transport' model, not 'macenko'"):
            host.Macenko(bridge)


class TestModules:
    def test_a_module_is_the_calibration_to_a_level(self, any_bridge, tiles):
        batch = torch.from_numpy(np.moveaxis(tiles[1], -1, 1).copy())
        batch = torch.cat([batch, torch.full_like(batch[:1], 255)])  # a blank one is mapped like any other
        for one in (any_bridge, any_bridge.for_group("a"), any_bridge.for_group("never seen")):
            module = Normalize(one)
            assert module.native
            assert not isinstance(module.core, Estimated)
            difference = module(batch).int() - one(batch).int()
            assert difference.abs().max() <= 1
        group, center = (Normalize(one)(batch) for one in (any_bridge.for_group("a"), any_bridge))
        assert not torch.equal(group, center)

    @pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:.*treespec")
    def test_exported_programs_and_pickles(self, bridge, tiles):
        unit = torch.from_numpy(np.moveaxis(tiles[1], -1, 1).copy()).float() / 255
        module = Normalize(bridge.for_group("a"))
        program = torch.export.export(module, (unit,)).module()
        for other in (program, pickle.loads(pickle.dumps(module))):
            torch.testing.assert_close(other(unit), module(unit), atol=1e-5, rtol=0)

    def test_onnx(self, any_bridge, tiles, tmp_path):
        runtime = pytest.importorskip("onnxruntime")
        from stainxform.onnx import export

        batch = np.moveaxis(tiles[1], -1, 1).copy()
        for name, one in (("center", any_bridge), ("group", any_bridge.for_group("a"))):
            export(one, tmp_path / f"{name}.onnx", dtype="uint8")
            session = runtime.InferenceSession(str(tmp_path / f"{name}.onnx"), providers=["CPUExecutionProvider"])
            (found,) = session.run(None, {"image": batch})
            assert np.abs(found.astype(int) - one(batch, channel_axis=-3)).max() <= 1


@pytest.mark.parametrize("group", [None, "a"])
def test_maps_as_cube_files(any_bridge, tiles, tmp_path, group):
    closed = any_bridge.closed_map_of(group)
    lut = closed if isinstance(closed, Lut3DMap) else bake(closed, 65)
    write_cube(tmp_path / "map.cube", lut)
    found = read_cube(tmp_path / "map.cube")(tiles[1][0]).astype(int)
    assert np.abs(found - any_bridge(tiles[1][0], group=group)).max() <= 2


def test_centers_are_evaluated_with_a_calibration(bridge, bridge_path, tiles):
    models = {"object": bridge, "file": bridge_path, "function": lambda tile: bridge.fixed_map(tile)}
    centers = {"ours": tiles[0], "theirs": tiles[1]}
    raw, *found = evaluate_centers(centers, models, target="ours", repeats=20).methods
    for one in found:
        assert one.gaps == found[0].gaps
        assert one.gaps != raw.gaps


def test_calibrations_are_normalizers(bridge):
    assert isinstance(bridge, sx.Normalizer)
    assert not bridge.keeps_blank
