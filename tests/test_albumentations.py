"""The albumentations transforms in albumentations' own machinery. What they share with the other hosts is in
test_contracts.
"""

from __future__ import annotations

import io
import json
import pickle
import sys
from pathlib import Path

import albumentations as A
import numpy as np
import pytest

import stainxform as sx
import stainxform.albumentations as host
from stainxform.errors import InvalidImageError, MissingDependencyError, ModelFileError, ParameterError


class TestClasses:
    @pytest.mark.parametrize("method", sx.methods())
    def test_every_method_has_its_transform(self, method):
        name = sx.methods()[method].path.rpartition(":")[2]
        kind = getattr(host, name)
        assert kind.method == method
        assert kind.get_class_fullname() == f"stainxform.albumentations.{name}"
        assert pickle.loads(pickle.dumps(kind)) is kind
        assert sx.methods()[method].source in kind.__doc__

    def test_a_transform_takes_models_of_its_method(self, normalizer, model_path, tiles):
        kind = getattr(host, type(normalizer).__name__)
        for model in (normalizer, model_path, Path(model_path)):
            np.testing.assert_array_equal(kind(model)(image=tiles[1][0])["image"], normalizer(tiles[1][0]))

    def test_a_transform_refuses_models_of_other_methods(self, normalizer, model_path):
        other = "Reinhard" if normalizer.method != "reinhard" else "Macenko"
        for model in (normalizer, model_path):
            with pytest.raises(ParameterError, match=f"{normalizer.method!r} model, not {other.lower()!r}"):
                getattr(host, other)(model)


class TestArguments:
    def test_a_missing_model_file_is_noticed_at_once(self, tmp_path):
        with pytest.raises(ModelFileError, match="typo"):
            host.StainNormalize(model=tmp_path / "typo.safetensors")

    @pytest.mark.parametrize("model", [None, 3, {"path": "x"}], ids=repr)
    def test_a_model_is_a_path_or_a_normalizer(self, model):
        with pytest.raises(ParameterError, match="path or a fitted Normalizer"):
            host.StainNormalize(model)

    def test_a_model_is_needed(self):
        with pytest.raises(ValueError, match=r"model\s+Field required"):
            host.Macenko()

    @pytest.mark.parametrize("arguments", [{"on_blank": "ignore"}, {"p": 2}], ids=str)
    def test_arguments_are_validated(self, macenko, arguments):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            host.StainNormalize(macenko, **arguments)

    def test_unknown_arguments_are_reported(self, macenko):
        with pytest.warns(UserWarning, match="'strength' are not valid"):
            host.StainNormalize(macenko, strength=1)
        with pytest.raises(ValueError, match="'strength' are not valid"):
            host.StainNormalize(macenko, strength=1, strict=True)

    def test_arguments_are_kept_under_their_names(self, macenko, macenko_path):
        transform = host.StainNormalize(Path(macenko_path), "raise", 0.5)
        assert (transform.model, transform.on_blank, transform.p) == (macenko_path, "raise", 0.5)
        assert host.StainNormalize(macenko).model is macenko


