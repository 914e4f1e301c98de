"""Registers the lookup operators with torch: checks, devices, gradients, shapes for the compiler, and vmap.

Each operator is two of torch's, itself and its backward. Both are opaque to ``torch.compile`` and ``torch.export``,
which take shapes and dtypes from the fakes here. Second derivatives are not defined, and ``torch.func.grad`` works with
none of torch's custom operators: take ``torch.autograd.grad``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, get_args

import torch
from torch import Tensor

from stainxform.color.interpolation import Interpolation
from stainxform.errors import ParameterError
from stainxform.ops.backends import gradient_kernels, kernels

__all__: list[str] = []

# ---------------------------------------------------------------- dispatch: one function for each operator


def _lut3d(lut: Tensor, rgb: Tensor, interpolation: str = "tetrahedral") -> Tensor:
    _check_lut3d(lut, rgb, interpolation)
    return kernels(rgb.device).lut3d(lut, rgb, interpolation)


def _lut4d(lut: Tensor, context: Tensor, rgb: Tensor) -> Tensor:
    _check_lut4d(lut, context, rgb)
    return kernels(rgb.device).lut4d(lut, context, rgb)


def _lookup_gray(table: Tensor, gray: Tensor, context: Tensor) -> Tensor:
    _check_lookup_gray(table, gray, context)
    return kernels(gray.device).lookup_gray(table, gray, context)


def _lut3d_backward(
    grad: Tensor, lut: Tensor, rgb: Tensor, interpolation: str, need_lut: bool, need_rgb: bool
) -> tuple[Tensor, Tensor]:
    return gradient_kernels(rgb.device).lut3d_backward(grad, lut, rgb, interpolation, need_lut, need_rgb)


def _lut4d_backward(
    grad: Tensor, lut: Tensor, context: Tensor, rgb: Tensor, need_lut: bool, need_coordinates: bool
) -> tuple[Tensor, Tensor, Tensor]:
    return gradient_kernels(rgb.device).lut4d_backward(grad, lut, context, rgb, need_lut, need_coordinates)


def _lookup_gray_backward(
    grad: Tensor, table: Tensor, gray: Tensor, context: Tensor, need_table: bool, need_context: bool
) -> tuple[Tensor, Tensor]:
    return gradient_kernels(gray.device).lookup_gray_backward(grad, table, gray, context, need_table, need_context)


# ---------------------------------------------------------------- checks

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def _check_floats(**tensors: Tensor) -> None:
    """One floating dtype and one device for all."""
    dtypes = {tensor.dtype for tensor in tensors.values()}
    if len(dtypes) > 1 or not dtypes <= set(_FLOATS):
        found = ", ".join(f"{name} {tensor.dtype}" for name, tensor in tensors.items())
        raise ParameterError(f"all must have one floating dtype, got {found}; convert them to that of the table")


def _check_devices(*tensors: Tensor) -> None:
    devices = {str(tensor.device) for tensor in tensors}
    if len(devices) > 1:
        raise ParameterError(f"the table and the pixels are on different devices, {' and '.join(sorted(devices))}")


def _check_cube(lut: Tensor, axes: str) -> None:
    shape = tuple(lut.shape)
    # Comparisons one by one: while torch compiles, sizes may be symbols.
    if (
        len(shape) != axes.count(",") + 1
        or shape[0] < 1
        or any(size < 2 for size in shape[1:])
        or not shape[-3] == shape[-2] == shape[-1]
    ):
        raise ParameterError(f"the table must be {axes} with at least 2 nodes on each axis, got {shape}")


def _check_rgb(rgb: Tensor) -> None:
    if rgb.ndim < 1 or rgb.shape[0] != 3:
        raise ParameterError(f"rgb must be (3, ...), red, green and blue first, got {tuple(rgb.shape)}")


def _check_lut3d(lut: Tensor, rgb: Tensor, interpolation: str) -> None:
    _check_cube(lut, "(C, T, T, T)")
    _check_rgb(rgb)
    _check_floats(**({"lut": lut} if rgb.dtype == torch.uint8 else {"lut": lut, "rgb": rgb}))
    _check_devices(lut, rgb)
    if interpolation not in get_args(Interpolation):
        raise ParameterError(f"interpolation must be 'tetrahedral' or 'trilinear', got {interpolation!r}")


def _check_lut4d(lut: Tensor, context: Tensor, rgb: Tensor) -> None:
    _check_cube(lut, "(C, K, T, T, T)")
    _check_rgb(rgb)
    _check_floats(lut=lut, context=context, rgb=rgb)
    _check_devices(lut, context, rgb)
    if rgb.shape[1:] != context.shape:
        raise ParameterError(f"rgb must be (3, *context.shape), got {tuple(rgb.shape)} for {tuple(context.shape)}")


def _check_lookup_gray(table: Tensor, gray: Tensor, context: Tensor) -> None:
    shape = tuple(table.shape)
    if len(shape) != 3 or shape[0] < 1 or shape[1] < 2 or shape[2] < 1:
        raise ParameterError(f"the table must be (C, K, levels) with K of at least 2, got {shape}")
    if gray.dtype not in _INTEGERS:
        raise ParameterError(f"gray must hold integers, got {gray.dtype}")
    if gray.shape != context.shape:
        raise ParameterError(f"gray and context must have one shape, got {tuple(gray.shape)}, {tuple(context.shape)}")
    _check_floats(table=table, context=context)
    _check_devices(table, gray, context)


# ---------------------------------------------------------------- shapes and dtypes


def _fake_lut3d(lut: Tensor, rgb: Tensor, interpolation: str = "tetrahedral") -> Tensor:
    _check_lut3d(lut, rgb, interpolation)
    return rgb.new_empty((lut.shape[0], *rgb.shape[1:]))


def _fake_lut4d(lut: Tensor, context: Tensor, rgb: Tensor) -> Tensor:
    _check_lut4d(lut, context, rgb)
    return context.new_empty((lut.shape[0], *context.shape))


def _fake_lookup_gray(table: Tensor, gray: Tensor, context: Tensor) -> Tensor:
    _check_lookup_gray(table, gray, context)
    return context.new_empty((table.shape[0], *context.shape))


def _gradient(like: Tensor, needed: bool) -> Tensor:
    return like.new_empty(like.shape if needed else 0)


def _fake_lut3d_backward(
    grad: Tensor, lut: Tensor, rgb: Tensor, interpolation: str, need_lut: bool, need_rgb: bool
) -> tuple[Tensor, Tensor]:
    return _gradient(lut, need_lut), _gradient(rgb, need_rgb)


def _fake_lut4d_backward(
    grad: Tensor, lut: Tensor, context: Tensor, rgb: Tensor, need_lut: bool, need_coordinates: bool
) -> tuple[Tensor, Tensor, Tensor]:
    return _gradient(lut, need_lut), _gradient(context, need_coordinates), _gradient(rgb, need_coordinates)


def _fake_lookup_gray_backward(
    grad: Tensor, table: Tensor, gray: Tensor, context: Tensor, need_table: bool, need_context: bool
) -> tuple[Tensor, Tensor]:
    return _gradient(table, need_table), _gradient(context, need_context)


# ---------------------------------------------------------------- gradients


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Tensors by ``save_for_backward`` alone, which lets go of them after the backward."""
    ctx.save_for_backward(*(value for value in inputs if isinstance(value, Tensor)))
    ctx.options = tuple(value for value in inputs if not isinstance(value, Tensor))


