"""The MONAI transforms in MONAI's own machinery. What they share with the other hosts is in test_contracts."""

from __future__ import annotations

import pickle
import sys

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import CacheDataset, DataLoader, MetaTensor, PersistentDataset, decollate_batch, set_track_meta
from monai.data.utils import pickle_hashing
from monai.transforms import (
    Compose,
    Flipd,
    GridPatchd,
    LoadImaged,
    MapTransform,
    RandFlipd,
    RandomizableTrait,
    Rotate90d,
    ScaleIntensityRanged,
    Spacingd,
    Transform,
)
from PIL import Image

import stainxform as sx
import stainxform.monai as host
from stainxform.errors import InvalidImageError, MissingDependencyError, ModelFileError, ParameterError
from stainxform.image.layout import as_numpy


@pytest.fixture
def image(tiles):
    """A MetaTensor as LoadImage yields it: float32 in 0..255, with meta and one operation applied."""
    return MetaTensor(
        torch.tensor(np.moveaxis(tiles[1][0], -1, 0), dtype=torch.float32),
        meta={"filename_or_obj": "tile.png", "stain": ["H", "E"]},
        applied_operations=[{"class": "Flip"}],
    )


@pytest.fixture
def files(tiles, tmp_path):
    """The other center's tiles as files, as a MONAI data list."""
    paths = [tmp_path / f"{i}.png" for i in range(len(tiles[1]))]
    for tile, path in zip(tiles[1], paths, strict=True):
        Image.fromarray(tile).save(path)
    return [{"image": str(path), "label": i} for i, path in enumerate(paths)]


@pytest.fixture
def counted(monkeypatch):
    """Count the images that are normalized."""
    calls = []
    original = host.StainNormalize.__call__
    monkeypatch.setattr(
        host.StainNormalize, "__call__", lambda self, *given: calls.append(given[0]) or original(self, *given)
    )
    return calls


def load():
    return LoadImaged("image", ensure_channel_first=True)


class TestClasses:
    @pytest.mark.parametrize("method", sx.methods())
    def test_every_method_has_its_transforms(self, method):
        name = sx.methods()[method].path.rpartition(":")[2]
        array, dictionary = getattr(host, name), getattr(host, f"{name}d")
        assert getattr(host, f"{name}D") is getattr(host, f"{name}Dict") is dictionary
        assert array.method == method
        assert dictionary.array is array
        for kind in (array, dictionary):
            assert pickle.loads(pickle.dumps(kind)) is kind
            assert kind.__module__ == "stainxform.monai"
            assert sx.methods()[method].source in kind.__doc__

    def test_the_general_transform_has_the_three_names(self):
        assert host.StainNormalizeD is host.StainNormalizeDict is host.StainNormalized

    def test_they_are_deterministic_monai_transforms(self):
        assert issubclass(host.StainNormalize, Transform)
        assert issubclass(host.StainNormalized, MapTransform)
        for kind in (host.StainNormalize, host.StainNormalized):
            assert not issubclass(kind, RandomizableTrait)
            assert kind.backend

    def test_a_transform_takes_models_of_its_method(self, normalizer, model_path, image):
        name = sx.methods()[normalizer.method].path.rpartition(":")[2]
        wanted = host.StainNormalize(normalizer)(image)
        for model in (normalizer, model_path):
            torch.testing.assert_close(getattr(host, name)(model)(image), wanted, rtol=0, atol=0)
            result = getattr(host, f"{name}d")("image", model)({"image": image})
            torch.testing.assert_close(result["image"], wanted, rtol=0, atol=0)

    def test_a_transform_refuses_models_of_other_methods(self, normalizer, model_path):
        other = "Reinhard" if normalizer.method != "reinhard" else "Macenko"
        for model in (normalizer, model_path):
            with pytest.raises(ParameterError, match=f"{normalizer.method!r} model, not {other.lower()!r}"):
                getattr(host, other)(model)
            with pytest.raises(ParameterError, match="StainNormalize takes any"):
                getattr(host, f"{other}d")("image", model)


