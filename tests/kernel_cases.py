"""Drawn inputs of the lookup operators, and what two sets of kernels must agree on.

Both compute one formula on the same cells, so their distance is that of roundings. float32 and float64: a result is a
sum of at most 16 products of numbers up to 1, and kernels may round product and sum at once, so 16 units of rounding;
gradients sum over channels, with slopes up to nodes - 1, and over pixels. Halves are computed in float32 and rounded
once: one unit, as the sums before may fall to either side.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
SHAPES = st.sampled_from([(0,), (1,), (7,), (300,), (0, 4), (5, 3), (2, 9, 16), ()])
INTERPOLATIONS = st.sampled_from(["tetrahedral", "trilinear"])
LAYOUTS = st.sampled_from(["contiguous", "interleaved", "expanded", "every second", "reversed rows"])

Inputs = dict[str, Any]


def coordinates(shape: tuple[int, ...], nodes: int, generator: torch.Generator) -> Tensor:
    """A third inside, a third exactly on nodes, the rest at and beyond both ends; float64."""
    inside = torch.rand(shape, dtype=torch.float64, generator=generator)
    node = torch.randint(0, nodes, shape, generator=generator).double() / (nodes - 1)
    ends = torch.tensor([0.0, -0.0, 1.0, -0.3, 1.7, 1 - 1e-7, 1e-8], dtype=torch.float64)
    end = ends[torch.randint(0, len(ends), shape, generator=generator)]
    kind = torch.randint(0, 3, shape, generator=generator)
    return torch.where(kind == 0, inside, torch.where(kind == 1, node, end))


def laid_out(tensor: Tensor, layout: str) -> Tensor:
    """The same shape, and except for "expanded" the same values, in other strides."""
    if layout == "interleaved" and tensor.ndim > 1:
        return tensor.movedim(0, -1).contiguous().movedim(-1, 0)
    if layout == "expanded" and tensor.ndim > 1 and tensor.shape[0]:
        return tensor[:1].expand(tensor.shape)
    if layout == "every second" and tensor.ndim:
        return tensor.repeat_interleave(2, dim=-1)[..., ::2]
    if layout == "reversed rows" and tensor.ndim > 1:
        return tensor.transpose(-1, -2).contiguous().transpose(-1, -2)
    return tensor


@st.composite
def lut3d_inputs(draw: Callable[..., Any], color_dtypes: tuple[torch.dtype, ...] = DTYPES) -> Inputs:
    """Arguments of lut3d."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    nodes, shape, dtype = draw(st.integers(2, 6)), draw(SHAPES), draw(st.sampled_from(color_dtypes))
    lut_dtype = draw(st.sampled_from(DTYPES)) if dtype == torch.uint8 else dtype
    lut = torch.rand(draw(st.integers(1, 5)), nodes, nodes, nodes, dtype=torch.float64, generator=generator)
    lut = lut * 1.4 - 0.2  # for uint8: some to be clipped
    if dtype == torch.uint8:
        rgb = torch.randint(0, 256, (3, *shape), dtype=torch.uint8, generator=generator)
    else:
        rgb = coordinates((3, *shape), nodes, generator).to(dtype)
    lut = laid_out(lut.to(lut_dtype), draw(LAYOUTS))
    return {"lut": lut, "rgb": laid_out(rgb, draw(LAYOUTS)), "interpolation": draw(INTERPOLATIONS)}


