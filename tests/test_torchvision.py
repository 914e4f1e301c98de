"""The torchvision transforms in torchvision's own machinery. What they share with the other hosts is in test_contracts,
which covers them where torchvision can be imported.
"""

from __future__ import annotations

import copy
import inspect
import json
import pickle

import numpy as np
import pytest
import torch
from augment_cases import fitted
from contracts import PIXELS, arrange
from PIL import Image

import stainxform as sx
from stainxform._hosts.augment import parameter_names, transform_name
from stainxform._optional import is_tensor
from stainxform.augment import AUGMENTATIONS
from stainxform.errors import (
    InvalidImageError,
    ModelFileError,
    NotEnoughTissueError,
    ParameterError,
    StainXformWarning,
)
from stainxform.testing import blank_image, in_range

v2 = pytest.importorskip("torchvision.transforms.v2")
tv_tensors = pytest.importorskip("torchvision.tv_tensors")
host = pytest.importorskip("stainxform.torchvision")

each_name = pytest.mark.parametrize("name", AUGMENTATIONS)
CLONES = [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]


@pytest.fixture
def image(tiles) -> tv_tensors.Image:
    return tv_tensors.Image(arrange(tiles[1], "CHW"))


@pytest.fixture
def video(tiles) -> tv_tensors.Video:
    return tv_tensors.Video(arrange(tiles[1], "NCHW"))


@pytest.fixture
def sample(image, video) -> dict:
    """A sample with everything that torchvision knows."""
    size = tuple(image.shape[-2:])
    return {
        "image": image,
        "more": [video, {"tensor": torch.rand(3, 8, 8)}],
        "mask": tv_tensors.Mask(torch.ones(3, *size, dtype=torch.uint8)),
        "boxes": tv_tensors.BoundingBoxes(torch.tensor([[1.0, 2, 30, 40]]), format="XYXY", canvas_size=size),
        "label": 7,
        "name": "tile",
    }


@pytest.fixture
def augment(tiles):
    """A transform by augmentation: ``augment("hsv", p=1)``."""
    return lambda name, **more: getattr(host, transform_name(name))(**fitted(name, *tiles), **more)


def array(image):
    return np.moveaxis(image.as_subclass(torch.Tensor).numpy(), -3, -1)


def check_the_rest_is_left(found, sample):
    assert found["more"][1]["tensor"] is sample["more"][1]["tensor"]
    for name in ("mask", "boxes", "label", "name"):
        assert found[name] is sample[name]


