"""ColorNormNet: the paper's 2,352 parameters, offsets that are known, and the fixed Lab shift that is applied."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from strategies import blank_image, he_image  # noqa: E402
from training import count, killed_and_resumed, same_weights  # noqa: E402

import stainxform as sx  # noqa: E402
from stainxform.color import CIELab  # noqa: E402
from stainxform.errors import ModelFileError, NotEnoughTissueError, ParameterError, TrainingError  # noqa: E402
from stainxform.image.tissue import tissue_mask  # noqa: E402
from stainxform.maps import ChannelAffineMap  # noqa: E402
from stainxform.maps.lut3d import bake, bake_error  # noqa: E402
from stainxform.normalizers.colornormnet import normalizer as module  # noqa: E402
from stainxform.normalizers.colornormnet.network import ColorNormNetwork, DenseBlock  # noqa: E402
from stainxform.normalizers.colornormnet.normalizer import ColorNormNet  # noqa: E402
from stainxform.normalizers.colornormnet.settings import ColorNormNetSettings  # noqa: E402
from stainxform.normalizers.colornormnet.training import ColorNormNetTask, offset_loss  # noqa: E402
from stainxform.samples import pair  # noqa: E402

SMALL = {"steps": 6, "batch": 2, "crop": 32, "validate_every": 2, "device": "cpu", "progress": False}


@pytest.fixture(scope="module")
def tiles():
    return pair(n=4, size=48, centers=("a", "b"), seed=3)[0]


@pytest.fixture(scope="module")
def fitted(tiles):
    return sx.fit_center(tiles, "colornormnet", **SMALL)


def lab(image):
    return CIELab().from_rgb(np.moveaxis(np.asarray(image, float) / 255, -1, 0))


class Knows(torch.nn.Module):
    """Stands for a perfect network: answers with the difference of each pixel's a, b from (10, -5)."""

    max_offset = 20.0

    def __init__(self):
        super().__init__()
        self.here = torch.nn.Parameter(torch.zeros(1))

    def forward(self, lab):
        return lab - torch.tensor([0.0, 10.0, -5.0])[:, None, None]


# ---------------------------------------------------------------- the network


