"""StainLUT's Encoder in compiled code: against float64, against torch, and against itself on every path."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import he_image, laws, sides, store

torch = pytest.importorskip("torch")

from references.stainlut_encoder import encode  # noqa: E402

import stainxform as sx  # noqa: E402
from stainxform._native import kernels, native  # noqa: E402
from stainxform.errors import ParameterError  # noqa: E402
from stainxform.image.layout import check_image  # noqa: E402
from stainxform.normalizers.stainlut.network import NORMS, Encoder, StainLUTNet, gray_levels  # noqa: E402
from stainxform.normalizers.stainlut.normalizer import StainLUT, image_gray  # noqa: E402
from stainxform.normalizers.stainlut.settings import GRAYS  # noqa: E402
from stainxform.ops.lut4d import lookup_gray  # noqa: E402

compiled = pytest.mark.skipif(not native.active(), reason="the compiled kernels are missing or off")
every_variant = pytest.mark.parametrize("variant", native.available())
every_norm = pytest.mark.parametrize("norm", NORMS)

EXACT = 1e-5
"""Of the context. Float32 sums of 144 products in another order; torch itself is up to 2e-6 from float64."""

FAST = 0.03
"""bfloat16 keeps 8 bits of each activation and weight; instance norm of a small image enlarges that."""


def random_encoder(norm, seed=0):
    """An Encoder whose every weight matters, statistics included."""
    generator = torch.Generator().manual_seed(seed)
    encoder = Encoder(norm=norm).requires_grad_(False)
    for name, value in encoder.state_dict().items():
        noise = torch.randn(value.shape, generator=generator)
        if value.ndim == 4:
            value.copy_(noise * (1.5 / value[0].numel()) ** 0.5)
        elif "running" not in name and value.ndim:
            value.copy_(0.2 * noise + name.startswith("norms") * name.endswith("weight"))
    if norm == "running":
        for part in encoder.norms:
            part.momentum = 1.0
        encoder.train()(torch.from_numpy(gray_tissue(seed, 40, 50))[None, None].float() / 255)
    return encoder.eval()


def by_torch(encoder, gray, dtype=torch.float32):
    unit = torch.from_numpy(gray)[None, None].to(dtype) / 255
    with torch.inference_mode():
        return encoder.to(dtype)(unit)[0, 0].numpy()


def gray_tissue(seed, height, width):
    return he_image(seed, height, width).mean(-1).round().astype(np.uint8)


grays = st.builds(gray_tissue, st.integers(0, 99), sides(1, 40), sides(1, 150))


@pytest.fixture
def threads():
    before = native._threads
    yield native.set_threads
    native.set_threads(before)


@every_norm
def test_torch_computes_the_definition(norm):
    encoder, gray = random_encoder(norm), gray_tissue(0, 21, 34)
    expected = encode(gray, encoder.state_dict(), norm)
    assert np.abs(by_torch(encoder, gray, torch.float64) - expected).max() < 1e-12
    assert expected.std() > 0.02


@compiled
@every_norm
@every_variant
@laws
@given(gray=grays, seed=st.integers(0, 99))
def test_exact_is_float32_of_any_size(variant, norm, gray, seed):
    encoder = random_encoder(norm, seed)
    expected = encode(gray, encoder.state_dict(), norm)
    with native.using(variant):
        context = encoder.kernel()(gray, fast=False)
    # Two pixels that are almost alike are normalized from almost nothing.
    assert np.abs(context - expected).max() < (EXACT if gray.size > 2 else 1e-4)


@compiled
@every_norm
@every_variant
@laws
@given(gray=grays, seed=st.integers(0, 99))
def test_fast_is_close_at_any_size(variant, norm, gray, seed):
    encoder = random_encoder(norm, seed)
    expected = encode(gray, encoder.state_dict(), norm)
    with native.using(variant):
        context = encoder.kernel()(gray, fast=True)
    if norm != "instance" or gray.size > 8:  # one or two pixels may be normalized from almost nothing
        assert np.abs(context - expected).max() < FAST


@compiled
@every_variant
@pytest.mark.parametrize("level", [0, 128, 255])
def test_almost_flat_images_keep_their_precision(variant, level):
    """Instance norm divides by a tiny deviation, so that rounding relative to the mean would be all one saw."""
    gray = np.full((60, 70), level, np.uint8)
    gray[20:40, 30:50] = level - 1 if level else 1
    encoder = random_encoder("instance")
    expected = encode(gray, encoder.state_dict(), "instance")
    with native.using(variant):
        exact, fast = (encoder.kernel()(gray, fast=mode) for mode in (False, True))
    assert np.abs(exact - expected).max() < 1e-4
    assert np.abs(fast - expected).max() < FAST


@compiled
@every_norm
@every_variant
@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (16, 33), (17, 64), (131, 100)])
def test_the_number_of_threads_changes_no_bit(variant, norm, fast, shape, threads, monkeypatch):
    monkeypatch.setattr(native, "PIXELS_PER_THREAD", 1)
    gray, kernel, results = gray_tissue(1, *shape), random_encoder(norm).kernel(), []
    with native.using(variant):
        for count in (1, 2, 3, 5, 16):
            threads(count)
            results.append(kernel(gray, fast))
    assert all(np.array_equal(results[0], other) for other in results[1:])


@compiled
@every_variant
@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("norm", ["running", "none"])
def test_with_fixed_statistics_tiles_equal_the_whole(variant, norm, fast):
    """A halo of 5 px is all that a pixel sees."""
    gray, kernel = gray_tissue(2, 70, 90), random_encoder(norm).kernel()
    with native.using(variant):
        whole = kernel(gray, fast)
        for top, left, height, width in ((0, 0, 30, 40), (13, 21, 31, 17), (40, 50, 30, 40)):
            inner = (slice(top, top + height), slice(left, left + width))
            outer = tuple(slice(max(0, part.start - 5), part.stop + 5) for part in inner)
            tile = kernel(np.ascontiguousarray(gray[outer]), fast)
            cut = tuple(
                slice(a.start - b.start, a.start - b.start + size) for a, b, size in zip(inner, outer, (height, width))
            )
            assert np.abs(tile[cut] - whole[inner]).max() < 1e-6


@compiled
@every_variant
@laws
@given(colors=st.integers(0, 2**32 - 1), weights=st.sampled_from([*GRAYS.values(), (0.5, 0.25, 0.25), (0.2, 0.3, 0.5)]),
       storage=st.sampled_from(["uint8", "float32"]), layout=st.sampled_from(["HWC", "CHW"]))  # fmt: skip
def test_gray_is_numpys_bit_for_bit(variant, colors, weights, storage, layout):
    """Halves, which round to even, included: with weights of a quarter one color in ten is one."""
    pixels = np.random.default_rng(colors).integers(0, 256, (33, 47, 3), dtype=np.uint8)
    stored = store(pixels, storage, layout)
    spec = check_image(stored.image, **stored.keywords)
    with native.using(variant):
        found = image_gray(stored.image, spec, weights)
    with native.using("off"):
        expected = image_gray(stored.image, spec, weights)
    assert torch.equal(found, expected)


@compiled
@every_variant
@pytest.mark.parametrize("nodes", [2, 3, 7])
def test_the_lookup_equals_torchs(variant, nodes):
    rng = np.random.default_rng(nodes)
    table = torch.from_numpy(rng.uniform(-0.1, 1.1, (3, nodes, 256)).astype(np.float32))
    gray = rng.integers(0, 256, (37, 71), dtype=np.uint8)
    context = rng.uniform(-0.1, 1.1, gray.shape).astype(np.float32)
    context[0] = np.linspace(0, 1, 71)
    padded = np.zeros((256, nodes, 4), np.float32)
    padded[..., :3] = table.permute(2, 1, 0)
    expected = lookup_gray(table, torch.from_numpy(gray), torch.from_numpy(context)).numpy().clip(0, 1)
    floats, levels = np.empty((3, *gray.shape), np.float32), np.empty((3, *gray.shape), np.uint8)
    with native.using(variant):
        kernels.gray_lut(padded, gray, context, floats, 0.0, 1.0)
        kernels.gray_lut(padded, gray, context, levels, 0.0, 255.0)
    assert np.abs(floats - expected).max() < 1e-6
    off = np.abs(levels - np.rint(expected.astype(np.float64) * 255))
    halfway = np.abs(expected.astype(np.float64) * 255 % 1 - 0.5) < 1e-3
    assert off.max() <= 1
    assert not off[~halfway].any()


# ---- the normalizer -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def normalizers():
    """The context moves colors by up to 64 levels, more than training was seen to make of it."""
    made = {}
    for norm in NORMS:
        torch.manual_seed(0)
        net = StainLUTNet(size=9, asymmetry=0.25, encoder_norm=norm)
        net.encoder.load_state_dict(random_encoder(norm).state_dict())
        made[norm] = StainLUT(net=net)
    return made


def difference(one, other):
    return np.abs(one.astype(int) - other.astype(int))


@compiled
@every_norm
@every_variant
def test_exact_is_a_level_at_most_from_torch(normalizers, tiles, norm, variant):
    for tile in tiles[1]:
        with native.using("off"):
            expected = normalizers[norm](tile)
        with native.using(variant):
            off = difference(normalizers[norm](tile), expected)
        assert off.max() <= 1
        assert (off > 0).mean() < 1e-3


@compiled
@every_norm
@every_variant
def test_fast_is_two_levels_at_most_from_exact(normalizers, tiles, norm, variant):
    for tile in tiles[1]:
        with native.using(variant):
            off = difference(normalizers[norm].with_inference("fast")(tile), normalizers[norm](tile))
        assert off.max() <= 2
        assert off.mean() < 0.1


@compiled
@pytest.mark.parametrize("inference", ["exact", "fast"])
def test_layouts_strides_and_hosts_agree(normalizers, tiles, inference):
    normalizer, tile = normalizers["instance"].with_inference(inference), tiles[1][0]
    expected = normalizer(tile)
    chw = np.ascontiguousarray(np.moveaxis(tile, -1, 0))
    wide = np.repeat(np.repeat(tile, 2, axis=0), 3, axis=1)
    assert np.array_equal(normalizer(wide[::2, ::3]), expected)
    assert np.array_equal(normalizer(tile[::-1])[::-1], normalizer(np.ascontiguousarray(tile[::-1]))[::-1])
    assert np.array_equal(normalizer(torch.from_numpy(chw)).numpy(), np.moveaxis(expected, -1, 0))
    assert np.array_equal(normalizer(np.stack([tile, tile]))[1], expected)
    for dtype in (np.float16, np.float32, np.float64):
        found = normalizer(tile.astype(dtype), value_range=(0, 255))
        assert found.dtype == dtype
        assert np.abs(found - expected.astype(np.float64)).max() < (0.6 if dtype != np.float16 else 0.7)


def test_inference_is_chosen_kept_and_checked(normalizers, tiles, tmp_path):
    import pickle

    normalizer = normalizers["instance"]
    fast = normalizer.with_inference("fast")
    assert (normalizer.inference, fast.inference) == ("exact", "fast")
    assert fast.net is normalizer.net
    fast.save(tmp_path / "m.safetensors")
    for other in (sx.load(tmp_path / "m.safetensors"), pickle.loads(pickle.dumps(fast)), fast.to("cpu")):
        assert other.inference == "fast"
        assert np.array_equal(other(tiles[1][0]), fast(tiles[1][0]))
    assert fast.map_for(tiles[1][0]).inference == "fast"
    with pytest.raises(ParameterError, match="inference must be one of exact, fast, got 'quick'"):
        normalizer.with_inference("quick")
    with pytest.raises(ParameterError, match="inference"):
        StainLUT.fit(tiles[0], steps=10**9, inference="quick")


def test_a_model_file_without_a_mode_is_exact(normalizers):
    parameters = normalizers["instance"].parameters()
    del parameters["inference"]
    assert StainLUT.from_arrays(normalizers["instance"].arrays(), parameters).inference == "exact"


def test_without_the_kernels_torch_computes_both_modes(normalizers, tiles):
    with native.using("off"):
        tile, normalizer = tiles[1][0], normalizers["instance"]
        gray = torch.from_numpy(gray_levels(np.moveaxis(tile / np.float32(255), -1, 0), GRAYS["mean"]))[None, None]
        with torch.inference_mode():
            colors = normalizer.net(gray)[0][0]
        expected = (colors.clamp(0, 1) * 255).round().to(torch.uint8).movedim(0, -1).numpy()
        assert np.array_equal(normalizer(tile), expected)
        assert np.array_equal(normalizer.with_inference("fast")(tile), expected)


def test_changed_weights_are_seen(tiles):
    """The kernel holds no copy of the network."""
    normalizer = StainLUT(net=StainLUTNet(size=5))
    before = normalizer.map_for(tiles[1][0])
    first = before(tiles[1][0])
    with torch.no_grad():
        normalizer.net.encoder.last.bias += 5
        normalizer.net.luts[:, :, 1] += 0.2
    assert not np.array_equal(normalizer(tiles[1][0]), first)
