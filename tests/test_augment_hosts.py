"""Every augmentation in MONAI and in albumentations: the same draw, the same pixels, and each host's own rules."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
import random
from pathlib import Path

import albumentations as A
import numpy as np
import pytest
import torch
from augment_cases import fitted
from contracts import PIXELS, UNIT
from monai.bundle import ConfigParser
from monai.data import CacheDataset, DataLoader, Dataset, MetaTensor, set_track_meta
from monai.transforms import Compose, Randomizable, RandomizableTrait

import stainxform.albumentations as for_albumentations
import stainxform.monai as for_monai
from stainxform._hosts.augment import parameter_names, transform_name
from stainxform.augment import AUGMENTATIONS, ColorStatistics
from stainxform.errors import (
    InvalidImageError,
    MissingDependencyError,
    NotEnoughTissueError,
    ParameterError,
    StainXformWarning,
)
from stainxform.normalizers.base import Normalizer
from stainxform.testing import in_range

each_name = pytest.mark.parametrize("name", AUGMENTATIONS)
CLONES = [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]


@pytest.fixture(scope="session")
def objects(tiles) -> dict[str, dict]:
    """What each augmentation needs, as fitted objects."""
    return {name: fitted(name, *tiles) for name in AUGMENTATIONS}


@pytest.fixture(scope="session")
def arguments(objects, tmp_path_factory) -> dict[str, dict]:
    """The same as paths: JSON-able."""
    folder = tmp_path_factory.mktemp("fitted")

    def save(value, stem):
        if isinstance(value, list):
            return [save(item, f"{stem}{i}") for i, item in enumerate(value)]
        value.save(folder / f"{stem}.safetensors")
        return str(folder / f"{stem}.safetensors")

    return {
        name: {field: save(value, f"{name}-{field}") for field, value in needed.items()}
        for name, needed in objects.items()
    }


@pytest.fixture
def make(arguments):
    """A transform by host, augmentation and suffix: ``make(for_monai, "hsv", "d", "image", prob=1)``."""

    def build(host, name, suffix="", *args, **more):
        return getattr(host, transform_name(name) + suffix)(*args, **arguments[name], **more)

    return build


@pytest.fixture(params=list(AUGMENTATIONS))
def case(request, arguments):
    """An augmentation by name, with a draw that changes something."""
    augmentation = AUGMENTATIONS[request.param](**arguments[request.param])
    return request.param, augmentation, augmentation.sample(np.random.default_rng(6))


def chw(image, kind=np.asarray):
    return kind(np.ascontiguousarray(np.moveaxis(image, -1, 0)))


def hwc(image):
    return np.moveaxis(np.asarray(image), 0, -1)


def meta_tensor(image):
    return MetaTensor(torch.tensor(image), meta={"filename_or_obj": "tile.png"}, applied_operations=[{"class": "Flip"}])


class TestSameDraw:
    @pytest.mark.parametrize(("dtype", "value_range"), PIXELS, ids=str)
    def test_gives_the_same_pixels_everywhere(self, case, make, tiles, dtype, value_range):
        name, augmentation, draw = case
        image = in_range(tiles[1][0], dtype, value_range)
        before = image.copy()
        wanted = augmentation(image, draw, value_range=value_range)
        assert (wanted != image).any()
        array = make(for_monai, name, value_range=value_range)
        dictionary = make(for_monai, name, "d", "image", value_range=value_range)
        array.draw = dictionary.augment.draw = draw
        dictionary.randomize = lambda data=None: None
        for kind in (np.asarray, torch.tensor, meta_tensor):
            given = chw(image, kind)
            for result in (array(given, randomize=False), dictionary({"image": given})["image"]):
                assert type(result) is type(given)
                assert (result.dtype, result.shape) == (given.dtype, given.shape)
                assert getattr(result, "meta", None) == getattr(given, "meta", None)
                assert getattr(result, "applied_operations", None) == getattr(given, "applied_operations", None)
                np.testing.assert_array_equal(hwc(result), wanted)
            np.testing.assert_array_equal(hwc(given), image)
        if value_range == UNIT:
            result = make(for_albumentations, name, p=1).apply(image, draw=draw)
            assert (result.dtype, result.shape) == (image.dtype, image.shape)
            np.testing.assert_array_equal(result, wanted)
        np.testing.assert_array_equal(image, before)

    def test_monais_draw_can_be_applied_by_albumentations(self, make, tiles):
        transform = make(for_monai, "hsv", prob=1)
        result = transform(chw(tiles[1][0]))
        np.testing.assert_array_equal(
            make(for_albumentations, "hsv").apply(tiles[1][0], draw=transform.draw), hwc(result)
        )


class TestClasses:
    @each_name
    def test_each_augmentation_has_its_transforms(self, name):
        title, kind = transform_name(name), AUGMENTATIONS[name]
        array, dictionary = getattr(for_monai, title), getattr(for_monai, f"{title}d")
        assert getattr(for_monai, f"{title}D") is getattr(for_monai, f"{title}Dict") is dictionary
        other = getattr(for_albumentations, title)
        assert other.get_class_fullname() == f"stainxform.albumentations.{title}"
        for transform in (array, dictionary, other):
            assert pickle.loads(pickle.dumps(transform)) is transform
            assert kind.source in transform.__doc__
            assert title in transform.__name__
            assert set(parameter_names(kind)) <= set(inspect.signature(transform).parameters)

    def test_names_do_not_hide_those_of_the_hosts(self):
        import monai.transforms

        for name in AUGMENTATIONS:
            for suffix in ("", "d", "D", "Dict"):
                assert not hasattr(monai.transforms, transform_name(name) + suffix)
            assert not hasattr(A, transform_name(name))

    @pytest.mark.parametrize("host", [for_monai, for_albumentations], ids=["monai", "albumentations"])
    @each_name
    def test_arguments(self, host, name, make, objects):
        kind = getattr(host, transform_name(name))
        with pytest.raises(ValueError, match="on_blank"):
            make(host, name, on_blank="ignore")
        for parameter in objects[name]:
            with pytest.raises(ParameterError, match=f"needs {parameter}"):
                kind()

    def test_presets_and_ranges(self):
        for host in (for_monai, for_albumentations):
            assert host.RandHSV(preset="strong").augmentation == AUGMENTATIONS["hsv"].preset("strong")
            assert host.RandHSV(hue=[-0.2, 0.1]).augmentation == AUGMENTATIONS["hsv"](hue=(-0.2, 0.1))
            with pytest.raises(ParameterError, match="sets hue"):
                host.RandHSV(preset="strong", hue=[0, 0])
            with pytest.raises(ParameterError, match="no preset 'huge'"):
                host.RandHSV(preset="huge")
        with pytest.raises(ParameterError, match="no parameter 'value'; it has: preset, hue, saturation"):
            for_monai.RandHSV(value=(0, 1))
        with pytest.warns(UserWarning, match="'value' are not valid"):
            for_albumentations.RandHSV(value=(0, 1))

    @pytest.mark.parametrize("value_range", [(1, 0), (0, float("nan"))])
    def test_a_wrong_value_range_is_noticed_at_once(self, value_range):
        with pytest.raises(ParameterError, match="value_range"):
            for_monai.RandHSVd("image", value_range=value_range)


class TestMONAI:
    @each_name
    def test_seeds_repeat_and_both_forms_draw_the_same(self, name, make, tiles):
        image, runs = chw(tiles[1][0]), []
        for _ in range(2):
            array, dictionary = make(for_monai, name), make(for_monai, name, "d", ["image"])
            array.set_random_state(3)
            dictionary.set_random_state(3)
            for _ in range(6):
                first, second = array(image), dictionary({"image": image})["image"]
                assert array.draw == dictionary.augment.draw
                np.testing.assert_array_equal(first, second)
                runs.append(array.draw)
        assert runs[:6] == runs[6:]
        assert None in runs
        assert any(draw is not None for draw in runs)

    def test_compose_and_set_random_state_by_state(self, make, tiles):
        image = chw(tiles[1][0])
        pipeline = Compose([make(for_monai, "hsv", prob=1), make(for_monai, "hed", prob=1)])
        results = [pipeline.set_random_state(seed)(image) for seed in (5, 5, 6)]
        np.testing.assert_array_equal(results[0], results[1])
        assert (results[0] != results[2]).any()
        draws = []
        for _ in range(2):
            transform = make(for_monai, "hsv", "d", "image", prob=1)
            assert transform.set_random_state(state=np.random.RandomState(1)) is transform
            transform({"image": image})
            draws.append(transform.augment.draw)
        assert draws[0] == draws[1]

    @each_name
    def test_no_other_random_state_is_touched(self, name, make, tiles):
        transform = make(for_monai, name, prob=1).set_random_state(0)
        other = make(for_albumentations, name, p=1)
        states = [np.random.get_state()[1].copy(), torch.get_rng_state(), random.getstate()]  # noqa: NPY002
        transform(chw(tiles[1][0]))
        other(image=tiles[1][0])
        assert np.array_equal(np.random.get_state()[1], states[0])  # noqa: NPY002
        assert torch.equal(torch.get_rng_state(), states[1])
        assert random.getstate() == states[2]

    @each_name
    def test_all_keys_get_one_draw_and_the_rest_is_left(self, name, make, tiles):
        transform = make(for_monai, name, "d", ["image", "context"], prob=1)
        mask = torch.ones(1, 4, 4)
        data = {"image": chw(tiles[1][0]), "context": chw(tiles[1][1]), "mask": mask, "label": 3}
        found = transform(data)
        assert found is not data
        assert (found["mask"] is mask, found["label"]) == (True, 3)
        augment = transform.augment
        for key, tile in (("image", tiles[1][0]), ("context", tiles[1][1])):
            np.testing.assert_array_equal(data[key], chw(tile))
            np.testing.assert_array_equal(hwc(found[key]), augment.augmentation(tile, augment.draw))

    def test_missing_keys(self, make, tiles):
        data = {"image": chw(tiles[1][0])}
        with pytest.raises(KeyError, match="context"):
            make(for_monai, "hsv", "d", ["image", "context"], prob=1)(data)
        found = make(for_monai, "hsv", "d", ["image", "context"], prob=1, allow_missing_keys=True)(data)
        assert found.keys() == data.keys()

    def test_probability(self, make, tiles):
        image = chw(tiles[1][0])
        assert make(for_monai, "hsv", prob=0)(image) is image
        transform = make(for_monai, "hsv").set_random_state(0)
        applied = sum(transform(image) is not image for _ in range(100))
        assert 30 < applied < 70

    def test_random_transforms_are_not_cached(self, make, tiles):
        transform = make(for_monai, "hsv", "d", "image", prob=1)
        assert isinstance(transform, RandomizableTrait)
        assert isinstance(transform, Randomizable)
        dataset = CacheDataset([{"image": chw(tiles[1][0])}], Compose([transform]), progress=False)
        assert (dataset[0]["image"] != dataset[0]["image"]).any()

    @pytest.mark.parametrize("prob", [0, 1])
    def test_meta_is_dropped_where_monai_tracks_none(self, make, tiles, prob):
        image = chw(tiles[1][0], meta_tensor)
        set_track_meta(False)
        try:
            result = make(for_monai, "hsv", prob=prob)(image)
        finally:
            set_track_meta(True)
        assert type(result) is torch.Tensor

    @pytest.mark.parametrize("shape", [(3, 4, 4, 4), (2, 2, 3, 4, 4), (4, 4), (4, 4, 4)], ids=str)
    def test_what_is_no_image_is_refused(self, make, shape):
        with pytest.raises(InvalidImageError, match="expected"):
            make(for_monai, "hsv", prob=1)(np.zeros(shape, np.uint8))

    @each_name
    @pytest.mark.parametrize("clone", CLONES)
    def test_copies_and_pickles(self, name, make, tiles, clone):
        transform = make(for_monai, name, "d", "image", prob=1).set_random_state(0)
        data = {"image": chw(tiles[1][0])}
        np.testing.assert_array_equal(clone(transform)(data)["image"], transform(data)["image"])

    @each_name
    def test_bundles(self, name, arguments, tiles):
        config = {
            "_target_": f"stainxform.monai.{transform_name(name)}d",
            "keys": "image",
            "prob": 1,
            **arguments[name],
        }
        parser = ConfigParser(json.loads(json.dumps({"transform": config})))
        transform = parser.get_parsed_content("transform")
        result = transform({"image": chw(tiles[1][0])})["image"]
        augment = transform.augment
        np.testing.assert_array_equal(hwc(result), augment.augmentation(tiles[1][0], augment.draw))

    def test_workers_draw_differently(self, make, tiles):
        transform = make(for_monai, "hsv", "d", "image", prob=1)
        dataset = Dataset([{"image": chw(tiles[1][0])}] * 8, Compose([transform]))
        loader = DataLoader(dataset, batch_size=1, num_workers=2, multiprocessing_context="fork")
        results = {batch["image"].numpy().tobytes() for batch in loader}
        assert len(results) == 8


class TestBlank:
    BLANK = np.full((16, 16, 3), 245, np.uint8)

    @pytest.mark.parametrize("name", ["stain_jitter", "randstainna", "style"])
    def test_blank_images(self, name, make):
        for host in (for_monai, for_albumentations):

            def run(on_blank, host=host):
                if host is for_monai:
                    return hwc(make(host, name, prob=1, on_blank=on_blank)(chw(self.BLANK)))
                return make(host, name, p=1, on_blank=on_blank)(image=self.BLANK)["image"]

            np.testing.assert_array_equal(run("keep"), self.BLANK)
            with pytest.warns(StainXformWarning, match="unchanged"):
                run("warn")
            with pytest.raises(NotEnoughTissueError):
                run("raise")


class Pipeline(torch.utils.data.Dataset):
    """A tile, augmented anew for each index."""

    def __init__(self, pipeline, tile):
        self.pipeline, self.tile = pipeline, tile

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return self.pipeline(image=self.tile)["image"]


def seed_worker(worker):
    torch.utils.data.get_worker_info().dataset.pipeline.set_random_seed(torch.initial_seed() % 2**32)


class TestAlbumentations:
    @each_name
    def test_seeds_repeat(self, name, make, tiles):
        runs = []
        for seed in (1, 1, 2):
            pipeline = A.Compose([make(for_albumentations, name, p=1)], seed=seed)
            runs.append(np.stack([pipeline(image=tiles[1][0])["image"] for _ in range(4)]))
        np.testing.assert_array_equal(runs[0], runs[1])
        assert name == "grayscale" or (runs[0] != runs[2]).any()

    @each_name
    def test_replay_through_json(self, name, make, tiles):
        pipeline = A.ReplayCompose([A.HorizontalFlip(p=0.5), make(for_albumentations, name, p=0.7)])
        for _ in range(4):
            first = pipeline(image=tiles[1][0])
            record = json.loads(json.dumps(first["replay"]))
            again = A.ReplayCompose.replay(record, image=tiles[1][0])
            np.testing.assert_array_equal(again["image"], first["image"])

    @each_name
    def test_serialization(self, name, make, tiles, tmp_path):
        pipeline = A.Compose([make(for_albumentations, name, p=1, on_blank="warn")], seed=4)
        record = json.loads(json.dumps(A.to_dict(pipeline)))
        A.save(pipeline, tmp_path / "pipeline.json")
        wanted = pipeline(image=tiles[1][0])["image"]
        for other in (A.from_dict(record), A.load(tmp_path / "pipeline.json")):
            assert A.to_dict(other) == record
            other.set_random_seed(4)
            np.testing.assert_array_equal(other(image=tiles[1][0])["image"], wanted)

    @pytest.mark.parametrize("name", ["randstainna", "style"])
    def test_paths_may_be_path_objects(self, name, arguments):
        def paths(value):
            return [Path(v) for v in value] if isinstance(value, list) else Path(value)

        given = {field: paths(value) for field, value in arguments[name].items()}
        record = A.to_dict(getattr(for_albumentations, transform_name(name))(**given))
        assert {field: record["transform"][field] for field in given} == arguments[name]

    def test_presets_survive_serialization(self):
        transform = A.from_dict(A.to_dict(for_albumentations.RandHED(preset="strong", cutoff=(0, 1))))
        assert transform.augmentation == AUGMENTATIONS["hed"].preset("strong", cutoff=(0, 1))

    @pytest.mark.parametrize("name", ["randstainna", "style"])
    def test_fitted_objects_must_be_saved_first(self, name, objects, tiles):
        transform = getattr(for_albumentations, transform_name(name))(**objects[name], p=1)
        assert transform(image=tiles[1][0])["image"].shape == tiles[1][0].shape
        for value in objects[name].values():
            assert isinstance(value if not isinstance(value, list) else value[0], ColorStatistics | Normalizer)
        with pytest.raises(ParameterError, match="save them and pass paths"):
            A.to_dict(transform)

    @each_name
    def test_images_of_a_call_get_one_draw_and_masks_none(self, name, make, tiles):
        transform = make(for_albumentations, name, p=1)
        pipeline = A.Compose([transform], additional_targets={"second": "image"})
        mask = tiles[1][0][..., 0]
        found = pipeline(image=tiles[1][0], second=tiles[1][1], mask=mask, images=tiles[1])
        augmentation, draw = transform.augmentation, transform.params["draw"]
        for key, tile in (("image", tiles[1][0]), ("second", tiles[1][1])):
            np.testing.assert_array_equal(found[key], augmentation(tile, draw))
        np.testing.assert_array_equal(found["images"], np.stack([augmentation(tile, draw) for tile in tiles[1]]))
        np.testing.assert_array_equal(found["mask"], mask)
        volume = transform(volume=tiles[1])["volume"]
        draw = transform.params["draw"]
        np.testing.assert_array_equal(volume, np.stack([augmentation(tile, draw) for tile in tiles[1]]))

    def test_probability(self, make, tiles):
        image = tiles[1][0]
        pipeline = A.Compose([make(for_albumentations, "hsv")], seed=0)
        applied = sum((pipeline(image=image)["image"] != image).any() for _ in range(100))
        assert 30 < applied < 70

    @each_name
    @pytest.mark.parametrize("clone", CLONES)
    def test_copies_and_pickles(self, name, make, tiles, clone):
        pipeline = A.Compose([make(for_albumentations, name, p=1)], seed=0)
        np.testing.assert_array_equal(clone(pipeline)(image=tiles[1][0])["image"], pipeline(image=tiles[1][0])["image"])

    def test_workers_draw_differently_when_seeded_apart(self, make, tiles):
        dataset = Pipeline(A.Compose([make(for_albumentations, "hsv", p=1)]), tiles[1][0])
        loader = torch.utils.data.DataLoader(
            dataset, batch_size=None, num_workers=2, multiprocessing_context="fork", worker_init_fn=seed_worker
        )
        assert len({image.numpy().tobytes() for image in loader}) == 8

    def test_repr(self, make):
        assert "preset='strong'" in repr(make(for_albumentations, "hed", preset="strong"))


@pytest.mark.parametrize("host", ["monai", "albumentations"])
def test_without_the_host_the_error_names_the_extra(monkeypatch, host):
    import importlib
    import sys

    name = f"stainxform.{host}"
    for module in [loaded for loaded in sys.modules if loaded == name or loaded.startswith(f"{name}.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "monai.transforms" if host == "monai" else host, None)
    with pytest.raises(MissingDependencyError, match=rf"pip install 'stainxform\[{host}\]'"):
        importlib.import_module(f"{name}.augment")