class TestNormalize:
    @pytest.mark.parametrize("method", sx.methods())
    def test_every_method_has_its_transform(self, method):
        kind = getattr(host, sx.methods()[method].path.rpartition(":")[2])
        assert kind.method == method
        assert pickle.loads(pickle.dumps(kind)) is kind
        assert sx.methods()[method].source in kind.__doc__

    def test_a_transform_takes_models_of_its_method(self, normalizer, model_path, tiles, image):
        kind = getattr(host, type(normalizer).__name__)
        for model in (normalizer, model_path):
            np.testing.assert_array_equal(array(kind(model)(image)), normalizer(tiles[1][0]))
        other = "Reinhard" if normalizer.method != "reinhard" else "Macenko"
        with pytest.raises(ParameterError, match=f"{normalizer.method!r} model, not {other.lower()!r}"):
            getattr(host, other)(model_path)

    def test_arguments(self, macenko, tmp_path):
        with pytest.raises(ModelFileError, match="typo"):
            host.StainNormalize(tmp_path / "typo.safetensors")
        with pytest.raises(ParameterError, match="on_blank"):
            host.StainNormalize(macenko, on_blank="ignore")
        with pytest.raises(ParameterError, match="value_range"):
            host.StainNormalize(macenko, value_range=(1, 0))

    def test_images_and_videos_are_normalized_and_the_rest_is_left(self, macenko, tiles, sample):
        before = copy.deepcopy(sample)
        found = v2.Compose([host.StainNormalize(macenko)])(sample)
        assert type(found["image"]) is tv_tensors.Image
        assert type(found["more"][0]) is tv_tensors.Video
        np.testing.assert_array_equal(array(found["image"]), macenko(tiles[1][0]))
        np.testing.assert_array_equal(array(found["more"][0]), np.stack([macenko(tile) for tile in tiles[1]]))
        check_the_rest_is_left(found, sample)
        assert torch.equal(sample["image"], before["image"])
        assert torch.equal(sample["more"][0], before["more"][0])

    def test_every_frame_of_a_video_by_itself(self, normalizer, tiles, video):
        result = host.StainNormalize(normalizer)(video)
        assert type(result) is tv_tensors.Video
        np.testing.assert_array_equal(array(result), np.stack([normalizer(tile) for tile in tiles[1]]))

    def test_without_an_image_the_first_tensor_is_one(self, macenko, tiles):
        tensor, other = torch.from_numpy(arrange(tiles[1], "CHW")), torch.zeros(72, 56)
        found, left, label = host.StainNormalize(macenko)(tensor, other, 3)
        np.testing.assert_array_equal(array(found), macenko(tiles[1][0]))
        assert left is other
        assert label == 3

    def test_pil_images(self, macenko, tiles):
        found = host.StainNormalize(macenko)(Image.fromarray(tiles[1][0]))
        assert isinstance(found, Image.Image)
        np.testing.assert_array_equal(np.asarray(found), macenko(tiles[1][0]))
        with pytest.raises(InvalidImageError, match="PIL image of mode L"):
            host.StainNormalize(macenko)(Image.new("L", (8, 8)))

    def test_after_conversion_to_floats(self, macenko, tiles, image):
        pipeline = v2.Compose([v2.ToDtype(torch.float32, scale=True), host.StainNormalize(macenko)])
        wanted = macenko(array(v2.ToDtype(torch.float32, scale=True)(image)))
        np.testing.assert_array_equal(array(pipeline(image)), wanted)

    @pytest.mark.parametrize("group", ["a", "b", 3, np.int64(3), torch.tensor(3), None, "never seen"], ids=repr)
    def test_each_sample_of_a_calibration_gets_the_map_of_its_group(self, bridge, bridge_path, tiles, sample, group):
        key = int(group) if is_tensor(group) else group
        for model in (bridge, bridge_path):
            transform = host.Transport(model, group_key="slide")
            given = sample | {"slide": group}
            for call in (transform, v2.Compose([transform]), pickle.loads(pickle.dumps(transform))):
                found = call(given)
                np.testing.assert_array_equal(array(found["image"]), bridge(tiles[1][0], group=key))
                np.testing.assert_array_equal(array(found["more"][0]), bridge(tiles[1], group=key))
                assert found["slide"] is group
                check_the_rest_is_left(found, given)
            image, _ = transform(sample["image"], {"slide": group})
            np.testing.assert_array_equal(array(image), bridge(tiles[1][0], group=key))
            image, _ = transform((sample["image"], {"slide": group}))
            np.testing.assert_array_equal(array(image), bridge(tiles[1][0], group=key))

    def test_groups_that_cannot_be_told(self, bridge, macenko, sample, image):
        transform = host.StainNormalize(bridge, group_key="slide")
        for given in (sample, image, (image, 3)):
            with pytest.raises(KeyError, match="group_key='slide' is not in the data"):
                transform(given)
        with pytest.raises(ParameterError, match="a group is one name"):
            transform(sample | {"slide": ["a", "b"]})
        with pytest.raises(ParameterError, match="needs a calibration, and this is a 'macenko' model"):
            host.StainNormalize(macenko, group_key="slide")
        with pytest.warns(StainXformWarning, match="keep_groups=True"):
            host.StainNormalize(bridge.for_group("a"), group_key="slide")

    def test_blank_images_of_a_calibration_are_mapped(self, bridge):
        blank = blank_image()
        found = host.StainNormalize(bridge)(tv_tensors.Image(arrange(blank[None], "CHW")))
        np.testing.assert_array_equal(array(found), bridge.fixed_map(blank))

    def test_repr(self, macenko_path):
        assert f"model={macenko_path}" in repr(host.Macenko(macenko_path))


