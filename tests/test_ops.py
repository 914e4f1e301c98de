"""The lookup operators as torch sees them: registration, gradients, compilation, export, vmap, checks."""

from __future__ import annotations

import weakref

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hypothesis import given  # noqa: E402
from kernel_cases import INPUTS, lut3d_inputs  # noqa: E402
from strategies import he_image, laws  # noqa: E402

from stainxform.errors import ParameterError, StainXformWarning  # noqa: E402
from stainxform.maps.lut3d import Lut3DMap  # noqa: E402
from stainxform.ops import backends, native_kernels, reference  # noqa: E402
from stainxform.ops.lut3d import lut3d  # noqa: E402
from stainxform.ops.lut4d import lookup_gray, lut4d  # noqa: E402

each_interpolation = pytest.mark.parametrize("interpolation", ["tetrahedral", "trilinear"])


def rand(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def inside_cells(shape: tuple[int, ...], nodes: int, seed: int = 0) -> torch.Tensor:
    """Coordinates away from nodes and, along the first axis, from one another: there the slope jumps."""
    generator = torch.Generator().manual_seed(seed)
    cell = torch.randint(0, nodes - 1, shape, generator=generator)
    positions = torch.linspace(0.2, 0.8, shape[0], dtype=torch.float64)
    order = torch.rand(shape, generator=generator).argsort(0)
    return (cell + positions[order]) / (nodes - 1)


def examples(dtype: torch.dtype = torch.float64) -> dict[str, tuple]:
    """Arguments of each operator, inside the cells."""
    gray = torch.randint(0, 256, (4, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    rgb, context = inside_cells((3, 4, 5), 4).to(dtype), inside_cells((1, 4, 5), 3)[0].to(dtype)
    return {
        "lut3d": (rand(3, 4, 4, 4, dtype=dtype), rgb, "tetrahedral"),
        "lut3d trilinear": (rand(2, 4, 4, 4, dtype=dtype), rgb, "trilinear"),
        "lut4d": (rand(3, 3, 4, 4, 4, dtype=dtype), context, rgb),
        "lookup_gray": (rand(3, 3, 256, dtype=dtype), gray, context),
    }


each_example = pytest.mark.parametrize("name", list(examples()))


def operator(name: str):
    return getattr(torch.ops.stainxform, name.split()[0])


def differentiable(arguments: tuple) -> tuple:
    return tuple(
        value.clone().requires_grad_() if isinstance(value, torch.Tensor) and value.is_floating_point() else value
        for value in arguments
    )


@each_example
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_torch_finds_nothing_wrong_with_the_registration(name, dtype):
    torch.library.opcheck(operator(name), differentiable(examples(dtype)[name]))


@each_example
def test_nor_with_that_of_the_backward(name):
    arguments = examples()[name]
    grad = torch.ones_like(operator(name)(*arguments))
    backward = operator(f"{name.split()[0]}_backward")
    for needs in ((True, True), (True, False), (False, True)):
        torch.library.opcheck(backward, (grad, *arguments, *needs))


@each_example
def test_gradients_are_the_true_derivatives(name):
    assert torch.autograd.gradcheck(operator(name), differentiable(examples()[name]))


def test_at_a_node_the_derivative_is_that_of_the_cell_above_and_outside_it_is_zero():
    ramp = torch.tensor([0.0, 1.0, 5.0], dtype=torch.float64)  # slopes 2 and 8
    points = torch.tensor([0.0, 0.25, 0.5, 1.0, -0.1, 1.1], dtype=torch.float64)
    wanted = torch.tensor([2.0, 2.0, 8.0, 8.0, 0.0, 0.0], dtype=torch.float64)

    def slopes(function, coordinate):
        coordinate = coordinate.clone().requires_grad_()
        return torch.autograd.grad(function(coordinate).sum(), coordinate)[0]

    middle = torch.full((3, 6), 0.3, dtype=torch.float64)
    for axis in range(3):
        lut = ramp.reshape([3 if i == axis else 1 for i in range(3)]).expand(1, 3, 3, 3).contiguous()
        rgb = middle.clone()
        rgb[axis] = points
        for interpolation in ("trilinear", "tetrahedral"):
            found = slopes(lambda x, lut=lut, kind=interpolation: lut3d(lut, x, kind), rgb)
            torch.testing.assert_close(found[axis], wanted)
        deep = lut.unsqueeze(1).expand(1, 2, 3, 3, 3)
        torch.testing.assert_close(slopes(lambda x, deep=deep: lut4d(deep, points, x), rgb)[axis], wanted)
    deep = ramp.reshape(1, 3, 1, 1, 1).expand(1, 3, 3, 3, 3)
    torch.testing.assert_close(slopes(lambda x: lut4d(deep, x, middle), points), wanted)
    table, gray = ramp.reshape(1, 3, 1).expand(1, 3, 256), torch.zeros(6, dtype=torch.uint8)
    torch.testing.assert_close(slopes(lambda x: lookup_gray(table, gray, x), points), wanted)


def test_where_fractions_are_equal_the_derivatives_are_those_of_red_before_green_before_blue():
    lut = rand(1, 2, 2, 2)
    rgb = torch.full((3, 1), 0.5, dtype=torch.float64, requires_grad=True)
    lut3d(lut, rgb).backward()
    path = lut[0][[0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1]]
    torch.testing.assert_close(rgb.grad.flatten(), path.diff())


@each_example
def test_the_image_is_let_go_of_after_the_backward(name):
    arguments = [v.clone() if isinstance(v, torch.Tensor) else v for v in examples()[name]]
    arguments[0].requires_grad_()
    result = operator(name)(*arguments)
    result.sum().backward()
    pixels = [weakref.ref(value) for value in arguments[1:] if isinstance(value, torch.Tensor)]
    del arguments
    assert result.grad_fn is not None  # the graph is still there
    assert [value() for value in pixels] == [None] * len(pixels)


@each_example
def test_only_what_needs_a_gradient_gets_one(name):
    for wanted in range(3):
        arguments = [v.clone() if isinstance(v, torch.Tensor) else v for v in examples()[name]]
        if not isinstance(arguments[wanted], torch.Tensor) or not arguments[wanted].is_floating_point():
            continue
        every = differentiable(tuple(arguments))
        operator(name)(*every).sum().backward()
        arguments[wanted].requires_grad_()
        operator(name)(*arguments).sum().backward()
        assert torch.equal(arguments[wanted].grad, every[wanted].grad)


@each_example
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_it_compiles_without_graph_breaks_forward_and_backward(name, backend):
    torch._dynamo.reset()

    def loss(*arguments):
        return (operator(name)(*arguments) * 2).square().sum()

    plain, compiled = differentiable(examples()[name]), differentiable(examples()[name])
    loss(*plain).backward()
    torch.compile(loss, backend=backend, fullgraph=True)(*compiled).backward()
    for one, other in zip(plain, compiled):
        if isinstance(one, torch.Tensor) and one.requires_grad:
            torch.testing.assert_close(other.grad, one.grad)


@each_example
def test_it_is_exported_with_a_dynamic_number_of_rows(name):
    arguments = examples()[name]

    class Model(torch.nn.Module):
        def forward(self, table, *rest):
            return operator(name)(table, *rest)

    rows = torch.export.Dim("rows", min=2)
    shapes = ({}, *({v.ndim - 2: rows} if isinstance(v, torch.Tensor) else None for v in arguments[1:]))
    exported = torch.export.export(Model(), arguments, dynamic_shapes={"table": shapes[0], "rest": shapes[1:]})
    assert f"stainxform.{name.split()[0]}" in str(exported.graph)
    longer = tuple(torch.cat([v, v], -2) if isinstance(v, torch.Tensor) else v for v in arguments[1:])
    assert torch.equal(exported.module()(arguments[0], *longer), operator(name)(arguments[0], *longer))


@each_example
@pytest.mark.parametrize("device", ["meta", "fake"])
def test_shapes_and_dtypes_are_known_without_data(name, device):
    arguments = examples(torch.float32)[name]
    wanted = operator(name)(*arguments)
    if device == "meta":
        found = operator(name)(*(v.to("meta") if isinstance(v, torch.Tensor) else v for v in arguments))
    else:
        with torch._subclasses.FakeTensorMode() as mode:
            found = operator(name)(*(mode.from_tensor(v) if isinstance(v, torch.Tensor) else v for v in arguments))
    assert (found.shape, found.dtype, found.stride()) == (wanted.shape, wanted.dtype, wanted.stride())


@pytest.mark.skipif(not hasattr(torch.library, "register_vmap"), reason="needs torch >= 2.5")
@each_example
def test_vmap_equals_a_loop_whatever_is_batched(name):
    arguments = examples()[name]
    tensors = [i for i, value in enumerate(arguments) if isinstance(value, torch.Tensor)]
    for batched in [[i] for i in tensors] + [tensors, tensors[1:]]:
        given_axes = [(min(1, arguments[i].ndim - 1) if i in batched else None) for i in range(len(arguments))]
        stacked = [torch.stack([v, v.flip(-1)], a) if a is not None else v for v, a in zip(arguments, given_axes)]
        found = torch.vmap(operator(name), tuple(given_axes))(*stacked)
        wanted = [
            operator(name)(*(v.select(a, i) if a is not None else v for v, a in zip(stacked, given_axes)))
            for i in range(2)
        ]
        torch.testing.assert_close(found, torch.stack(wanted), rtol=0, atol=1e-15)


@pytest.mark.skipif(not hasattr(torch.library, "register_vmap"), reason="needs torch >= 2.5")
@each_example
def test_a_batch_of_gradients_equals_a_loop(name):
    arguments = differentiable(examples()[name])
    leaves = [value for value in arguments if isinstance(value, torch.Tensor) and value.requires_grad]
    out = operator(name)(*arguments)
    upstream = rand(3, *out.shape)
    found = torch.autograd.grad(out, leaves, upstream, is_grads_batched=True, retain_graph=True)
    for i, grad in enumerate(upstream):
        for one, other in zip(found, torch.autograd.grad(out, leaves, grad, retain_graph=True)):
            assert torch.equal(one[i], other)


@laws
@given(inputs=lut3d_inputs(color_dtypes=(torch.uint8,)))
def test_uint8_is_the_rounded_and_clipped_float_result(inputs):
    lut, rgb, interpolation = inputs["lut"], inputs["rgb"], inputs["interpolation"]
    found = lut3d(lut, rgb, interpolation)
    work = reference.working_dtype(lut.dtype)
    floats = lut3d(lut.to(work), rgb.to(work) / 255, interpolation)
    # Half a level by rounding; the compiled kernel multiplies by 1/255 where the reference divides.
    assert ((found - floats.clamp(0, 1) * 255).abs() <= 0.5 + 1e-3).all()
    assert not lut3d(lut.clone().requires_grad_(), rgb, interpolation).requires_grad


@each_interpolation
def test_the_operator_gives_the_bits_of_the_map_of_images(interpolation):
    table = np.random.default_rng(0).random((9, 9, 9, 3)).astype("float32") * 1.4 - 0.2
    image, lut = torch.from_numpy(he_image(3, 40, 31)), torch.from_numpy(table).movedim(-1, 0)
    found = lut3d(lut, image.movedim(-1, 0), interpolation).movedim(0, -1)
    np.testing.assert_array_equal(found, Lut3DMap(table, interpolation)(image.numpy()))


@pytest.mark.parametrize("name", INPUTS)
def test_halves_are_computed_in_float32(name):
    @laws
    @given(inputs=INPUTS[name]())
    def law(inputs):
        floats = {
            k: v.float() if isinstance(v, torch.Tensor) and v.is_floating_point() else v for k, v in inputs.items()
        }
        dtype = next(iter(inputs.values())).dtype
        if dtype in (torch.float16, torch.bfloat16):
            assert torch.equal(operator(name)(*inputs.values()), operator(name)(*floats.values()).to(dtype))

    law()


BAD = {
    "no channels": lambda: lut3d(rand(0, 4, 4, 4), rand(3, 5)),
    "a flat table": lambda: lut3d(rand(3, 4, 4), rand(3, 5)),
    "one node": lambda: lut3d(rand(3, 1, 1, 1), rand(3, 5)),
    "unequal axes": lambda: lut3d(rand(3, 4, 4, 5), rand(3, 5)),
    "channels last": lambda: lut3d(rand(3, 4, 4, 4), rand(5, 5, 3)),
    "two dtypes": lambda: lut3d(rand(3, 4, 4, 4), rand(3, 5).float()),
    "whole numbers": lambda: lut3d(rand(3, 4, 4, 4), torch.zeros(3, 5, dtype=torch.int32)),
    "a table of bytes": lambda: lut3d(torch.zeros(3, 4, 4, 4, dtype=torch.uint8), torch.zeros(3, 5, dtype=torch.uint8)),
    "cubic": lambda: lut3d(rand(3, 4, 4, 4), rand(3, 5), "cubic"),
    "two devices": lambda: lut3d(rand(3, 4, 4, 4).to("meta"), rand(3, 5)),
    "no context axis": lambda: lut4d(rand(3, 4, 4, 4), rand(5), rand(3, 5)),
    "one context node": lambda: lut4d(rand(3, 1, 4, 4, 4), rand(5), rand(3, 5)),
    "other pixels": lambda: lut4d(rand(3, 2, 4, 4, 4), rand(6), rand(3, 5)),
    "float gray": lambda: lookup_gray(rand(3, 2, 256), rand(5), rand(5)),
    "fewer grays": lambda: lookup_gray(rand(3, 2, 256), torch.zeros(4, dtype=torch.uint8), rand(5)),
    "one slice": lambda: lookup_gray(rand(3, 1, 256), torch.zeros(5, dtype=torch.uint8), rand(5)),
    "a table without context": lambda: lookup_gray(rand(3, 256), torch.zeros(5, dtype=torch.uint8), rand(5)),
}


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_is_refused_with_a_sentence(name):
    with pytest.raises(ParameterError, match=r"must|devices"):
        BAD[name]()


def test_grays_outside_of_the_table_are_clamped():
    table, context = rand(3, 2, 16), rand(4)
    found = lookup_gray(table, torch.tensor([-5, 0, 15, 99]), context)
    assert torch.equal(found, lookup_gray(table, torch.tensor([0, 0, 15, 15]), context))


def test_without_triton_or_a_compiler_cuda_is_served_by_the_reference_with_a_warning(monkeypatch):
    monkeypatch.setattr(backends.shutil, "which", lambda name: None)
    monkeypatch.delenv("CC", raising=False)
    backends._triton_kernels.cache_clear()
    try:
        with pytest.warns(StainXformWarning, match="no C compiler"):
            assert backends.kernels(torch.device("cuda")) is reference
        assert backends.kernels(torch.device("cuda")) is reference  # once
    finally:
        backends._triton_kernels.cache_clear()
    assert backends.kernels(torch.device("cpu")) is native_kernels
