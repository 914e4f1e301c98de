"""StainNet: size, exact arithmetic, what it learns from a teacher, and that it runs without torch."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from strategies import he_image  # noqa: E402
from training import count, killed_and_resumed, same_weights  # noqa: E402

import stainxform as sx  # noqa: E402
from stainxform.errors import ModelFileError, NotEnoughTissueError, ParameterError, TrainingError  # noqa: E402
from stainxform.maps import PointwiseNetMap  # noqa: E402
from stainxform.maps.lut3d import bake, bake_error  # noqa: E402
from stainxform.normalizers.stainnet.network import StainNetwork  # noqa: E402
from stainxform.normalizers.stainnet.normalizer import StainNet  # noqa: E402
from stainxform.normalizers.stainnet.settings import StainNetSettings  # noqa: E402
from stainxform.normalizers.stainnet.training import ColorPairs, StainNetTask  # noqa: E402
from stainxform.samples import pair  # noqa: E402

SMALL = {"steps": 12, "batch": 128, "validate_every": 4, "device": "cpu", "progress": False}

LONGER = {"steps": 400, "batch": 512, "validate_every": 100}


@pytest.fixture(scope="module")
def theirs():
    return pair(n=4, size=64, centers=("a", "b"), seed=3)[1]


@pytest.fixture(scope="module")
def teacher():
    return sx.fit_center(pair(n=4, size=64, centers=("a", "b"), seed=3)[0], "reinhard")


@pytest.fixture(scope="module")
def learned(theirs, teacher):
    return sx.fit_center(theirs, "stainnet", teacher=teacher, val_fraction=0, **SMALL | LONGER)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return StainNetwork()


@pytest.fixture(scope="module")
def net_map(network):
    return PointwiseNetMap(tuple(network.weights()))


# ---------------------------------------------------------------- the map


def test_the_network_has_the_papers_size(network):
    assert count(network) == 1_283
    assert [weight.shape for weight, _ in network.weights()] == [(32, 3), (32, 32), (3, 32)]


def test_the_map_is_the_network_up_to_the_rounding_of_fixed_point(network, net_map):
    colors = np.random.default_rng(0).random((3, 500))
    x = colors.T * 2 - 1  # the plain float64 reference
    for number, (weight, bias) in enumerate(network.weights()):
        x = x @ weight.T.astype(float) + bias if number == 0 else np.maximum(x, 0) @ weight.T.astype(float) + bias
    np.testing.assert_allclose(net_map.evaluate(colors), x.T / 2 + 0.5, atol=2e-5)
    with torch.no_grad():
        wanted = network(torch.from_numpy(colors.T).float()).numpy().T
    np.testing.assert_allclose(net_map.evaluate(colors.astype(np.float32)), wanted, atol=2e-5)


def test_no_layout_order_batch_or_host_changes_a_bit(net_map):
    planes = np.random.default_rng(0).random((3, 50, 61), dtype=np.float32)
    wanted = net_map.evaluate(planes)
    assert wanted.dtype == np.float32
    order = np.random.default_rng(1).permutation(50 * 61)
    shuffled = net_map.evaluate(planes.reshape(3, -1)[:, order])
    np.testing.assert_array_equal(shuffled, wanted.reshape(3, -1)[:, order])
    np.testing.assert_array_equal(net_map.evaluate(np.asfortranarray(planes)), wanted)
    for pixel in (0, 7, 3049):
        np.testing.assert_array_equal(
            net_map.evaluate(planes.reshape(3, -1)[:, pixel : pixel + 1]), wanted.reshape(3, -1)[:, pixel : pixel + 1]
        )
    tensor = torch.from_numpy(planes)
    np.testing.assert_array_equal(net_map.evaluate(tensor).numpy(), wanted)
    np.testing.assert_array_equal(net_map.evaluate(tensor.clone().requires_grad_()).detach().numpy(), wanted)
    np.testing.assert_array_equal(net_map.evaluate(tensor.permute(0, 2, 1)).permute(0, 2, 1).numpy(), wanted)


def test_gradients_are_those_of_the_network(network, net_map):
    colors = torch.rand(3, 40, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(3, 40, dtype=torch.float64)
    (found,) = torch.autograd.grad((net_map.evaluate(colors) * weights).sum(), colors)
    twin = StainNetwork().double()
    twin.load_state_dict(network.state_dict())
    (wanted,) = torch.autograd.grad((twin(colors.T).T * weights).sum(), colors)
    torch.testing.assert_close(found, wanted, atol=2e-4, rtol=0)


@pytest.mark.parametrize("shape", [(3, 0), (3, 0, 5), (3, 2, 3, 4)])
def test_planes_of_any_shape(net_map, shape):
    assert net_map.evaluate(np.zeros(shape)).shape == shape


@pytest.mark.parametrize(
    "layers",
    [
        (),
        ((np.zeros((3, 4)), np.zeros(3)),),
        ((np.zeros((2, 3)), np.zeros(2)),),
        ((np.zeros((3, 3)), np.zeros(2)),),
        ((np.zeros(3), np.zeros(3)),),
        ((np.full((3, 3), 1e9), np.zeros(3)),),
        ((np.zeros((3, 3)), np.full(3, 1e9)),),
        ((np.full((3, 3), np.nan), np.zeros(3)),),
    ],
)
def test_layers_that_do_not_fit_or_are_too_large_are_refused(layers):
    with pytest.raises(ValueError, match=r"layer|network"):
        PointwiseNetMap(layers)


# ---------------------------------------------------------------- the method


def test_the_loss_is_l1_in_the_networks_own_scale(network):
    rng = np.random.default_rng(0)
    pairs = ColorPairs(*rng.integers(0, 256, (2, 50, 3), dtype=np.uint8))
    settings = StainNetSettings(teacher=sx.Macenko(), batch=20)
    task = StainNetTask(network, pairs, pairs, settings, torch.device("cpu"))
    loss, numbers = task.step_loss(0, np.random.default_rng(5))
    chosen = np.random.default_rng(5).integers(50, size=20)
    with torch.no_grad():
        found = network(torch.from_numpy(pairs.source[chosen] / 255).float()).numpy() * 2 - 1
    wanted = np.abs(found - (pairs.target[chosen] / 255 * 2 - 1)).mean()
    np.testing.assert_allclose(loss.item(), wanted, rtol=1e-5)
    np.testing.assert_allclose(numbers["l1_levels"], wanted * 127.5, rtol=1e-5)


def test_it_learns_what_the_teacher_does(learned, teacher, theirs):
    before, after = (np.abs(x.astype(float) - teacher(theirs)).mean() for x in (theirs, learned(theirs)))
    assert after < 0.3 * before  # the teacher's map differs from tile to tile
    assert learned.teacher == "reinhard"
    np.testing.assert_allclose(learned.training["l1_levels"], after, atol=0.3)


def test_every_image_gets_the_same_map_which_bakes(learned, theirs):
    assert learned.map_for(theirs[0]) is learned.map_for(theirs[1]) is learned.map_for_tiles(theirs)
    assert bake_error(learned.network, bake(learned.network, 33), theirs).max < 2


def test_a_teacher_may_be_a_model_file_and_must_be_given(theirs, teacher, tmp_path):
    teacher.save(tmp_path / "teacher.safetensors")
    one = sx.fit_center(theirs, "stainnet", teacher=teacher, **SMALL)
    other = sx.fit_center(theirs, "stainnet", teacher=str(tmp_path / "teacher.safetensors"), **SMALL)
    assert same_weights(one, other)
    with pytest.raises(ParameterError, match=r"pass teacher=, a fitted normalizer or the path of its model file"):
        sx.fit_center(theirs, "stainnet")
    with pytest.raises(ModelFileError, match="missing"):
        sx.fit_center(theirs, "stainnet", teacher="missing.safetensors")


def test_tiles_that_are_blank_to_the_teacher_teach_nothing(theirs, teacher):
    tiles = [theirs[0], np.full((40, 40, 3), 250, np.uint8)]
    assert same_weights(
        StainNet.fit(tiles, teacher=teacher, **SMALL), StainNet.fit(tiles[:1], teacher=teacher, **SMALL)
    )
    with pytest.raises(NotEnoughTissueError, match="for the teacher"):
        StainNet.fit(tiles[1:], teacher=teacher, **SMALL)


def test_same_seed_same_weights_and_another_seed_or_teacher_others(theirs, teacher):
    one, other = (StainNet.fit(theirs, teacher=teacher, **SMALL) for _ in range(2))
    assert same_weights(one, other)
    assert not same_weights(one, StainNet.fit(theirs, teacher=teacher, seed=1, **SMALL))
    assert not same_weights(one, StainNet.fit(theirs, teacher=sx.Macenko(), **SMALL))


def test_a_resumed_run_equals_an_uninterrupted_one(theirs, teacher, tmp_path):
    def fit(**options):
        return StainNet.fit(theirs, teacher=teacher, **SMALL, **options)

    assert same_weights(killed_and_resumed(fit, tmp_path, at=8), fit())
    with pytest.raises(TrainingError, match="other settings or tiles"):
        StainNet.fit(theirs, teacher=sx.Macenko(), workdir=tmp_path, **SMALL)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("steps", 0), ("batch", 0), ("pixels", 1.5), ("learning_rate", 0.0), ("val_fraction", 1.0), ("decay", "no")],
)
def test_a_setting_that_makes_no_sense_is_named(theirs, teacher, setting, value):
    with pytest.raises(ParameterError, match=setting):
        StainNet.fit(theirs, teacher=teacher, **SMALL | {setting: value})


def test_a_model_file_with_other_layers_is_refused(learned):
    from stainxform.modelfile import ModelState

    arrays, parameters = learned.arrays(), learned.parameters() | {"min_tissue": 0.01}
    for name, array in (("weight0", np.zeros((32, 4))), ("bias2", np.zeros(4)), ("weight1", np.full((32, 32), 1e20))):
        with pytest.raises(ModelFileError, match="stainnet"):
            sx.Normalizer.from_state(ModelState("stainnet", arrays | {name: array}, parameters))
    del arrays["bias1"]
    with pytest.raises(ModelFileError, match="bias1"):
        sx.Normalizer.from_state(ModelState("stainnet", arrays, parameters))


def test_it_is_applied_without_torch_and_fitting_names_the_extra(learned, tmp_path):
    image = he_image(4)
    learned.save(tmp_path / "m.safetensors")
    np.save(tmp_path / "image.npy", image)
    np.save(tmp_path / "wanted.npy", learned(image))
    script = textwrap.dedent(f"""
        import sys
        sys.modules["torch"] = None
        import numpy as np, stainxform as sx
        model = sx.load({str(tmp_path / "m.safetensors")!r})
        image = np.load({str(tmp_path / "image.npy")!r})
        assert (model(image) == np.load({str(tmp_path / "wanted.npy")!r})).all()
        try:
            sx.fit_center([image], "stainnet", teacher=sx.Macenko())
        except sx.errors.MissingDependencyError as error:
            assert "stainxform[torch]" in str(error)
        else:
            raise AssertionError
    """)
    subprocess.run([sys.executable, "-c", script], check=True)