def _lut3d_gradient(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    needs = ctx.needs_input_grad
    found = torch.ops.stainxform.lut3d_backward(grad, *ctx.saved_tensors, *ctx.options, needs[0], needs[1])
    return *_only(found, needs), None


def _lut4d_gradient(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    needs = ctx.needs_input_grad
    found = torch.ops.stainxform.lut4d_backward(grad, *ctx.saved_tensors, needs[0], needs[1] or needs[2])
    return _only(found, needs)


def _lookup_gray_gradient(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    needs = ctx.needs_input_grad
    table, unit = torch.ops.stainxform.lookup_gray_backward(grad, *ctx.saved_tensors, needs[0], needs[2])
    return table if needs[0] else None, None, unit if needs[2] else None


def _only(found: Sequence[Tensor], needed: Sequence[bool]) -> tuple[Tensor | None, ...]:
    return tuple(gradient if need else None for gradient, need in zip(found, needed))


# ---------------------------------------------------------------- vmap


def _each(operator: Any) -> Callable[..., tuple[Any, Any]]:
    """Rule of vmap: one call for each element of the batch, results stacked in front."""

    def rule(info: Any, axes: tuple[int | None, ...], *arguments: Any) -> tuple[Any, Any]:
        results = [
            operator(*(value if axis is None else value.select(axis, i) for value, axis in zip(arguments, axes)))
            for i in range(info.batch_size)
        ]
        if isinstance(results[0], Tensor):
            return torch.stack(results), 0
        return tuple(map(torch.stack, zip(*results))), (0,) * len(results[0])

    return rule


def _one_table(operator: Any, planes: Sequence[int]) -> Callable[..., tuple[Any, Any]]:
    """The same, but one call for the whole batch where all elements share the table.

    ``planes`` says how many axes come before the pixels in each argument after the table.
    """
    each = _each(operator)

    def rule(info: Any, axes: tuple[int | None, ...], table: Tensor, *arguments: Any) -> tuple[Any, Any]:
        if axes[0] is not None:
            return each(info, axes, table, *arguments)
        batched = list(arguments)
        for i, (axis, front) in enumerate(zip(axes[1:], planes)):
            value = batched[i]
            if axis is None:
                size = (*value.shape[:front], info.batch_size, *value.shape[front:])
                batched[i] = value.unsqueeze(front).expand(size)
            else:
                batched[i] = value.movedim(axis, front)
        return operator(table, *batched), 1

    return rule


# ---------------------------------------------------------------- registration


def _register(
    schema: str, implementation: Callable[..., Any], fake: Callable[..., Any], planes: Sequence[int] | None = None
) -> Any:
    """Define an operator; one without ``planes`` is a backward."""
    name = implementation.__name__[1:]
    define: Any = torch.library.custom_op(f"stainxform::{name}", implementation, mutates_args=(), schema=schema)
    define.register_fake(fake)
    operator = getattr(torch.ops.stainxform, name)
    if hasattr(define, "register_vmap"):  # torch >= 2.5
        define.register_vmap(_each(operator) if planes is None else _one_table(operator, planes))
    return define


_register("(Tensor lut, Tensor rgb, str interpolation='tetrahedral') -> Tensor", _lut3d, _fake_lut3d, (1,)).register_autograd(_lut3d_gradient, setup_context=_save)  # fmt: skip
_register("(Tensor lut, Tensor context, Tensor rgb) -> Tensor", _lut4d, _fake_lut4d, (0, 1)).register_autograd(_lut4d_gradient, setup_context=_save)  # fmt: skip
_register("(Tensor table, Tensor gray, Tensor context) -> Tensor", _lookup_gray, _fake_lookup_gray, (0, 0)).register_autograd(_lookup_gray_gradient, setup_context=_save)  # fmt: skip
_register("(Tensor grad, Tensor lut, Tensor rgb, str interpolation, bool need_lut, bool need_rgb) -> (Tensor, Tensor)", _lut3d_backward, _fake_lut3d_backward)  # fmt: skip
_register("(Tensor grad, Tensor lut, Tensor context, Tensor rgb, bool need_lut, bool need_coordinates) -> (Tensor, Tensor, Tensor)", _lut4d_backward, _fake_lut4d_backward)  # fmt: skip
_register("(Tensor grad, Tensor table, Tensor gray, Tensor context, bool need_table, bool need_context) -> (Tensor, Tensor)", _lookup_gray_backward, _fake_lookup_gray_backward)  # fmt: skip