class TestAugment:
    @pytest.mark.parametrize(("dtype", "value_range"), PIXELS, ids=str)
    @each_name
    def test_the_same_draw_gives_the_same_pixels_as_everywhere(self, name, augment, tiles, dtype, value_range):
        transform = augment(name, p=1, value_range=value_range)
        tile = in_range(tiles[1][0], dtype, value_range)
        draw = transform.augmentation.sample(np.random.default_rng(6))
        wanted = transform.augmentation(tile, draw, value_range=value_range)
        for kind in (torch.from_numpy, tv_tensors.Image):
            given = kind(arrange(tile[None], "CHW"))
            result = transform.transform(given, {"draw": draw})
            assert type(result) is type(given)
            assert result.dtype == given.dtype
            np.testing.assert_array_equal(array(result), wanted)

    @each_name
    def test_one_draw_for_all_images_and_frames(self, name, augment, tiles, sample, monkeypatch):
        transform, draws = augment(name, p=1), []
        make = transform.make_params
        monkeypatch.setattr(transform, "make_params", lambda flat: draws.append(make(flat)) or draws[-1])
        found = v2.Compose([transform])(sample)
        ((draw,),) = (params.values() for params in draws)
        assert json.loads(json.dumps(draw)) == draw
        for key, tile in (("image", tiles[1][0]), ("video", tiles[1])):
            result = found["image"] if key == "image" else found["more"][0]
            np.testing.assert_array_equal(array(result), transform.augmentation(tile, draw))
        check_the_rest_is_left(found, sample)

    @each_name
    def test_torchs_seed_repeats_and_no_other_is_touched(self, name, augment, image):
        transform, state, results = augment(name, p=1), np.random.get_state()[1].copy(), []  # noqa: NPY002
        for seed in (1, 1, 2, 3, 4):
            torch.manual_seed(seed)
            results.append(transform(image))
        assert torch.equal(results[0], results[1])
        assert name == "grayscale" or not all(torch.equal(results[0], other) for other in results[2:])
        assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002

    def test_probability(self, augment, image):
        assert augment("hsv", p=0)(image) is image
        assert isinstance(augment("hsv", p=0)(Image.new("RGB", (4, 4))), Image.Image)
        torch.manual_seed(0)
        transform = augment("hsv")
        assert 30 < sum(transform(image) is not image for _ in range(100)) < 70
        with pytest.raises(ParameterError, match="probability"):
            augment("hsv", p=2)

    def test_draws_fill_their_interval(self):
        numbers = [host.augment.TorchRandom().uniform(-2, 4) for _ in range(500)]
        assert -2 <= min(numbers) < -1.9
        assert 3.9 < max(numbers) <= 4
        assert abs(np.mean(numbers) - 1) < 0.3

    @each_name
    def test_arguments(self, name, tiles):
        transform, kind = getattr(host, transform_name(name)), AUGMENTATIONS[name]
        assert kind.source in transform.__doc__
        assert pickle.loads(pickle.dumps(transform)) is transform
        assert set(parameter_names(kind)) <= set(inspect.signature(transform).parameters)
        assert not hasattr(v2, transform.__name__)
        for parameter in fitted(name, *tiles):
            with pytest.raises(ParameterError, match=f"needs {parameter}"):
                transform()
        with pytest.raises(ParameterError, match="no parameter 'strength'"):
            transform(strength=1)

    @each_name
    @pytest.mark.parametrize("clone", CLONES)
    def test_copies_and_pickles(self, name, augment, image, clone):
        transform, results = augment(name, p=1), []
        for one in (transform, clone(transform)):
            torch.manual_seed(0)
            results.append(one(image))
        assert torch.equal(*results)

    @pytest.mark.parametrize("name", ["stain_jitter", "randstainna", "style"])
    def test_blank_images(self, name, augment):
        blank = tv_tensors.Image(torch.full((3, 16, 16), 245, dtype=torch.uint8))
        assert torch.equal(augment(name, p=1)(blank), blank)
        with pytest.warns(StainXformWarning, match="unchanged"):
            augment(name, p=1, on_blank="warn")(blank)
        with pytest.raises(NotEnoughTissueError):
            augment(name, p=1, on_blank="raise")(blank)

    def test_workers_draw_differently(self, augment, image):
        dataset = Repeated(augment("hsv", p=1), image)
        loader = torch.utils.data.DataLoader(dataset, batch_size=None, num_workers=2, multiprocessing_context="fork")
        assert len({result.numpy().tobytes() for result in loader}) == 8


class Repeated(torch.utils.data.Dataset):
    """An image, augmented anew for each index."""

    def __init__(self, transform, image):
        self.transform, self.image = transform, image

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return self.transform(self.image).as_subclass(torch.Tensor)