class TestArguments:
    def test_a_missing_model_file_is_noticed_at_once(self, tmp_path):
        with pytest.raises(ModelFileError, match="typo"):
            host.StainNormalized("image", model=tmp_path / "typo.safetensors")

    @pytest.mark.parametrize("model", [None, 3, {"path": "x"}], ids=repr)
    def test_a_model_is_a_path_or_a_normalizer(self, model):
        with pytest.raises(ParameterError, match="path or a fitted Normalizer"):
            host.StainNormalize(model)

    @pytest.mark.parametrize("value_range", [(1, 0), (0, float("nan"))], ids=repr)
    def test_a_wrong_value_range_is_noticed_at_once(self, macenko, value_range):
        with pytest.raises(ParameterError, match="value_range"):
            host.StainNormalize(macenko, value_range=value_range)

    def test_a_wrong_on_blank_is_noticed_at_once(self, macenko):
        with pytest.raises(ParameterError, match="on_blank"):
            host.StainNormalize(macenko, on_blank="ignore")


class TestImages:
    def test_meta_and_history_are_kept(self, macenko, image):
        result = host.StainNormalize(macenko)(image)
        assert isinstance(result, MetaTensor)
        assert result.meta["filename_or_obj"] == "tile.png"
        assert result.meta["stain"] == ["H", "E"]
        assert result.applied_operations == [{"class": "Flip"}]
        torch.testing.assert_close(result.affine, image.affine)

    def test_the_meta_of_a_result_is_its_own(self, macenko, image):
        host.StainNormalize(macenko)(image).meta["filename_or_obj"] = "other.png"
        assert image.meta["filename_or_obj"] == "tile.png"

    def test_meta_is_kept_with_gradients(self, macenko, image):
        leaf = image.requires_grad_()
        result = host.StainNormalize(macenko)(leaf)
        assert result.meta["filename_or_obj"] == "tile.png"
        result.sum().backward()
        assert leaf.grad.abs().sum() > 0

    def test_a_plain_tensor_comes_back_where_meta_is_not_tracked(self, macenko, image):
        wanted = host.StainNormalize(macenko)(image).as_tensor()
        set_track_meta(False)
        try:
            result = host.StainNormalize(macenko)(image)
        finally:
            set_track_meta(True)
        assert type(result) is torch.Tensor
        torch.testing.assert_close(result, wanted, rtol=0, atol=0)

    def test_an_8_bit_image_needs_no_range(self, macenko, tiles):
        tile = np.moveaxis(tiles[1][0], -1, 0)
        np.testing.assert_array_equal(
            host.StainNormalize(macenko, value_range=(0, 1))(tile), np.moveaxis(macenko(tiles[1][0]), -1, 0)
        )

    def test_the_range_is_not_guessed(self, macenko, image):
        with pytest.raises(InvalidImageError, match=r"pass value_range=\(0, 1\)"):
            host.StainNormalize(macenko)(image / 255)
        with pytest.raises(InvalidImageError, match="pass the true value_range"):
            host.StainNormalize(macenko, value_range=(0, 1))(image)

    @pytest.mark.parametrize("shape", [(1, 16, 16, 8), (3, 16, 16, 8), (2, 2, 3, 16, 16), (16, 16)], ids=str)
    def test_volumes_are_refused(self, macenko, shape):
        for image in (np.zeros(shape, np.float32), torch.zeros(shape), MetaTensor(torch.zeros(shape))):
            with pytest.raises(InvalidImageError, match=r"channel-first RGB image \(3, H, W\)"):
                host.StainNormalize(macenko)(image)

    @pytest.mark.parametrize("track", [True, False])
    def test_patches_of_a_grid(self, normalizer, tiles, track):
        """As in MONAI's pipelines of multiple instance learning."""
        grid = GridPatchd("image", (36, 28))
        image = MetaTensor(np.moveaxis(tiles[1][0], -1, 0).astype(np.float32), meta={"slide": 3})
        set_track_meta(track)
        try:
            patches = Compose([grid])({"image": image})["image"]
            found = Compose([grid, host.StainNormalized("image", normalizer)])({"image": image})["image"]
        finally:
            set_track_meta(True)
        assert found.shape == patches.shape == (4, 3, 36, 28)
        for before, after in zip(as_numpy(patches), as_numpy(found), strict=True):
            wanted = normalizer(before, value_range=(0, 255), channel_axis=-3)
            np.testing.assert_array_equal(after, wanted)
        if track:
            assert (type(found), found.meta.keys()) == (MetaTensor, patches.meta.keys())
            assert found.applied_operations == patches.applied_operations

    def test_the_group_of_patches(self, bridge, tiles):
        stacked = np.moveaxis(tiles[1], -1, -3).copy()
        transform = host.StainNormalized("image", bridge, value_range=(0, 1), group_key="slide")
        for group in ("a", "b", None):
            found = transform({"image": torch.from_numpy(stacked), "slide": group})["image"]
            np.testing.assert_array_equal(np.moveaxis(found.numpy(), -3, -1), bridge(tiles[1], group=group))

    def test_lazy_pipelines(self, macenko, tiles):
        """What waits to be done to an image is done before it is normalized."""
        image = MetaTensor(np.moveaxis(tiles[1][0], -1, 0).astype(np.float32))
        turn, normalize = Rotate90d("image", spatial_axes=(0, 1)), host.StainNormalized("image", macenko)
        eager, lazy = (Compose([turn, normalize], lazy=lazy)({"image": image})["image"] for lazy in (False, True))
        np.testing.assert_array_equal(eager.numpy(), lazy.numpy())

    @pytest.mark.parametrize("channels", [0, 1, 2, 4])
    def test_other_numbers_of_channels_are_refused(self, macenko, channels):
        with pytest.raises(InvalidImageError, match="expected an RGB image"):
            host.StainNormalize(macenko)(torch.zeros(channels, 16, 16))

    @pytest.mark.parametrize("image", [None, "tile.png", [1, 2, 3]], ids=repr)
    def test_what_is_no_array_is_refused(self, macenko, image):
        with pytest.raises(InvalidImageError, match="expected a numpy array or a torch tensor"):
            host.StainNormalize(macenko)(image)