@st.composite
def lut4d_inputs(draw: Callable[..., Any]) -> Inputs:
    """Arguments of lut4d."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    nodes, depth, shape = draw(st.integers(2, 5)), draw(st.integers(2, 4)), draw(SHAPES)
    dtype = draw(st.sampled_from(DTYPES))
    lut = torch.rand(draw(st.integers(1, 4)), depth, *(nodes,) * 3, dtype=torch.float64, generator=generator)
    context, rgb = coordinates(shape, depth, generator), coordinates((3, *shape), nodes, generator)
    tensors = {"lut": lut, "context": context, "rgb": rgb}
    return {name: laid_out(tensor.to(dtype), draw(LAYOUTS)) for name, tensor in tensors.items()}


@st.composite
def gray_inputs(draw: Callable[..., Any]) -> Inputs:
    """Arguments of lookup_gray; integers of other dtypes may lie outside."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    depth, shape, dtype = draw(st.integers(2, 4)), draw(SHAPES), draw(st.sampled_from(DTYPES))
    levels, integers = (
        draw(st.sampled_from([1, 16, 256])),
        draw(st.sampled_from([torch.uint8, torch.int16, torch.int64])),
    )
    low, high = (0, 256) if integers == torch.uint8 else (-20, 300)
    table = torch.rand(draw(st.integers(1, 4)), depth, levels, dtype=torch.float64, generator=generator)
    gray = torch.randint(low, high, shape, generator=generator).to(integers)
    context = coordinates(shape, depth, generator).to(dtype)
    tensors = {"table": table.to(dtype), "gray": gray, "context": context}
    return {name: laid_out(tensor, draw(LAYOUTS)) for name, tensor in tensors.items()}


INPUTS = {"lut3d": lut3d_inputs, "lut4d": lut4d_inputs, "lookup_gray": gray_inputs}


def assert_close(found: Tensor, wanted: Tensor, slack: float = 16) -> None:
    """Equal but for ``slack`` units of rounding (see the module), of the dtype and shape."""
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    unit = torch.finfo(torch.float64 if wanted.dtype == torch.float64 else torch.float32).eps
    own = torch.finfo(wanted.dtype).eps
    torch.testing.assert_close(found.cpu(), wanted.cpu(), atol=slack * unit, rtol=slack * unit + own, equal_nan=True)


def check_forward(kernels: Any, reference: Any, operator: str, inputs: Inputs, device: str = "cpu") -> None:
    """Both give the same colors, and neither writes to its inputs."""
    moved = on(inputs, device)
    before = {name: value.clone() for name, value in moved.items() if isinstance(value, Tensor)}
    found, wanted = (getattr(module, operator)(**moved) for module in (kernels, reference))
    assert found.is_contiguous()
    assert all(torch.equal(moved[name], value) for name, value in before.items())
    assert_close(found, wanted)


def check_backward(kernels: Any, reference: Any, operator: str, inputs: Inputs, device: str = "cpu") -> None:
    """Both give the same gradients, and empty ones where none is needed."""
    moved = on(inputs, device)
    shape = getattr(reference, operator)(**moved).shape
    table = next(iter(moved.values()))
    generator = torch.Generator().manual_seed(0)
    grad = torch.rand(shape, dtype=torch.float64, generator=generator).to(table.dtype).to(device)
    for needs in ((True, True), (True, False), (False, True)):
        found, wanted = (
            getattr(m, f"{operator}_backward")(grad, *moved.values(), *needs) for m in (kernels, reference)
        )
        for one, other in zip(found, wanted, strict=True):
            assert_close(one, other, slack=16 * 5 * 16)


def check_levels(kernels: Any, reference: Any, inputs: Inputs, device: str = "cpu") -> None:
    """uint8 results are equal, except where the unrounded one lies within 1e-3 levels of a tie."""
    moved = on(inputs, device)
    found, wanted = (module.lut3d(**moved) for module in (kernels, reference))
    assert found.dtype == wanted.dtype == torch.uint8
    unrounded = reference.lut3d(moved["lut"].double(), moved["rgb"].double() / 255, moved["interpolation"]) * 255
    tie = (unrounded - unrounded.floor() - 0.5).abs() < 1e-3
    difference = (found.int() - wanted.int()).abs()
    assert (difference[~tie] == 0).all()
    assert (difference <= 1).all()


def script(name: str) -> Any:
    """``benchmarks/<name>.py`` as a module."""
    spec = spec_from_file_location(name, Path(__file__).parents[1] / f"benchmarks/{name}.py")
    module = module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


def on(inputs: Inputs, device: str) -> Inputs:
    """The same on a device, in the same strides."""
    return {name: _move(value, device) if isinstance(value, Tensor) else value for name, value in inputs.items()}


def _move(tensor: Tensor, device: str) -> Tensor:
    whole = torch.empty(0, dtype=tensor.dtype).set_(tensor.untyped_storage()).to(device)
    return whole.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())
