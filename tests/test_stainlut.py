"""StainLUT: sizes from the paper, the exact shortcuts, what learns, and a trainer that can be killed."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

import stainxform as sx  # noqa: E402
from stainxform.errors import ModelFileError, NotEnoughTissueError, ParameterError, TrainingError  # noqa: E402
from stainxform.normalizers.stainlut.network import Fusion, StainLUTNet, gray_levels, regularization  # noqa: E402
from stainxform.normalizers.stainlut.normalizer import StainLUT  # noqa: E402
from stainxform.normalizers.stainlut.randomization import ColorRandomization  # noqa: E402
from stainxform.normalizers.stainlut.settings import GRAYS  # noqa: E402
from stainxform.samples import pair  # noqa: E402

SMALL = {"steps": 12, "crop": 32, "size": 9, "validate_every": 4, "device": "cpu"}


@pytest.fixture(scope="module")
def tiles():
    return pair(n=5, size=64, centers=("a", "b"), seed=3)[0]


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def weights_equal(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one.arrays().values(), other.arrays().values(), strict=True))


def test_networks_have_the_sizes_of_the_reference_implementation():
    net = StainLUTNet()
    assert parameters(net.encoder) == 7_681
    assert parameters(net.predictor) == 491_294
    assert parameters(net.predictor) - parameters(net.predictor.head) == 245_504
    assert net.predictor.head.out_channels == 30
    assert net.luts.shape == (3, 3, 2, 33, 33, 33)


def test_context_map_lies_in_unit_interval_and_the_receptive_field_is_eleven():
    encoder = StainLUTNet().encoder.eval()
    for norm in encoder.norms:
        norm.forward = lambda x: x  # statistics reach everywhere; the convolutions alone reach 11 px
    gray = torch.rand(1, 1, 31, 31, dtype=torch.float32, requires_grad=True)
    context = encoder(gray)
    assert ((context > 0) & (context < 1)).all()
    context[0, 0, 15, 15].backward()
    rows = torch.nonzero(gray.grad[0, 0].abs().sum(1)).flatten()
    assert (rows.min(), rows.max()) == (10, 20)


def test_fused_lut_starts_near_the_identity():
    torch.manual_seed(0)
    net = StainLUTNet().eval()
    gray = torch.arange(64 * 64).reshape(1, 1, 64, 64).remainder(256).to(torch.uint8)
    with torch.no_grad():
        colors, _ = net(gray)
    assert (colors[0] - gray[0].float() / 255).abs().max() < 0.05


def test_fast_forward_equals_the_sixteen_corner_definition():
    net = StainLUTNet().eval()
    with torch.no_grad():
        net.luts += 0.2 * torch.rand_like(net.luts)
        gray = torch.randint(0, 256, (1, 1, 40, 53), dtype=torch.uint8)
        torch.testing.assert_close(net(gray)[0], net.forward_by_definition(gray), atol=1e-5, rtol=0)


def test_summing_the_first_kernels_equals_three_gray_channels():
    net = StainLUTNet().double().eval()
    gray = torch.rand(1, 1, 20, 20, dtype=torch.float64)
    conv = net.encoder.first
    three = F.conv2d(gray.expand(-1, 3, -1, -1), conv.weight, conv.bias, padding=1)
    one = F.conv2d(gray, conv.weight.sum(1, keepdim=True), conv.bias, padding=1)
    torch.testing.assert_close(one, three, atol=1e-14, rtol=0)


def test_fusion_follows_equation_two():
    net = StainLUTNet(bases=2, size=3)
    with torch.no_grad():
        net.luts.copy_(torch.rand_like(net.luts))
    fusion = Fusion(torch.rand(3, 6), torch.rand(2))
    fused, (w, beta), n = net.fuse(fusion), fusion, 2
    for c in range(3):
        expected = sum(
            w[c, i] * net.luts[i, 0] + w[c, n + i] * net.luts[i, 1] + w[c, 2 * n + i] * net.luts[i, 2] + beta[i]
            for i in range(n)
        )
        torch.testing.assert_close(fused[c], expected)


def test_regularizers_and_their_hand_written_gradient_equal_autograd():
    luts = torch.rand(2, 3, 3, 4, 4, 4, dtype=torch.float64, requires_grad=True)
    fusion = Fusion(torch.rand(3, 6, dtype=torch.float64, requires_grad=True), torch.rand(2, dtype=torch.float64))
    axes = (-1, -2, -3, -4)
    smooth = sum(luts.diff(dim=a).square().mean() for a in axes)  # eq. 7
    smooth = smooth + fusion.weights.square().mean() + fusion.biases.square().mean()
    mono = sum(F.relu(-luts.diff(dim=a)).mean() for a in axes)  # eq. 8
    expected = 0.3 * smooth + 7 * mono
    found = regularization(luts, fusion, 0.3, 7)
    torch.testing.assert_close(found, expected)
    for leaf in (luts, fusion.weights):
        torch.testing.assert_close(torch.autograd.grad(found, leaf, retain_graph=True), torch.autograd.grad(expected, leaf, retain_graph=True))  # fmt: skip


def test_the_encoder_receives_gradient_from_the_first_step():
    torch.manual_seed(0)
    net = StainLUTNet()
    gray = torch.randint(0, 256, (1, 1, 48, 48), dtype=torch.uint8)
    F.mse_loss(net(gray)[0], torch.rand(1, 3, 48, 48)).backward()
    assert all(p.grad.abs().max() > 0 for p in net.encoder.parameters() if p.ndim > 1)


def test_with_equal_context_slices_the_encoder_would_be_dead():
    net = StainLUTNet(asymmetry=0.0)
    gray = torch.randint(0, 256, (1, 1, 48, 48), dtype=torch.uint8)
    F.mse_loss(net(gray)[0], torch.rand(1, 3, 48, 48)).backward()
    assert max(p.grad.abs().max() for p in net.encoder.parameters()) < 1e-9


def test_training_moves_the_encoder_and_the_luts(tiles):
    torch.manual_seed(0)
    start = StainLUTNet(size=9)
    fitted = StainLUT.fit(tiles, **SMALL).net
    assert not torch.equal(start.encoder.first.weight, fitted.encoder.first.weight)
    assert (fitted.luts - start.luts).abs().max() > 1e-3


def test_training_brings_gray_tissue_closer_to_its_color(tiles):
    normalizer = StainLUT.fit(tiles, **SMALL | {"steps": 120, "validate_every": 40, "color_randomization": False})
    tile = tiles[0]
    gray = np.repeat(gray_levels(np.moveaxis(tile / 255, -1, 0), GRAYS["mean"])[..., None], 3, axis=2)
    before, after = (np.square(x.astype(float) - tile).mean() for x in (gray, normalizer(tile)))
    assert after < 0.5 * before


def test_gray_is_all_that_enters(tiles):
    """Two images with equal 8-bit gray have equal results."""
    normalizer = StainLUT.fit(tiles, **SMALL)
    gray = gray_levels(np.moveaxis(tiles[0] / 255, -1, 0), GRAYS["mean"])
    expected = normalizer(np.repeat(gray[..., None], 3, axis=2))
    assert np.abs(normalizer(tiles[0]).astype(int) - expected).max() == 0


def test_same_seed_same_weights_and_another_seed_others(tiles):
    one, other = (StainLUT.fit(tiles, **SMALL) for _ in range(2))
    assert weights_equal(one, other)
    assert not weights_equal(one, StainLUT.fit(tiles, seed=1, **SMALL))


def test_training_leaves_the_callers_random_state_alone(tiles):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    StainLUT.fit(tiles, **SMALL)
    assert torch.equal(torch.rand(3), expected)


def test_a_resumed_run_equals_an_uninterrupted_one(tiles, tmp_path):
    expected = StainLUT.fit(tiles, **SMALL)
    script = textwrap.dedent(f"""
        import torch; torch.set_num_threads({torch.get_num_threads()})
        import numpy as np
        from stainxform.learning import loop
        from stainxform.normalizers.stainlut.normalizer import StainLUT
        def stop(self, path, key, store=loop._Run.store):
            store(self, path, key)
            if self.step == 8:
                open({str(tmp_path / "ready")!r}, "w").close()
                import time; time.sleep(60)
        loop._Run.store = stop
        StainLUT.fit(np.load({str(tmp_path / "tiles.npy")!r}), workdir={str(tmp_path)!r}, **{SMALL!r})
    """)
    np.save(tmp_path / "tiles.npy", tiles)
    process = subprocess.Popen([sys.executable, "-c", script])
    deadline = time.monotonic() + 60
    while not (tmp_path / "ready").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert load_file(tmp_path / "checkpoint.safetensors")["adam.0.step"] == 8
    resumed = StainLUT.fit(tiles, workdir=tmp_path, **SMALL)
    assert weights_equal(resumed, expected)
    assert resumed.training == expected.training
    rows = (tmp_path / "log.csv").read_text().splitlines()
    assert rows[0].startswith("step,seconds,loss,psnr")
    assert [int(row.split(",")[0]) for row in rows[1:]] == list(range(1, 13))


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_refused(tiles, tmp_path):
    StainLUT.fit(tiles, workdir=tmp_path, **SMALL)
    with pytest.raises(TrainingError, match="other settings or tiles"):
        StainLUT.fit(tiles, workdir=tmp_path, **SMALL | {"dropout": 0.1})
    with pytest.raises(TrainingError, match="other settings or tiles"):
        StainLUT.fit(tiles[:-1], workdir=tmp_path, **SMALL)
    checkpoint = tmp_path / "checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(TrainingError, match="cannot be read"):
        StainLUT.fit(tiles, workdir=tmp_path, **SMALL)
    StainLUT.fit(tiles, workdir=tmp_path, resume=False, **SMALL)


def test_a_diverging_run_stops_with_a_sentence(tiles):
    rates = dict.fromkeys(("predictor", "head", "encoder", "luts"), 1e30)
    with pytest.raises(TrainingError, match="lower the learning rate"):
        StainLUT.fit(tiles, learning_rates=rates, **SMALL)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("steps", 0), ("crop", 8), ("dropout", 1.5), ("gray", "luma"), ("gray", (0.5, 0.5, 0.5)), ("bases", 0),
        ("size", 1), ("context_nodes", 1), ("val_fraction", 1.0), ("decay", "stepwise"), ("device", "abacus"),
        ("color_randomization", {"hue": 0.1}), ("gain", {"gain": 2}), ("learning_rates", {"lr": 1}),
    ],
)  # fmt: skip
def test_a_setting_that_makes_no_sense_is_named(tiles, setting, value):
    argument = "color_randomization" if setting == "gain" else setting
    with pytest.raises(ParameterError, match=setting):
        StainLUT.fit(tiles, **SMALL | {argument: value})


def test_tiles_too_small_for_a_neighborhood_are_refused_before_training():
    with pytest.raises(NotEnoughTissueError, match="smaller than 16x16"):
        StainLUT.fit([np.full((12, 40, 3), 120, np.uint8)], **SMALL)


def test_a_single_tile_and_tiles_of_different_sizes_train(tiles):
    StainLUT.fit(tiles[:1], **SMALL)
    StainLUT.fit([tiles[0], tiles[1][:33, :50], tiles[2][:20]], **SMALL)


@pytest.mark.parametrize("context_nodes", [2, 3, 5])
def test_any_number_of_context_nodes_and_bases_trains_and_reloads(tiles, tmp_path, context_nodes):
    settings = SMALL | {"context_nodes": context_nodes, "bases": 2, "steps": 2, "gray": (0.5, 0.25, 0.25)}
    normalizer = sx.fit_center(tiles, "stainlut", **settings)
    normalizer.save(tmp_path / "m.safetensors")
    loaded = sx.load(tmp_path / "m.safetensors")
    assert loaded.gray == (0.5, 0.25, 0.25)
    assert np.array_equal(loaded(tiles[1]), normalizer(tiles[1]))


def test_a_model_file_with_weights_of_wrong_shape_is_refused(tiles):
    from stainxform.modelfile import ModelState

    normalizer = StainLUT.fit(tiles, **SMALL)
    arrays = normalizer.arrays()
    for name, array in (("luts", arrays["luts"][0]), ("encoder.first.weight", np.zeros((1, 2), np.float32))):
        state = ModelState("stainlut", arrays | {name: array}, normalizer.parameters() | {"min_tissue": 0.01})
        with pytest.raises(ModelFileError):
            sx.Normalizer.from_state(state)


def test_map_for_fixes_the_fusion_weights(tiles):
    normalizer = StainLUT.fit(tiles, **SMALL)
    fixed = normalizer.map_for(tiles[0])
    assert np.array_equal(fixed(tiles[0]), normalizer(tiles[0]))
    assert fixed(tiles[1]).shape == tiles[1].shape


def test_color_randomization_is_off_at_zero_and_stays_in_range():
    planes = np.random.default_rng(0).random((3, 20, 30), dtype=np.float32)
    assert ColorRandomization(0, 0, 0)(planes, np.random.default_rng(0)) is planes
    strong = ColorRandomization(0.9, 0.9, 0.9, 0.9, 0.9)
    draws = [strong(planes, np.random.default_rng(seed)) for seed in range(20)]
    assert all(d.dtype == np.float32 and d.min() >= 0 and d.max() <= 1 for d in draws)
    assert not np.array_equal(draws[0], draws[1])
    assert np.array_equal(draws[0], strong(planes, np.random.default_rng(0)))


def test_mixed_precision_path_runs_on_the_cpu(tiles, monkeypatch):
    from stainxform.normalizers.stainlut import training

    monkeypatch.setattr(training, "autocast", lambda device: torch.autocast("cpu", torch.bfloat16))
    assert np.isfinite(StainLUT.fit(tiles, **SMALL).training["score"])


@pytest.mark.slow
def test_real_scanners_leave_one_slide_out(tmp_path):
    """Hamamatsu tiles move toward the Aperio tiles of the same tissue, in color, without any Hamamatsu tile seen."""
    data = Path(__file__).parents[2] / "shared/data/mitos_atypia14_aligned/derived_registered"
    if not data.exists():
        pytest.skip("the aligned-scanner tiles are not beside the checkout")
    from stainxform.evaluate.metrics import ciede2000
    from stainxform.io.images import read_image

    train = [path for path in sorted((data / "aperio").glob("*.png")) if not path.name.startswith("A03")]
    center = sx.fit_center(train, "stainlut", steps=150, crop=64, validate_every=50, device="cpu")
    names = [f"03{frame}_{patch}.png" for frame in range(4) for patch in (0, 2)]
    ours = [read_image(data / "aperio" / f"A{name}") for name in names]
    other = [read_image(data / "hamamatsu" / f"H{name}") for name in names]
    before = np.mean([ciede2000(b, a) for a, b in zip(ours, other)])
    after = np.mean([ciede2000(center(b), a) for a, b in zip(ours, other)])
    assert after < before