class TestTargets:
    def test_other_targets_are_left_alone(self, macenko, tiles):
        image, mask = tiles[1][0], tiles[1][0][..., 0]
        boxes, points = [[1.0, 2.0, 30.0, 40.0]], [[3.0, 4.0]]
        pipeline = A.Compose(
            [A.NoOp(), host.StainNormalize(macenko)],  # A.Compose wants a transform that knows boxes
            bbox_params=A.BboxParams("pascal_voc", label_fields=["labels"]),
            keypoint_params=A.KeypointParams("xy"),
        )
        found = pipeline(image=image, mask=mask, masks=[mask, mask], bboxes=boxes, labels=[7], keypoints=points)
        np.testing.assert_array_equal(found["image"], macenko(image))
        for untouched in (found["mask"], *found["masks"]):
            np.testing.assert_array_equal(untouched, mask)
        np.testing.assert_allclose(found["bboxes"], boxes, atol=1e-4)  # albumentations computes fractions and back
        np.testing.assert_array_equal(found["keypoints"], points)

    def test_additional_targets(self, macenko, tiles):
        pipeline = A.Compose([host.StainNormalize(macenko)], additional_targets={"second": "image"})
        found = pipeline(image=tiles[1][0], second=tiles[1][1])
        np.testing.assert_array_equal(found["second"], macenko(tiles[1][1]))

    @pytest.mark.parametrize("dtype", [np.uint8, np.float32])
    def test_stacks_are_normalized_image_by_image(self, normalizer, tiles, dtype):
        images = tiles[1] if dtype == np.uint8 else (tiles[1] / 255).astype(dtype)
        transform = host.StainNormalize(normalizer)
        wanted = np.stack([transform(image=image)["image"] for image in images])
        for compose in (transform, A.Compose([transform])):
            np.testing.assert_array_equal(compose(images=images)["images"], wanted)
            np.testing.assert_array_equal(compose(images=list(images))["images"], wanted)
            np.testing.assert_array_equal(compose(volume=images)["volume"], wanted)
            np.testing.assert_array_equal(compose(volumes=images[None])["volumes"], wanted[None])

    def test_gray_images_are_refused(self, macenko):
        for target, shape in (("image", (16, 16)), ("images", (2, 16, 16)), ("volume", (2, 16, 16))):
            with pytest.raises(InvalidImageError, match="expected an RGB image"):
                A.Compose([host.StainNormalize(macenko)])(**{target: np.zeros(shape, np.uint8)})

    def test_probability(self, macenko, tiles):
        image, wanted = tiles[1][0], macenko(tiles[1][0])
        assert host.StainNormalize(macenko).p == 1
        np.testing.assert_array_equal(host.StainNormalize(macenko, p=0)(image=image)["image"], image)
        pipeline = A.Compose([host.StainNormalize(macenko, p=0.5)], seed=0)
        applied = [(pipeline(image=image)["image"] == wanted).all() for _ in range(20)]
        assert 0 < sum(applied) < 20


class TestSerialization:
    def test_to_dict_holds_the_arguments_and_nothing_else(self, macenko_path):
        record = A.to_dict(host.Macenko(Path(macenko_path), on_blank="warn", p=0.5))["transform"]
        assert record == {
            "__class_fullname__": "stainxform.albumentations.Macenko",
            "model": macenko_path,
            "on_blank": "warn",
            "p": 0.5,
            "group_key": None,
        }

    def test_round_trips(self, normalizer, model_path, tiles, tmp_path):
        kind = getattr(host, type(normalizer).__name__)
        pipeline = A.Compose([A.HorizontalFlip(p=1), kind(model_path), host.StainNormalize(model_path, "raise")])
        wanted = pipeline(image=tiles[1][0])["image"]
        record = json.loads(json.dumps(A.to_dict(pipeline)))
        restored = [A.from_dict(record)]
        for data_format in ("json", "yaml"):
            A.save(pipeline, tmp_path / "pipeline", data_format)
            restored.append(A.load(tmp_path / "pipeline", data_format))
        for other in restored:
            assert [type(t) for t in other.transforms] == [A.HorizontalFlip, kind, host.StainNormalize]
            assert A.to_dict(other) == record
            np.testing.assert_array_equal(other(image=tiles[1][0])["image"], wanted)

    def test_replay(self, macenko_path, tiles):
        pipeline = A.ReplayCompose([A.HorizontalFlip(p=0.5), host.StainNormalize(macenko_path, p=0.5)])
        for _ in range(8):
            first = pipeline(image=tiles[1][0])
            again = A.ReplayCompose.replay(json.loads(json.dumps(first["replay"])), image=tiles[1][0])
            np.testing.assert_array_equal(again["image"], first["image"])

    def test_a_normalizer_object_must_be_saved_first(self, macenko):
        pipeline = A.Compose([host.Macenko(macenko)])
        for serialize in (A.to_dict, lambda p: A.save(p, io.StringIO()), lambda p: A.to_dict(p, "warn")):
            with pytest.raises(ParameterError, match=r"save it with normalizer\.save\(path\) and pass model=path"):
                serialize(pipeline)

    def test_so_must_one_that_is_replayed(self, macenko, tiles):
        with pytest.raises(ParameterError, match="save it"):
            A.ReplayCompose([host.Macenko(macenko)])(image=tiles[1][0])

    def test_repr(self, macenko, macenko_path):
        assert f"model='{macenko_path}'" in repr(A.Compose([host.Macenko(macenko_path)]))
        assert "model=Macenko(" in repr(host.Macenko(macenko))


def test_without_albumentations_the_error_names_the_extra(monkeypatch):
    monkeypatch.delitem(sys.modules, "stainxform.albumentations")
    monkeypatch.setitem(sys.modules, "albumentations", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'stainxform\[albumentations\]'"):
        import stainxform.albumentations  # noqa: F401