class TestDictionaries:
    def test_only_the_keys_are_touched(self, macenko, image):
        data = {"image": image, "second": image.clone(), "mask": image.clone(), "label": 3}
        before = dict(data)
        result = host.StainNormalized(["image", "second"], macenko)(data)
        assert data == before
        assert result["mask"] is data["mask"]
        assert result["label"] == 3
        wanted = host.StainNormalize(macenko)(image)
        for key in ("image", "second"):
            torch.testing.assert_close(result[key], wanted, rtol=0, atol=0)

    def test_missing_keys(self, macenko, image):
        with pytest.raises(KeyError, match="other"):
            host.StainNormalized(["image", "other"], macenko)({"image": image})
        lenient = host.StainNormalized(["image", "other"], macenko, allow_missing_keys=True)
        assert list(lenient({"image": image})) == ["image"]

    def test_arguments_reach_the_array_form(self, macenko):
        transform = host.Macenkod("image", macenko, (0, 1), "raise", True)
        assert isinstance(transform.normalize, host.Macenko)
        assert (transform.normalize.value_range, transform.normalize.on_blank) == ((0, 1), "raise")
        assert transform.allow_missing_keys


class TestPipelines:
    def test_from_file_to_batch(self, normalizer, model_path, files, tiles):
        pipeline = Compose([load(), host.StainNormalized("image", model=model_path)])
        loader = DataLoader(CacheDataset(files, pipeline, progress=False, num_workers=None), batch_size=2)
        for batch in loader:
            assert batch["image"].dtype == torch.float32
            for result, label in zip(decollate_batch(batch["image"]), batch["label"], strict=True):
                transposed = np.swapaxes(tiles[1][int(label)], 0, 1)  # MONAI's PIL reader yields (3, W, H)
                wanted = normalizer(transposed.astype(np.float32), value_range=(0, 255))
                np.testing.assert_array_equal(np.moveaxis(result.numpy(), 0, -1), wanted)
                assert result.meta["filename_or_obj"] == files[int(label)]["image"]

    def test_upright_images_give_the_direct_result(self, normalizer, files, tiles):
        upright = LoadImaged("image", ensure_channel_first=True, reverse_indexing=False)
        result = Compose([upright, host.StainNormalized("image", normalizer)])(files[0])["image"]
        wanted = normalizer(tiles[1][0].astype(np.float32), value_range=(0, 255))
        np.testing.assert_array_equal(np.moveaxis(result.numpy(), 0, -1), wanted)

    def test_after_scaling(self, macenko, files):
        scale = ScaleIntensityRanged("image", 0, 255, 0, 1)
        scaled = Compose([load(), scale, host.StainNormalized("image", macenko, value_range=(0, 1))])(files[0])
        plain = Compose([load(), host.StainNormalized("image", macenko)])(files[0])
        torch.testing.assert_close(scaled["image"] * 255, plain["image"], rtol=0, atol=1e-2)

    def test_lazy_resampling_is_done_before_it(self, macenko, files):
        resample = [load(), Flipd("image", 0), Spacingd("image", (0.5, 0.5), padding_mode="border")]
        normalize = host.StainNormalized("image", macenko)
        result = Compose([*resample, normalize], lazy=True)(files[0])["image"]
        assert not result.pending_operations
        wanted = normalize(Compose(resample, lazy=True)(files[0]))["image"]
        torch.testing.assert_close(result, wanted, rtol=0, atol=0)

    def test_what_came_before_it_can_be_inverted(self, macenko, files):
        normalize = host.StainNormalized("image", macenko)
        pipeline = Compose([load(), Flipd("image", 0), normalize])
        wanted = Compose([load(), normalize])(files[0])["image"]
        torch.testing.assert_close(pipeline.inverse(pipeline(files[0]))["image"], wanted, rtol=0, atol=1e-2)

    def test_a_cache_dataset_caches_it(self, macenko, files, counted):
        pipeline = Compose([load(), host.StainNormalized("image", macenko), RandFlipd("image", prob=0.5)])
        dataset = CacheDataset(files, pipeline, progress=False, num_workers=None)
        for _ in range(2):
            for i in range(len(dataset)):
                dataset[i]
        assert len(counted) == len(files)

    def test_a_persistent_dataset_caches_it_by_model(self, normalizers, files, tmp_path, counted):
        macenko, reinhard = normalizers["macenko"], normalizers["reinhard"]
        macenko.save(tmp_path / "macenko.safetensors")

        def read(model):
            pipeline = Compose([load(), host.StainNormalized("image", model)])
            dataset = PersistentDataset(files, pipeline, tmp_path / "cache", hash_transform=pickle_hashing)
            return [dataset[i]["image"] for i in range(len(dataset))]

        first, again = (read(tmp_path / "macenko.safetensors") for _ in range(2))
        assert len(counted) == len(files)
        for one, other in zip(first, again, strict=True):
            torch.testing.assert_close(torch.as_tensor(one), torch.as_tensor(other), rtol=0, atol=0)
        read(reinhard)
        assert len(counted) == 2 * len(files)

    def test_its_hash_depends_on_the_model_not_on_the_file_or_on_use(self, normalizer, model_path, tmp_path, image):
        normalizer.save(tmp_path / "copy.safetensors")
        transform, other = host.StainNormalize(model_path), host.StainNormalize(tmp_path / "copy.safetensors")
        before = pickle_hashing(transform)
        transform(image)
        assert pickle_hashing(transform) == before == pickle_hashing(other)
        assert pickle_hashing(host.StainNormalize(model_path, on_blank="raise")) != before

    def test_a_bundle_names_it_in_full(self, normalizer, model_path, files):
        name = sx.methods()[normalizer.method].path.rpartition(":")[2]
        config = {
            "path": model_path,
            "pipeline": {
                "_target_": "Compose",
                "transforms": [
                    {"_target_": "LoadImaged", "keys": "image", "ensure_channel_first": True},
                    {
                        "_target_": f"stainxform.monai.{name}d",
                        "keys": "image",
                        "model": "@path",
                        "value_range": [0, 255],
                    },
                ],
            },
        }
        pipeline = ConfigParser(config).get_parsed_content("pipeline")
        wanted = Compose([load(), host.StainNormalized("image", normalizer)])(files[0])["image"]
        torch.testing.assert_close(pipeline(files[0])["image"], wanted, rtol=0, atol=0)


def test_without_monai_the_error_names_the_extra(monkeypatch):
    monkeypatch.delitem(sys.modules, "stainxform.monai")
    monkeypatch.setitem(sys.modules, "monai.transforms", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'stainxform\[monai\]'"):
        import stainxform.monai  # noqa: F401