def test_the_network_has_exactly_the_papers_parameters():
    net = ColorNormNetwork()
    assert count(net) == 2_352
    assert [count(block) for block in net.blocks] == [588] * 4
    convolutions = [layer for layer in net.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert len(convolutions) == 16
    assert {layer.out_channels for layer in convolutions} == {3}
    assert [block.convs[0].dilation for block in net.blocks] == [(1, 1), (2, 2), (4, 4), (1, 1)]


def test_the_receptive_field_is_57_pixels_and_the_size_is_kept():
    net = ColorNormNetwork().eval()
    image = torch.rand(1, 3, 81, 83, requires_grad=True)
    found = net(image)
    assert found.shape == image.shape
    found[0, :, 40, 40].sum().backward()
    rows = torch.nonzero(image.grad[0].abs().sum((0, 2))).flatten()
    assert (rows.min(), rows.max()) == (40 - 28, 40 + 28)


def test_a_block_is_dense_with_leaky_relu_before_batch_norm():
    block = DenseBlock(2).eval()
    x = torch.rand(2, 3, 12, 12)
    with torch.no_grad():
        for norm in block.norms:
            norm.running_mean.uniform_()
        seen, y = x, x
        for conv, norm in zip(block.convs, block.norms):
            y = torch.nn.functional.conv2d(seen, conv.weight, padding=2, dilation=2)
            y = torch.where(y > 0, y, 0.2 * y)
            y = (y - norm.running_mean[:, None, None]) / (norm.running_var[:, None, None] + norm.eps).sqrt()
            seen = torch.cat([seen, y], 1)
        wanted = torch.nn.functional.conv2d(y, block.close.weight, block.close.bias, padding=1)
        torch.testing.assert_close(block(x), wanted)


def test_inputs_and_outputs_are_in_lab_units():
    torch.manual_seed(0)
    one = ColorNormNetwork(10.0).eval()
    other = ColorNormNetwork(20.0).eval()
    other.load_state_dict(one.state_dict())
    x = torch.rand(1, 3, 8, 8) * 20
    with torch.no_grad():
        torch.testing.assert_close(other(x * torch.tensor([1.0, 2, 2])[:, None, None]), 2 * one(x))


# ---------------------------------------------------------------- training


def test_the_loss_is_l1_plus_lambda_l2():
    error = torch.tensor([-2.0, 0.0, 1.0, 1.0])
    np.testing.assert_allclose(offset_loss(error, 0).item(), 1.0)
    np.testing.assert_allclose(offset_loss(error, 0.5).item(), 1.0 + 0.5 * 1.5)


def test_a_perfect_network_has_no_loss_where_tissue_has_one_color():
    """Lightness is untouched: its target is 0."""
    flat = np.full((40, 40, 3), he_image(1)[3, 3], np.uint8)
    ours = lab(flat)[:, 0, 0]
    net = Knows()
    net.forward = lambda x: (x - torch.from_numpy(ours).float()[:, None, None]) * net.here.exp()
    settings = ColorNormNetSettings(batch=3, crop=16, learning_rate=1e-3)
    task = ColorNormNetTask(net, [flat], [flat], settings, torch.device("cpu"))
    loss, numbers = task.step_loss(0, np.random.default_rng(0))
    assert abs(loss.item()) < 1e-5
    assert numbers["offset_error"] < 1e-4
    drawn = task._draw(np.random.default_rng(0), 1000)
    assert not drawn[:, 0].any()
    assert np.abs(drawn).max() <= 20
    assert np.abs(drawn[:, 1:].mean(0)).max() < 1.5
    assert abs(np.corrcoef(drawn[:, 1:].T)[0, 1]) < 0.1


def test_training_tells_offsets_of_tiles_that_it_has_not_seen():
    ours, unseen = (pair(n=count, size=64, centers=("a", "b"), seed=seed)[0] for count, seed in ((6, 3), (4, 4)))
    options = {"steps": 200, "batch": 8, "learning_rate": 1e-2, "val_fraction": 0, "validate_every": 50}
    normalizer = ColorNormNet.fit(ours, **SMALL | options)
    assert normalizer.training["offset_error"] < 5  # 10 for a network that has learned nothing
    true = np.random.default_rng(0).uniform(-12, 12, (12, 2))
    shifts = [ChannelAffineMap(CIELab(), np.ones(3), np.array([0, *offset])) for offset in true]
    found = np.array([normalizer.offset(shift(unseen[i % 4])) for i, shift in enumerate(shifts)])
    for channel in range(2):
        assert np.corrcoef(true[:, channel], found[:, channel])[0, 1] > 0.8


def test_same_seed_same_weights_and_another_seed_others(tiles, fitted):
    assert same_weights(ColorNormNet.fit(tiles, **SMALL), fitted)
    assert not same_weights(ColorNormNet.fit(tiles, seed=1, **SMALL), fitted)


def test_a_resumed_run_equals_an_uninterrupted_one(tiles, fitted, tmp_path):
    resumed = killed_and_resumed(lambda **options: ColorNormNet.fit(tiles, **SMALL, **options), tmp_path, at=4)
    assert same_weights(resumed, fitted)
    assert resumed.training == fitted.training
    with pytest.raises(TrainingError, match="other settings or tiles"):
        ColorNormNet.fit(tiles, workdir=tmp_path, **SMALL | {"max_offset": 10.0})


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("steps", 0), ("batch", 0), ("crop", 8), ("max_offset", 0), ("max_offset", 1e4), ("l2_weight", -1),
        ("learning_rate", 0), ("val_fraction", 1.0), ("decay", "no"), ("device", "abacus"),
    ],
)  # fmt: skip
def test_a_setting_that_makes_no_sense_is_named(tiles, setting, value):
    with pytest.raises(ParameterError, match=setting):
        ColorNormNet.fit(tiles, **SMALL | {setting: value})


