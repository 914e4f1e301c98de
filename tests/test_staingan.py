"""StainGAN: sizes and losses of the published CycleGAN, its update order, the pool, and images of any size."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from strategies import blank_image, he_image  # noqa: E402
from training import count, killed_and_resumed, same_weights  # noqa: E402

import stainxform as sx  # noqa: E402
from stainxform.errors import ModelFileError, NotEnoughTissueError, ParameterError, TrainingError  # noqa: E402
from stainxform.maps.lut3d import bake  # noqa: E402
from stainxform.normalizers.staingan.network import CycleGAN, Discriminator, Generator, ImagePool  # noqa: E402
from stainxform.normalizers.staingan.normalizer import StainGAN  # noqa: E402
from stainxform.normalizers.staingan.settings import StainGANSettings  # noqa: E402
from stainxform.normalizers.staingan.training import StainGANTask  # noqa: E402
from stainxform.samples import pair  # noqa: E402

SMALL = {
    "steps": 6, "crop": 32, "width": 4, "blocks": 1, "pool": 2, "validate_every": 2, "device": "cpu", "progress": False
}  # fmt: skip


@pytest.fixture(scope="module")
def centers():
    return pair(n=3, size=48, centers=("a", "b"), seed=3)


@pytest.fixture(scope="module")
def fitted(centers):
    return sx.fit_center(centers[0], "staingan", source=centers[1], **SMALL)


def small_task(centers, pool=0, **weights):
    torch.manual_seed(0)
    settings = StainGANSettings(source=centers[1], crop=32, **{"learning_rate": 1e-3} | weights)
    return StainGANTask(CycleGAN(4, 1, pool, 32), *centers, settings, torch.device("cpu"))


# ---------------------------------------------------------------- networks


def test_networks_have_the_published_sizes():
    with torch.device("meta"):
        assert count(Generator()) == 11_378_179
        assert count(Discriminator()) == 2_764_737
    assert sum(type(layer).__name__ == "Residual" for layer in Generator(2).model) == 9


def test_a_verdict_judges_seventy_pixels():
    judge = Discriminator(2).eval()
    for layer in judge.model:
        if isinstance(layer, torch.nn.InstanceNorm2d):
            layer.forward = lambda x: x  # statistics reach everywhere; the convolutions alone reach 70 px
    image = torch.rand(1, 3, 160, 160, requires_grad=True)
    verdicts = judge(image)
    verdicts[0, 0, 9, 9].backward()
    rows = torch.nonzero(image.grad[0].abs().sum((0, 2))).flatten()
    assert rows.max() - rows.min() + 1 == 70


@pytest.mark.parametrize("side", [8, 12, 32])
def test_the_generator_keeps_the_size_and_stays_in_range(side):
    with torch.no_grad():
        image = Generator(4, 2)(torch.rand(1, 3, side, side + 4) * 2 - 1)
    assert image.shape == (1, 3, side, side + 4)
    assert image.abs().max() <= 1


def test_the_pool_returns_earlier_images_half_the_time_once_it_is_full():
    pool, rng = ImagePool(3, 2), np.random.default_rng(0)
    images = [torch.full((1, 3, 2, 2), float(number)) for number in range(203)]
    returned = [int(pool.exchange(image, rng)[0, 0, 0, 0]) for image in images]
    assert returned[:3] == [0, 1, 2]
    earlier = [number - found for number, found in enumerate(returned) if found != number]
    assert min(earlier) > 0
    assert 70 < len(earlier) < 130
    assert int(pool.filled) == 3
    none = ImagePool(0, 2)
    assert all(none.exchange(image, rng) is image for image in images[:5])


# ---------------------------------------------------------------- losses and updates


def test_losses_are_those_of_the_papers(centers):
    task = small_task(centers)
    net = task.net
    loss, numbers = task.step_loss(0, np.random.default_rng(7))
    rng = np.random.default_rng(7)
    target, source = (task._draw(tiles, rng) for tiles in centers)
    with torch.no_grad():
        fake_target, fake_source = net.to_target(source), net.to_source(target)
        adversarial = (net.judge_target(fake_target) - 1).square().mean()
        adversarial += (net.judge_source(fake_source) - 1).square().mean()
        cycle = (net.to_source(fake_target) - source).abs().mean() + (net.to_target(fake_source) - target).abs().mean()
        identity = (net.to_target(target) - target).abs().mean() + (net.to_source(source) - source).abs().mean()
        judges = sum(
            ((judge(real) - 1).square().mean() + judge(fake).square().mean()) / 2
            for judge, real, fake in ((net.judge_target, target, fake_target), (net.judge_source, source, fake_source))
        )
    np.testing.assert_allclose(loss.item(), (adversarial + 10 * cycle + 5 * identity + judges).item(), rtol=1e-5)
    wanted = {"adversarial": adversarial, "cycle": cycle, "judges": judges}
    assert numbers == pytest.approx({name: value.item() for name, value in wanted.items()}, rel=1e-5)


def test_one_joint_step_equals_the_published_alternating_steps(centers):
    """Generators first, then the discriminators, each with an Adam of its own, as in the CycleGAN code."""
    joint, alternating = small_task(centers), small_task(centers)
    optimizer = torch.optim.Adam(joint.parameter_groups())
    net = alternating.net
    generators = [*net.to_target.parameters(), *net.to_source.parameters()]
    judges = [[*judge.parameters()] for judge in (net.judge_target, net.judge_source)]
    optimizers = [torch.optim.Adam(p, 1e-3, betas=(0.5, 0.999)) for p in (generators, *judges)]
    for step in range(3):
        loss, _ = joint.step_loss(step, np.random.default_rng(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rng = np.random.default_rng(step)
        target, source = (alternating._draw(tiles, rng) for tiles in centers)
        fake_target, fake_source = net.to_target(source), net.to_source(target)
        loss = sum(
            F.mse_loss(v, torch.ones_like(v)) for v in (net.judge_target(fake_target), net.judge_source(fake_source))
        )
        loss = loss + 10 * F.l1_loss(net.to_source(fake_target), source)
        loss = loss + 10 * F.l1_loss(net.to_target(fake_source), target)
        loss = loss + 5 * F.l1_loss(net.to_target(target), target) + 5 * F.l1_loss(net.to_source(source), source)
        net.zero_grad()
        loss.backward()
        optimizers[0].step()
        for judge, real, fake, one in (
            (net.judge_target, target, fake_target, optimizers[1]),
            (net.judge_source, source, fake_source, optimizers[2]),
        ):
            net.zero_grad()
            (0.5 * ((judge(real) - 1).square().mean() + judge(fake.detach()).square().mean())).backward()
            one.step()
    for (name, one), other in zip(joint.net.named_parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=2e-4, rtol=0, msg=name)


def test_the_learning_rate_is_constant_then_falls_linearly_to_zero():
    settings = StainGANSettings(source=pair(1, 40, seed=2)[1], steps=100)
    rates = [settings.rate(step) for step in range(100)]
    assert rates[:51] == [1.0] * 51
    np.testing.assert_allclose(np.diff(rates[50:]), -0.02)
    np.testing.assert_allclose(rates[-1], 0.02)


# ---------------------------------------------------------------- the method


def test_training_moves_all_networks_and_ends_with_the_last_weights(centers, fitted):
    assert fitted.training.keys() == {"cycle_levels", "step"}
    assert fitted.training["step"] == SMALL["steps"]
    longer = StainGAN.fit(
        centers[0], source=centers[1], **SMALL | {"steps": 60, "validate_every": 60, "learning_rate": 1e-3}
    )
    assert longer.training["cycle_levels"] < 0.8 * fitted.training["cycle_levels"]


def test_it_says_that_it_needs_both_centers(centers):
    with pytest.raises(ParameterError, match=r"pass source=, tiles of the other center"):
        sx.fit_center(centers[0], "staingan", **SMALL)
    with pytest.raises(NotEnoughTissueError, match="no tile of source"):
        sx.fit_center(centers[0], "staingan", source=[blank_image(height=48, width=48)], **SMALL)


def test_the_source_may_be_a_folder_and_its_blank_tiles_are_skipped(centers, fitted, tmp_path):
    from stainxform.io.images import write_image

    for number, tile in enumerate([*centers[1], blank_image(height=48, width=48)]):
        write_image(tmp_path / f"{number}.png", tile)
    assert same_weights(sx.fit_center(centers[0], "staingan", source=str(tmp_path), **SMALL), fitted)


def test_same_seed_same_weights_and_another_seed_others(centers, fitted):
    assert same_weights(StainGAN.fit(centers[0], source=centers[1], **SMALL), fitted)
    assert not same_weights(StainGAN.fit(centers[0], source=centers[1], seed=1, **SMALL), fitted)


def test_a_resumed_run_equals_an_uninterrupted_one_the_pool_included(centers, fitted, tmp_path):
    def fit(**options):
        return StainGAN.fit(centers[0], source=centers[1], **SMALL, **options)

    assert same_weights(killed_and_resumed(fit, tmp_path, at=4), fitted)
    with pytest.raises(TrainingError, match="other settings or tiles"):
        StainGAN.fit(centers[0], source=centers[1][:2], workdir=tmp_path, **SMALL)


@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (5, 7), (8, 8), (9, 33), (32, 48)])
@pytest.mark.parametrize("dtype", ["uint8", "float64"])
def test_images_of_any_size_come_back_in_theirs(fitted, shape, dtype):
    image = he_image(3, *shape) if dtype == "uint8" else he_image(3, *shape) / 255
    fixed = fitted.map_for(he_image(3))
    result = fixed(image)
    assert (result.shape, result.dtype) == (image.shape, image.dtype)
    np.testing.assert_array_equal(fixed(np.stack([image, image]))[1], result)


def test_an_image_that_fits_is_what_the_generator_gives(fitted):
    image = he_image(3, 32, 48)
    with torch.no_grad():
        planes = torch.from_numpy(np.moveaxis(image, -1, 0).copy()).float() / 255
        wanted = fitted.net(planes[None] * 2 - 1)[0] / 2 + 0.5
    np.testing.assert_array_equal(fitted(image), np.rint(wanted.permute(1, 2, 0).numpy() * 255).astype(np.uint8))


def test_padding_reflects_the_far_edges(fitted):
    image = he_image(3, 30, 46)
    padded = np.pad(image, ((0, 2), (0, 2), (0, 0)), mode="reflect")
    np.testing.assert_array_equal(fitted(image), fitted(padded)[:30, :46])


def test_it_has_no_lut(fitted):
    with pytest.raises(ParameterError, match="StainNet"):
        bake(fitted.map_for(he_image(3)))
    with pytest.raises(ParameterError, match="StainNet"):
        bake(fitted.map_for_tiles([he_image(3)]))


def test_it_can_teach_a_stainnet(centers, fitted):
    student = sx.fit_center(centers[1], "stainnet", teacher=fitted, steps=2, batch=16, device="cpu", progress=False)
    assert student.teacher == "staingan"


def test_the_sizes_of_a_loaded_generator_are_those_of_its_weights(centers, tmp_path):
    normalizer = StainGAN.fit(centers[0], source=centers[1], **SMALL | {"steps": 1, "width": 3, "blocks": 2})
    normalizer.save(tmp_path / "m.safetensors")
    loaded = sx.load(tmp_path / "m.safetensors")
    assert same_weights(loaded, normalizer)
    np.testing.assert_array_equal(loaded(centers[1]), normalizer(centers[1]))


def test_a_model_file_with_other_weights_is_refused_without_filling_the_memory(fitted):
    from stainxform.modelfile import ModelState

    arrays, parameters = fitted.arrays(), fitted.parameters() | {"min_tissue": 0.01}
    bad = (
        {"model.1.weight": np.zeros((100_000_000, 0, 7, 7), np.float32)},
        {"model.1.bias": np.zeros(9, np.float32)},
        {"model.9.weight": np.zeros(3, np.float32)},
    )
    for change in bad:
        with pytest.raises(ModelFileError, match="staingan"):
            sx.Normalizer.from_state(ModelState("staingan", arrays | change, parameters))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("steps", 0), ("crop", 16), ("width", 0), ("blocks", -1), ("pool", 1.5), ("learning_rate", -1.0),
        ("cycle_weight", -1.0), ("identity_weight", float("nan")), ("decay", "sudden"), ("device", "abacus"),
    ],
)  # fmt: skip
def test_a_setting_that_makes_no_sense_is_named(centers, setting, value):
    with pytest.raises(ParameterError, match=setting):
        StainGAN.fit(centers[0], source=centers[1], **SMALL | {setting: value})


def test_tiles_of_different_sizes_train_and_too_small_ones_are_refused(centers):
    StainGAN.fit([centers[0][0], centers[0][1][:35, :40]], source=centers[1], **SMALL | {"steps": 1, "crop": 64})
    with pytest.raises(NotEnoughTissueError, match="smaller than 32x32"):
        StainGAN.fit(centers[0], source=centers[1][:, :20], **SMALL)
