"""Every normalizer and every map as a torch module: the plain path's colors, compiled, exported and differentiated."""

from __future__ import annotations

import copy
import io
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from augment_cases import fitted
from torch.export import Dim

import stainxform as sx
from stainxform.augment import AUGMENTATIONS
from stainxform.errors import InvalidImageError, MissingDependencyError, ModelFileError, ParameterError
from stainxform.image.histogram import ColorHistogram
from stainxform.maps import ColorMap, IdentityMap, ImageMap
from stainxform.nn import Normalize
from stainxform.nn.operator import normalize
from stainxform.nn.traced import traced
from stainxform.normalizers.stainlut.module import lookup
from stainxform.ops.lut4d import lookup_gray

LEVEL = 1
FLOAT = 1e-5
"""How far torch operations may be from the plain path: their log and exp differ from numpy's in the last bit."""

FREE = ({0: Dim.AUTO, 2: Dim.AUTO, 3: Dim.AUTO},)

plain_warnings = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:.*treespec")


@pytest.fixture(scope="session")
def eight_bit(tiles) -> torch.Tensor:
    """The other center's tiles, uint8 ``(3, 3, 72, 56)``."""
    return torch.from_numpy(np.moveaxis(tiles[1], -1, 1).copy())


@pytest.fixture(scope="session")
def unit(eight_bit) -> torch.Tensor:
    """The same as floats in 0..1."""
    return eight_bit.float() / 255


@pytest.fixture(scope="session")
def image_map(normalizer, tiles):
    """The map that each method makes for one image."""
    return normalizer.map_for(tiles[1][0])


@pytest.fixture(scope="session", params=["whole", "map"])
def case(request, normalizer):
    """Every method as it is, and its map for one image: a model and its module."""
    model = normalizer if request.param == "whole" else request.getfixturevalue("image_map")
    return model, Normalize(model)


class Mirror(ImageMap):
    """A map that is none of ours."""

    def apply(self, image, spec):
        return image


def each(model, batch, **options):
    return torch.stack([model(image, **options) for image in batch])


def levels_apart(a, b):
    return int((a.int() - b.int()).abs().max())