def test_a_single_tile_and_tiles_of_different_sizes_train_and_too_small_ones_are_refused(tiles):
    quick = SMALL | {"steps": 1}
    ColorNormNet.fit(tiles[:1], **quick)
    ColorNormNet.fit([tiles[0], tiles[1][:20, :30]], **quick)
    with pytest.raises(NotEnoughTissueError, match="smaller than 16x16"):
        ColorNormNet.fit([he_image(1, 12, 40)], **SMALL)


# ---------------------------------------------------------------- what is applied


def test_the_offset_is_the_mean_prediction_over_tissue_and_is_taken_off():
    normalizer, image = ColorNormNet(net=Knows()), he_image(3, 30, 20)
    image[:10] = 245
    wanted = lab(image)[1:, tissue_mask(image)].mean(1) - (10, -5)
    np.testing.assert_allclose(normalizer.offset(image), wanted, atol=1e-4)
    np.testing.assert_allclose(normalizer.offset(np.stack([image, image])), wanted, atol=1e-4)
    applied = normalizer.map_for(image)
    assert isinstance(applied, ChannelAffineMap)
    np.testing.assert_array_equal(applied.scale, 1)
    np.testing.assert_allclose(applied.shift, (0, *-wanted), atol=1e-4)
    np.testing.assert_array_equal(applied(image), normalizer(image))


def test_a_normalized_image_has_the_centers_color_and_its_own_lightness():
    normalizer, image = ColorNormNet(net=Knows()), he_image(3, 30, 20) / 255
    result = np.moveaxis(normalizer(image), -1, 0)
    np.testing.assert_allclose(CIELab().from_rgb(result)[0], lab(image * 255)[0], atol=2)  # clipping to gamut
    tissue = tissue_mask(image)
    np.testing.assert_allclose(CIELab().from_rgb(result)[1:, tissue].mean(1), (10, -5), atol=1.5)


def test_a_slide_has_one_offset_weighted_by_tissue():
    normalizer = ColorNormNet(net=Knows())
    tiles = [he_image(3, 30, 20), he_image(4, 10, 12), blank_image()]
    colors = np.concatenate([lab(tile)[1:, tissue_mask(tile)] for tile in tiles], axis=1)
    wanted = (0, *(np.array([10, -5]) - colors.mean(1)))
    for given in (tiles, iter(tiles)):
        np.testing.assert_allclose(normalizer.map_for_tiles(given).shift, wanted, atol=1e-4)
    for nothing in ([blank_image()], []):
        with pytest.raises(NotEnoughTissueError, match="no tissue pixel"):
            normalizer.map_for_tiles(nothing)


def test_large_images_are_looked_at_in_windows(monkeypatch):
    normalizer, image = ColorNormNet(net=Knows()), he_image(3, 50, 35)
    whole = normalizer.offset(image)
    monkeypatch.setattr(module, "WINDOW", 16)
    np.testing.assert_allclose(normalizer.offset(image), whole, atol=1e-4)


def test_its_map_bakes(fitted):
    image = he_image(3, 30, 20)
    applied = fitted.map_for(image)
    assert bake_error(applied, bake(applied, 33), image).p99 < 0.5


def test_a_loaded_model_is_the_same(fitted, tmp_path):
    fitted.save(tmp_path / "m.safetensors")
    loaded, image = sx.load(tmp_path / "m.safetensors"), he_image(3, 40, 30)
    assert same_weights(loaded, fitted)
    np.testing.assert_array_equal(loaded.offset(image), fitted.offset(image))
    np.testing.assert_array_equal(loaded(image), fitted(image))


def test_a_model_file_with_other_weights_is_refused(fitted):
    from stainxform.modelfile import ModelState

    arrays, parameters = fitted.arrays(), fitted.parameters() | {"min_tissue": 0.01}
    name = "blocks.0.convs.0.weight"
    for change in ({name: np.zeros((3, 3, 5, 5), np.float32)}, {"extra": np.zeros(3, np.float32)}):
        with pytest.raises(ModelFileError, match="colornormnet"):
            sx.Normalizer.from_state(ModelState("colornormnet", arrays | change, parameters))
    del arrays[name]
    with pytest.raises(ModelFileError, match="colornormnet"):
        sx.Normalizer.from_state(ModelState("colornormnet", arrays, parameters))