class TestColors:
    def test_are_those_of_the_plain_path(self, case, eight_bit, unit):
        model, module = case
        level, tolerance = (LEVEL, FLOAT) if module.native else (0, 0)
        before = eight_bit.clone()
        result = module(eight_bit)
        assert (result.dtype, result.shape) == (eight_bit.dtype, eight_bit.shape)
        assert levels_apart(result, each(model, eight_bit)) <= level
        assert torch.equal(eight_bit, before)
        torch.testing.assert_close(module(unit), each(model, unit), atol=tolerance, rtol=0)
        assert torch.equal(model(unit), each(model, unit))  # the plain path, too, takes batches
        assert (result != eight_bit).any()

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
    @pytest.mark.parametrize("value_range", [(0.0, 255.0), (-1.0, 1.0)])
    def test_in_every_dtype_and_range(self, normalizer, unit, dtype, value_range):
        low, high = value_range
        batch = (unit * (high - low) + low).to(dtype)
        result = Normalize(normalizer, value_range)(batch)
        assert result.dtype == dtype
        wanted = normalizer(batch, value_range=value_range)
        step = 4 * torch.finfo(dtype).eps * (high - low) + FLOAT * (high - low)
        torch.testing.assert_close(result.double(), wanted.double(), atol=step, rtol=0)

    def test_a_single_image_and_strides(self, case, unit):
        _, module = case
        torch.testing.assert_close(module(unit[0]), module(unit)[0], atol=FLOAT, rtol=0)
        strided = unit.to(memory_format=torch.channels_last)
        torch.testing.assert_close(module(strided), module(unit), atol=FLOAT, rtol=0)

    def test_blank_images_are_kept(self, normalizer, unit, eight_bit):
        module = Normalize(normalizer)
        for batch, white in ((unit, 1), (eight_bit, 255)):
            mixed = batch.clone()
            mixed[1] = white
            result = module(mixed)
            assert torch.equal(result[1], mixed[1])
            assert torch.equal(result[::2], module(batch)[::2])

    @pytest.mark.parametrize("shape", [(2, 3, 1, 1), (2, 3, 5, 6), (1, 3, 0, 4), (0, 3, 8, 8)], ids=str)
    @pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
    def test_images_without_pixels_and_batches_without_images(self, normalizer, shape, dtype):
        batch = torch.full(shape, 150 if dtype == torch.uint8 else 0.6, dtype=dtype)
        result = Normalize(normalizer)(batch)
        assert (result.shape, result.dtype) == (batch.shape, batch.dtype)
        assert torch.equal(result, batch)

    @pytest.mark.parametrize("name", AUGMENTATIONS)
    def test_of_every_augmentations_map(self, name, tiles, unit):
        augmentation = AUGMENTATIONS[name](**fitted(name, *tiles))
        draw = augmentation.sample(np.random.default_rng(6))
        color_map = augmentation.color_map(draw, ColorHistogram.of(tiles[1][0]))
        assert isinstance(color_map, ColorMap)
        torch.testing.assert_close(Normalize(color_map)(unit), color_map(unit), atol=FLOAT, rtol=0)

    @pytest.mark.parametrize("interpolation", ["tetrahedral", "trilinear"])
    def test_of_tables(self, macenko, tiles, unit, interpolation):
        table = sx.bake(macenko.map_for(tiles[1][0]), 9, interpolation)
        module = Normalize(table)
        torch.testing.assert_close(module(unit), table(unit), atol=FLOAT, rtol=0)
        assert "core.colors.fingerprint" in module.state_dict()
        assert sum(b.numel() for b in module.buffers()) >= table.table.size

    def test_a_path(self, normalizer, model_path, unit):
        assert torch.equal(Normalize(model_path)(unit), Normalize(normalizer)(unit))


class TestArguments:
    @pytest.mark.parametrize(
        "image",
        [torch.zeros(8, 8), torch.zeros(4, 8, 8), torch.zeros(1, 1, 3, 8, 8), torch.zeros(3, 8, 8, dtype=torch.int64)],
        ids=lambda image: f"{image.dtype}{tuple(image.shape)}",
    )
    def test_what_is_no_image(self, macenko, image):
        with pytest.raises(InvalidImageError, match="expected uint8 or float"):
            Normalize(macenko)(image)

    def test_what_is_no_model(self, tmp_path, macenko):
        with pytest.raises(ModelFileError, match="typo"):
            Normalize(tmp_path / "typo.safetensors")
        with pytest.raises(ParameterError, match="path or a fitted Normalizer"):
            Normalize(3)
        with pytest.raises(ParameterError, match="a Mirror cannot be computed"):
            Normalize(Mirror())
        with pytest.raises(ParameterError, match="value_range"):
            Normalize(macenko, (1, 0))

    def test_repr(self, macenko):
        assert "macenko, value_range=(0.0, 1.0), native=False" in repr(Normalize(macenko))

    def test_without_torch_the_error_names_the_extra(self, monkeypatch):
        for name in [name for name in sys.modules if name.startswith("stainxform.nn")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "torch", None)
        with pytest.raises(MissingDependencyError, match=r"pip install 'stainxform\[torch\]'"):
            import stainxform.nn  # noqa: F401


class TestModule:
    def test_stays_in_eval_mode_and_float32(self, case, unit):
        module = copy.deepcopy(case[1])
        wanted = module(unit)
        model = torch.nn.Sequential(module).train().half()
        assert not any(part.training for part in module.modules())
        assert not any(parameter.requires_grad for parameter in module.parameters())
        assert torch.equal(model(unit), wanted)

    @pytest.mark.parametrize("clone", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
    def test_copies_and_pickles(self, case, unit, clone):
        _, module = case
        assert torch.equal(clone(module)(unit), module(unit))

    def test_can_be_moved(self, case):
        module = copy.deepcopy(case[1]).to("meta")
        assert {tensor.device.type for tensor in module.state_dict().values()} == {"meta"}
        if module.native:
            assert module(torch.empty(2, 3, 40, 48, device="meta")).shape == (2, 3, 40, 48)

    @pytest.mark.parametrize("method", ["macenko", "stainlut"])
    def test_a_state_brings_its_center_along(self, method, normalizers, tiles, unit):
        from conftest import TINY

        module = Normalize(sx.fit_center(tiles[1], method, **TINY.get(method, {})))
        wanted = Normalize(normalizers[method])
        assert not torch.equal(module(unit), wanted(unit))
        module.load_state_dict(wanted.state_dict())
        assert torch.equal(module(unit), wanted(unit))

    def test_a_maps_state_is_refused_by_another_map(self, normalizers, tiles, unit):
        first, second = (Normalize(normalizers["macenko"].map_for(tile)) for tile in tiles[1][:2])
        with pytest.raises(RuntimeError, match="another color map"):
            second.load_state_dict(first.state_dict())
        again = Normalize(normalizers["macenko"].map_for(tiles[1][0]))
        again.load_state_dict(first.state_dict())
        assert torch.equal(again(unit), first(unit))


class TestGradients:
    def test_are_those_of_the_map(self, normalizer, unit):
        module, batch = Normalize(normalizer), unit.clone().requires_grad_()
        weights = torch.rand(unit.shape, generator=torch.Generator().manual_seed(0))
        (module(batch) * weights).sum().backward()
        assert torch.isfinite(batch.grad).all()
        assert (batch.grad != 0).any((1, 2, 3)).all()
        maps = [normalizer.map_for(image) for image in unit]
        if not isinstance(maps[0], ColorMap):
            return
        other = unit.clone().requires_grad_()
        (torch.stack([f(image) for f, image in zip(maps, other)]) * weights).sum().backward()
        torch.testing.assert_close(batch.grad, other.grad, atol=1e-4, rtol=1e-4)

    def test_a_map_without_gradients_says_so(self, macenko, unit, monkeypatch):
        module = Normalize(macenko)
        batch = unit.clone().requires_grad_()
        result = module(batch)
        monkeypatch.setattr(type(macenko), "map_for", lambda self, image, **options: Mirror())
        with pytest.raises(ParameterError, match="no gradient flows through 'macenko'"):
            result.sum().backward()

    def test_that_of_a_blank_image_passes_through(self, macenko):
        white = torch.ones(2, 3, 16, 16, requires_grad=True)
        (Normalize(macenko)(white) * 3).sum().backward()
        assert (white.grad == 3).all()

    def test_one_more_gray_level_is_one_step_in_the_table(self):
        generator = torch.Generator().manual_seed(0)
        table = torch.rand(2, 3, 2, 256, generator=generator, dtype=torch.float64)
        context = torch.rand(2, 1, 5, 4, generator=generator, dtype=torch.float64)
        levels = torch.randint(0, 255, (2, 1, 5, 4), generator=generator).double().requires_grad_()
        result = lookup(table, levels, context)
        for i in range(2):
            wanted = lookup_gray(table[i], levels[i, 0].detach().long(), context[i, 0])
            torch.testing.assert_close(result[i], wanted, atol=1e-14, rtol=0)
        result.sum().backward()
        step = lookup(table, levels.detach() + 1, context) - lookup(table, levels.detach(), context)
        torch.testing.assert_close(levels.grad, step.sum(1, keepdim=True), atol=1e-13, rtol=0)


class TestGraphs:
    @pytest.fixture(autouse=True)
    def _forget_compiled(self):
        torch._dynamo.reset()  # all modules share one forward, which is compiled a limited number of times

    @pytest.mark.slow
    @plain_warnings
    def test_compile_in_one_graph(self, case, unit):
        _, module = case
        compiled = torch.compile(module, fullgraph=True, backend="aot_eager", dynamic=True)
        for batch in (unit, unit[:2, :, :40, :33]):
            torch.testing.assert_close(compiled(batch), module(batch), atol=FLOAT, rtol=0)

    @pytest.mark.slow
    @plain_warnings
    def test_compiled_gradients(self, normalizers, unit):
        for method in ("macenko", "stainlut"):
            module = Normalize(normalizers[method])
            results = []
            for run in (module, torch.compile(module, fullgraph=True, backend="aot_eager")):
                batch = unit.clone().requires_grad_()
                run(batch).square().sum().backward()
                results.append(batch.grad)
            assert (results[0] - results[1]).norm() < 0.01 * results[0].norm()  # kinks: StainLUT has many

    @pytest.mark.slow
    @plain_warnings
    @pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler")
    @pytest.mark.parametrize("method", ["macenko", "vahadane", "stainlut"])
    def test_inductor(self, normalizers, tiles, unit, method):
        for model in (normalizers[method], normalizers[method].map_for(tiles[1][0])):
            module = Normalize(model)
            compiled = torch.compile(module, fullgraph=True)
            torch.testing.assert_close(compiled(unit), module(unit), atol=FLOAT, rtol=0)

    @plain_warnings
    def test_export_with_free_sizes(self, case, unit):
        _, module = case
        program = torch.export.export(module, (unit,), dynamic_shapes=FREE)
        file = io.BytesIO()
        torch.export.save(program, file)
        file.seek(0)
        loaded = torch.export.load(file).module()
        for batch in (unit, unit[:2, :, :40, :33], unit[:1]):
            torch.testing.assert_close(loaded(batch), module(batch), atol=FLOAT, rtol=0)

    @pytest.mark.slow
    @plain_warnings
    @pytest.mark.parametrize(("native", "needs"), [(True, "torch"), (False, "stainxform.nn")])
    def test_another_process_runs_a_saved_program(self, macenko, tiles, unit, tmp_path, native, needs):
        module = Normalize(macenko.map_for(tiles[1][0]) if native else macenko)
        program = torch.export.export(module, (unit,), dynamic_shapes=FREE)
        torch.export.save(program, tmp_path / "program.pt2")
        torch.save(unit, tmp_path / "unit.pt")
        code = (
            f"import sys, torch, {needs}\n"
            "result = torch.export.load('program.pt2').module()(torch.load('unit.pt'))\n"
            "torch.save(result, 'result.pt')\n"
            f"assert {native} == ('stainxform' not in sys.modules)\n"
        )
        environment = os.environ | {"PYTHONPATH": str(Path(sx.__file__).parents[1])}
        subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=environment)
        torch.testing.assert_close(torch.load(tmp_path / "result.pt"), module(unit), atol=FLOAT, rtol=0)

    @plain_warnings
    @pytest.mark.parametrize("shape", [(2, 3, 3, 50), (1, 3, 41, 2), (1, 3, 7, 5)], ids=str)
    def test_staingan_continues_short_sides_as_the_plain_path_does(self, normalizers, unit, shape):
        module, batch = Normalize(normalizers["staingan"]), unit[: shape[0], :, : shape[2], : shape[3]].contiguous()
        program = torch.export.export(module, (unit,), dynamic_shapes=FREE).module()
        for run in (module, program):
            torch.testing.assert_close(run(batch), normalizers["staingan"](batch), atol=FLOAT, rtol=0)

    @plain_warnings
    def test_the_operator_keeps_torchs_rules(self, macenko, unit):
        model = Normalize(macenko).core.model
        torch.library.opcheck(normalize, (unit[:1].clone().requires_grad_(), model, 0.0, 1.0))

    def test_a_traced_function_may_have_no_arrays(self):
        planes = torch.rand(3, 11)
        assert torch.equal(traced(IdentityMap().evaluate)(planes), planes)
