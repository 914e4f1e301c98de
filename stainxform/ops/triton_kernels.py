"""The lookup operators for CUDA, with the functions of ``stainxform.ops.reference``.

Written in Triton because it comes with CUDA builds of torch: users compile nothing and need no CUDA toolkit, the kernels
are made for the GPU at hand on first use, and the same source runs in Triton's interpreter, so that it is tested on
machines without a GPU.

A thread holds all channels of its pixels, and tables are repacked as rows, one for each node, padded to a power of two:
a corner is then one 16-byte read instead of three scattered ones. Pixels are read through their strides, planes and
interleaved images alike. Gradients of tables are summed by atomic additions, in float32 (float64 for float64), in no
fixed order: repeated runs differ in the last bits.

Only ``stainxform.ops.backends`` imports this module. Docs: ``docs/gpu.md``.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from stainxform.ops.reference import working_dtype

__all__ = [
    "GRAY_COPIES",
    "OPTIONS",
    "constants",
    "gray_lookup",
    "gray_lookup_backward",
    "lookup_gray",
    "lookup_gray_backward",
    "lut3d",
    "lut3d_backward",
    "lut4d",
    "lut4d_backward",
    "multilinear",
    "multilinear_backward",
    "tetrahedral",
    "tetrahedral_backward",
]

OPTIONS = {"num_warps": 4, "enable_fp_fusion": True}
"""Of Triton's compiler. Products and sums are fused, where that is quicker: rounded once, not twice."""

FORWARD_BLOCK, BACKWARD_BLOCK = 256, 128
"""Pixels of one program: two a thread in float32; one a thread keeps gradients and float64 within the registers."""

GRAY_COPIES = 32
"""Copies of a collapsed table's gradient: all pixels add to a few hundred rows, which would wait for one another."""


# ---------------------------------------------------------------- kernels
#
# ``rows`` is a packed table (N, PADDED), ``out`` and ``grad`` are contiguous (CHANNELS, pixels). Blocks of pixels have
# the shape (BLOCK,), blocks of colors (BLOCK, PADDED). WORK is the dtype of arithmetic.


@triton.jit
def _pixels(pixels, BLOCK: tl.constexpr):
    pixel = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    return pixel, pixel < pixels


@triton.jit
def _coordinate(pointer, offset, inside, WORK: tl.constexpr):
    """Coordinates in [0, 1], if not outside; uint8 as a fraction of 255."""
    value = tl.load(pointer + offset, mask=inside, other=0).to(WORK)
    if pointer.dtype.element_ty == tl.uint8:
        value *= 1 / 255  # a division takes ten times as many instructions, for the last bit
    return value


@triton.jit
def _locate(coordinate, nodes):
    """Lower node of the cell, and the fraction within it; NaN has the fraction NaN."""
    unit = tl.where(coordinate < 0, 0.0, tl.where(coordinate > 1, 1.0, coordinate)).to(coordinate.dtype)
    position = unit * (nodes - 1).to(coordinate.dtype)
    known = tl.where(position == position, position, 0.0)
    lower = tl.minimum(tl.floor(known).to(tl.int32), nodes - 2)
    return lower, position - lower.to(coordinate.dtype)


@triton.jit
def _slope(coordinate, gradient, nodes):
    """Gradient of a coordinate from that of its fraction: clamped coordinates have none."""
    return tl.where((coordinate >= 0) & (coordinate <= 1), gradient * (nodes - 1).to(gradient.dtype), 0.0)


@triton.jit
def _row(rows, index, PADDED: tl.constexpr, WORK: tl.constexpr):
    return tl.load(rows + index[:, None] * PADDED + tl.arange(0, PADDED)[None, :]).to(WORK)


@triton.jit
def _color_offsets(pixel, inside, pixels, CHANNELS: tl.constexpr, PADDED: tl.constexpr):
    channel = tl.arange(0, PADDED).to(tl.int64)
    return channel[None, :] * pixels + pixel[:, None], inside[:, None] & (channel < CHANNELS)[None, :]


@triton.jit
def _store(out, color, pixel, inside, pixels, CHANNELS: tl.constexpr, PADDED: tl.constexpr):
    """Colors to planes; for uint8 clipped and rounded, half to even."""
    offsets, mask = _color_offsets(pixel, inside, pixels, CHANNELS, PADDED)
    if out.dtype.element_ty == tl.uint8:
        # Adding 1.5 * 2^23 (2^52 for float64) leaves no bits for a fraction: the sum is rounded, half to even.
        shift = 6755399441055744.0 if color.dtype == tl.float64 else 12582912.0
        color = (tl.minimum(tl.maximum(color, 0.0), 1.0) * 255 + shift) - shift
    tl.store(out + offsets, color.to(out.dtype.element_ty), mask=mask)


@triton.jit
def _upstream(grad, pixel, inside, pixels, CHANNELS: tl.constexpr, PADDED: tl.constexpr, WORK: tl.constexpr):
    offsets, mask = _color_offsets(pixel, inside, pixels, CHANNELS, PADDED)
    return tl.load(grad + offsets, mask=mask, other=0).to(WORK)


@triton.jit
def _add(grad_rows, index, value, inside, CHANNELS: tl.constexpr, PADDED: tl.constexpr):
    channel = tl.arange(0, PADDED)[None, :]
    tl.atomic_add(
        grad_rows + index[:, None] * PADDED + channel, value, mask=inside[:, None] & (channel < CHANNELS), sem="relaxed"
    )


@triton.jit
def multilinear(
    out, rows, context, rgb, pixels, context_nodes, nodes, context_stride, channel_stride, pixel_stride,
    QUADRILINEAR: tl.constexpr, CHANNELS: tl.constexpr, PADDED: tl.constexpr, WORK: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Trilinear, or with a context quadrilinear, interpolation."""
    pixel, inside = _pixels(pixels, BLOCK)
    at = pixel * pixel_stride
    r, red = _locate(_coordinate(rgb, at, inside, WORK), nodes)
    g, green = _locate(_coordinate(rgb, at + channel_stride, inside, WORK), nodes)
    b, blue = _locate(_coordinate(rgb, at + channel_stride + channel_stride, inside, WORK), nodes)
    if QUADRILINEAR:
        k, depth = _locate(_coordinate(context, pixel * context_stride, inside, WORK), context_nodes)
        r += k * nodes
    index = (r * nodes + g) * nodes + b
    color = tl.zeros([BLOCK, PADDED], WORK)
    for corner in tl.static_range(16 if QUADRILINEAR else 8):
        weight = red if corner & 4 else 1 - red
        weight *= green if corner & 2 else 1 - green
        weight *= blue if corner & 1 else 1 - blue
        if QUADRILINEAR:
            weight *= depth if corner & 8 else 1 - depth
        step = (((corner >> 3) * nodes + ((corner >> 2) & 1)) * nodes + ((corner >> 1) & 1)) * nodes + (corner & 1)
        color += weight[:, None] * _row(rows, index + step, PADDED, WORK)
    _store(out, color, pixel, inside, pixels, CHANNELS, PADDED)


@triton.jit
def multilinear_backward(
    grad_rows, grad_context, grad_rgb, grad, rows, context, rgb, pixels, context_nodes, nodes,
    context_stride, channel_stride, pixel_stride,
    NEED_ROWS: tl.constexpr, NEED_COORDINATES: tl.constexpr, QUADRILINEAR: tl.constexpr,
    CHANNELS: tl.constexpr, PADDED: tl.constexpr, WORK: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Its gradients: of the table, and of the coordinates ``grad_context (pixels,)``, ``grad_rgb (3, pixels)``."""
    pixel, inside = _pixels(pixels, BLOCK)
    at = pixel * pixel_stride
    x = _coordinate(rgb, at, inside, WORK)
    y = _coordinate(rgb, at + channel_stride, inside, WORK)
    z = _coordinate(rgb, at + channel_stride + channel_stride, inside, WORK)
    r, red = _locate(x, nodes)
    g, green = _locate(y, nodes)
    b, blue = _locate(z, nodes)
    if QUADRILINEAR:
        c = _coordinate(context, pixel * context_stride, inside, WORK)
        k, depth = _locate(c, context_nodes)
        r += k * nodes
        to_depth = tl.zeros([BLOCK], WORK)
    index = (r * nodes + g) * nodes + b
    upstream = _upstream(grad, pixel, inside, pixels, CHANNELS, PADDED, WORK)
    to_red = tl.zeros([BLOCK], WORK)
    to_green = tl.zeros([BLOCK], WORK)
    to_blue = tl.zeros([BLOCK], WORK)
    for corner in tl.static_range(16 if QUADRILINEAR else 8):
        of_red = red if corner & 4 else 1 - red
        of_green = green if corner & 2 else 1 - green
        of_blue = blue if corner & 1 else 1 - blue
        step = (((corner >> 3) * nodes + ((corner >> 2) & 1)) * nodes + ((corner >> 1) & 1)) * nodes + (corner & 1)
        if QUADRILINEAR:
            of_depth = depth if corner & 8 else 1 - depth
            of_red_depth = of_red * of_depth
        else:
            of_depth = 1.0
            of_red_depth = of_red
        if NEED_ROWS:
            weight = of_red_depth * of_green * of_blue
            _add(grad_rows, index + step, weight[:, None] * upstream, inside, CHANNELS, PADDED)
        if NEED_COORDINATES:
            value = tl.sum(_row(rows, index + step, PADDED, WORK) * upstream, axis=1)
            to_red += (value if corner & 4 else -value) * of_green * of_blue * of_depth
            to_green += (value if corner & 2 else -value) * of_red_depth * of_blue
            to_blue += (value if corner & 1 else -value) * of_red_depth * of_green
            if QUADRILINEAR:
                to_depth += (value if corner & 8 else -value) * of_red * of_green * of_blue
    if NEED_COORDINATES:
        tl.store(grad_rgb + pixel, _slope(x, to_red, nodes), mask=inside)
        tl.store(grad_rgb + pixels + pixel, _slope(y, to_green, nodes), mask=inside)
        tl.store(grad_rgb + pixels + pixels + pixel, _slope(z, to_blue, nodes), mask=inside)
        if QUADRILINEAR:
            tl.store(grad_context + pixel, _slope(c, to_depth, context_nodes), mask=inside)


@triton.jit
def _edges(red, green, blue, nodes):
    """Largest, middle and smallest fraction, and the axes of the first and the last as steps between nodes."""
    most = tl.maximum(tl.maximum(red, green), blue)
    least = tl.minimum(tl.minimum(red, green), blue)
    middle = tl.maximum(tl.minimum(red, green), tl.minimum(tl.maximum(red, green), blue))
    first = tl.where(red == most, nodes * nodes, tl.where(green == most, nodes, 1))
    third = tl.where(blue == least, 1, tl.where(green == least, nodes, nodes * nodes))
    return most, middle, least, first, third


@triton.jit
def tetrahedral(
    out, rows, rgb, pixels, nodes, channel_stride, pixel_stride,
    CHANNELS: tl.constexpr, PADDED: tl.constexpr, WORK: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Tetrahedral interpolation."""
    pixel, inside = _pixels(pixels, BLOCK)
    at = pixel * pixel_stride
    r, red = _locate(_coordinate(rgb, at, inside, WORK), nodes)
    g, green = _locate(_coordinate(rgb, at + channel_stride, inside, WORK), nodes)
    b, blue = _locate(_coordinate(rgb, at + channel_stride + channel_stride, inside, WORK), nodes)
    index = (r * nodes + g) * nodes + b
    top = index + (nodes + 1) * nodes + 1
    most, middle, least, first, third = _edges(red, green, blue, nodes)
    # Of NaN: a sum that is NaN whichever of them is.
    rest = 1 - most + 0 * (red + green + blue)
    color = rest[:, None] * _row(rows, index, PADDED, WORK)
    color += (most - middle)[:, None] * _row(rows, index + first, PADDED, WORK)
    color += (middle - least)[:, None] * _row(rows, top - third, PADDED, WORK)
    color += least[:, None] * _row(rows, top, PADDED, WORK)
    _store(out, color, pixel, inside, pixels, CHANNELS, PADDED)


@triton.jit
def tetrahedral_backward(
    grad_rows, grad_rgb, grad, rows, rgb, pixels, nodes, channel_stride, pixel_stride,
    NEED_ROWS: tl.constexpr, NEED_COORDINATES: tl.constexpr,
    CHANNELS: tl.constexpr, PADDED: tl.constexpr, WORK: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Its gradients, of the table and of ``grad_rgb (3, pixels)``."""
    pixel, inside = _pixels(pixels, BLOCK)
    at = pixel * pixel_stride
    x = _coordinate(rgb, at, inside, WORK)
    y = _coordinate(rgb, at + channel_stride, inside, WORK)
    z = _coordinate(rgb, at + channel_stride + channel_stride, inside, WORK)
    r, red = _locate(x, nodes)
    g, green = _locate(y, nodes)
    b, blue = _locate(z, nodes)
    index = (r * nodes + g) * nodes + b
    top = index + (nodes + 1) * nodes + 1
    most, middle, least, first, third = _edges(red, green, blue, nodes)
    upstream = _upstream(grad, pixel, inside, pixels, CHANNELS, PADDED, WORK)
    if NEED_ROWS:
        _add(grad_rows, index, (1 - most)[:, None] * upstream, inside, CHANNELS, PADDED)
        _add(grad_rows, index + first, (most - middle)[:, None] * upstream, inside, CHANNELS, PADDED)
        _add(grad_rows, top - third, (middle - least)[:, None] * upstream, inside, CHANNELS, PADDED)
        _add(grad_rows, top, least[:, None] * upstream, inside, CHANNELS, PADDED)
    if NEED_COORDINATES:
        bottom = tl.sum(_row(rows, index, PADDED, WORK) * upstream, axis=1)
        lower = tl.sum(_row(rows, index + first, PADDED, WORK) * upstream, axis=1)
        upper = tl.sum(_row(rows, top - third, PADDED, WORK) * upstream, axis=1)
        highest = tl.sum(_row(rows, top, PADDED, WORK) * upstream, axis=1)
        one = lower - bottom
        two = upper - lower
        three = highest - upper
        plane = nodes * nodes
        to_red = tl.where(first == plane, one, tl.where(third == plane, three, two))
        to_green = tl.where(first == nodes, one, tl.where(third == nodes, three, two))
        to_blue = tl.where(first == 1, one, tl.where(third == 1, three, two))
        tl.store(grad_rgb + pixel, _slope(x, to_red, nodes), mask=inside)
        tl.store(grad_rgb + pixels + pixel, _slope(y, to_green, nodes), mask=inside)
        tl.store(grad_rgb + pixels + pixels + pixel, _slope(z, to_blue, nodes), mask=inside)


@triton.jit
def _level(gray, offset, inside, levels):
    value = tl.load(gray + offset, mask=inside, other=0)
    return tl.minimum(tl.maximum(value, 0), levels - 1).to(tl.int32)


@triton.jit
def gray_lookup(
    out, rows, gray, context, pixels, levels, context_nodes, gray_stride, context_stride,
    CHANNELS: tl.constexpr, PADDED: tl.constexpr, WORK: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Gray and context to color through a collapsed table, packed as (levels, context_nodes, PADDED)."""
    pixel, inside = _pixels(pixels, BLOCK)
    k, depth = _locate(_coordinate(context, pixel * context_stride, inside, WORK), context_nodes)
    index = _level(gray, pixel * gray_stride, inside, levels) * context_nodes + k
    lower = _row(rows, index, PADDED, WORK)
    upper = _row(rows, index + 1, PADDED, WORK)
    color = lower * (1 - depth)[:, None] + upper * depth[:, None]
    _store(out, color, pixel, inside, pixels, CHANNELS, PADDED)


@triton.jit
def gray_lookup_backward(
    grad_rows, grad_context, grad, rows, gray, context, pixels, levels, context_nodes, gray_stride, context_stride,
    NEED_ROWS: tl.constexpr, NEED_COORDINATES: tl.constexpr, COPIES: tl.constexpr,
    CHANNELS: tl.constexpr, PADDED: tl.constexpr, WORK: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Its gradients, of COPIES of the table, to be summed, and of the context."""
    pixel, inside = _pixels(pixels, BLOCK)
    c = _coordinate(context, pixel * context_stride, inside, WORK)
    k, depth = _locate(c, context_nodes)
    index = _level(gray, pixel * gray_stride, inside, levels) * context_nodes + k
    upstream = _upstream(grad, pixel, inside, pixels, CHANNELS, PADDED, WORK)
    if NEED_ROWS:
        copy = index + tl.program_id(0) % COPIES * levels * context_nodes
        _add(grad_rows, copy, (1 - depth)[:, None] * upstream, inside, CHANNELS, PADDED)
        _add(grad_rows, copy + 1, depth[:, None] * upstream, inside, CHANNELS, PADDED)
    if NEED_COORDINATES:
        step = _row(rows, index + 1, PADDED, WORK) - _row(rows, index, PADDED, WORK)
        tl.store(grad_context + pixel, _slope(c, tl.sum(step * upstream, axis=1), context_nodes), mask=inside)


# ---------------------------------------------------------------- launches


def constants(dtype: torch.dtype, channels: int, needs: tuple[bool, bool] | None = None) -> dict[str, Any]:
    """What a kernel is compiled for: a dtype, a number of channels, and for gradients those of them that are needed."""
    double = dtype == torch.float64
    shared = {
        "CHANNELS": channels,
        "PADDED": triton.next_power_of_2(channels),
        "WORK": tl.float64 if double else tl.float32,
        "BLOCK": BACKWARD_BLOCK if double or needs else FORWARD_BLOCK,
    }
    return shared | ({"NEED_ROWS": needs[0], "NEED_COORDINATES": needs[1]} if needs else {})


def _launch(kernel: Any, pixels: int, *arguments: Any, **constants: Any) -> None:
    if pixels:
        with torch.cuda.device_of(arguments[0]):  # Triton launches on the current device
            kernel[triton.cdiv(pixels, constants["BLOCK"]),](*arguments, **constants, **OPTIONS)


def _pack(lut: Tensor) -> Tensor:
    """``(C, *sizes)`` -> rows ``(N, PADDED)``, the channels of one node side by side, zero beyond C."""
    channels = lut.shape[0]
    rows = lut.new_zeros(lut[0].numel(), triton.next_power_of_2(channels))
    rows[:, :channels] = lut.reshape(channels, -1).t()
    return rows


def _unpack(rows: Tensor, like: Tensor) -> Tensor:
    """Gradient of rows -> gradient of the table."""
    return rows[:, : like.shape[0]].t().reshape(like.shape).to(like.dtype).contiguous()


def _empty_gradient(lut: Tensor, needed: bool, copies: int = 1) -> Tensor:
    rows = copies * lut[0].numel() if needed else 0
    work = working_dtype(lut.dtype)
    return torch.zeros(rows, triton.next_power_of_2(lut.shape[0]), dtype=work, device=lut.device)


def _needed(like: Tensor, needed: bool) -> Tensor:
    return torch.empty(like.shape if needed else 0, dtype=like.dtype, device=like.device)


def lut3d(lut: Tensor, rgb: Tensor, interpolation: str) -> Tensor:
    """See ``stainxform.ops.reference.lut3d``."""
    nodes, planes = lut.shape[-1], rgb.reshape(3, rgb[0].numel())
    out = torch.empty((lut.shape[0], *rgb.shape[1:]), dtype=rgb.dtype, device=rgb.device)
    rows, pixels, options = _pack(lut), planes.shape[1], constants(lut.dtype, lut.shape[0])
    if interpolation == "tetrahedral":
        _launch(tetrahedral, pixels, out, rows, planes, pixels, nodes, *planes.stride(), **options)
    else:
        _launch(multilinear, pixels, out, rows, planes, planes, pixels, 0, nodes, 0, *planes.stride(), QUADRILINEAR=False, **options)  # fmt: skip
    return out


def lut3d_backward(
    grad: Tensor, lut: Tensor, rgb: Tensor, interpolation: str, need_lut: bool, need_rgb: bool
) -> tuple[Tensor, Tensor]:
    """See ``stainxform.ops.reference.lut3d_backward``."""
    nodes, planes, grad = lut.shape[-1], rgb.reshape(3, rgb[0].numel()), grad.contiguous()
    grad_rows, grad_rgb = _empty_gradient(lut, need_lut), _needed(rgb, need_rgb)
    rows, pixels = _pack(lut), planes.shape[1]
    options = constants(lut.dtype, lut.shape[0], (need_lut, need_rgb))
    if interpolation == "tetrahedral":
        _launch(tetrahedral_backward, pixels, grad_rows, grad_rgb, grad, rows, planes, pixels, nodes, *planes.stride(), **options)  # fmt: skip
    else:
        _launch(multilinear_backward, pixels, grad_rows, grad_rgb, grad_rgb, grad, rows, planes, planes, pixels, 0, nodes, 0, *planes.stride(), QUADRILINEAR=False, **options)  # fmt: skip
    return _unpack(grad_rows, lut) if need_lut else lut.new_empty(0), grad_rgb


def lut4d(lut: Tensor, context: Tensor, rgb: Tensor) -> Tensor:
    """See ``stainxform.ops.reference.lut4d``."""
    planes, depths = rgb.reshape(3, context.numel()), context.reshape(-1)
    out = torch.empty((lut.shape[0], *context.shape), dtype=context.dtype, device=context.device)
    _launch(multilinear, depths.numel(), out, _pack(lut), depths, planes, depths.numel(), *lut.shape[1:3], depths.stride(0), *planes.stride(), QUADRILINEAR=True, **constants(lut.dtype, lut.shape[0]))  # fmt: skip
    return out


def lut4d_backward(
    grad: Tensor, lut: Tensor, context: Tensor, rgb: Tensor, need_lut: bool, need_coordinates: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """See ``stainxform.ops.reference.lut4d_backward``."""
    planes, depths, grad = rgb.reshape(3, context.numel()), context.reshape(-1), grad.contiguous()
    grad_rows = _empty_gradient(lut, need_lut)
    grad_context, grad_rgb = _needed(context, need_coordinates), _needed(rgb, need_coordinates)
    options = constants(lut.dtype, lut.shape[0], (need_lut, need_coordinates))
    _launch(multilinear_backward, depths.numel(), grad_rows, grad_context, grad_rgb, grad, _pack(lut), depths, planes, depths.numel(), *lut.shape[1:3], depths.stride(0), *planes.stride(), QUADRILINEAR=True, **options)  # fmt: skip
    return _unpack(grad_rows, lut) if need_lut else lut.new_empty(0), grad_context, grad_rgb


def lookup_gray(table: Tensor, gray: Tensor, context: Tensor) -> Tensor:
    """See ``stainxform.ops.reference.lookup_gray``."""
    _, context_nodes, levels = table.shape
    grays, depths = gray.reshape(-1), context.reshape(-1)
    out = torch.empty((table.shape[0], *gray.shape), dtype=context.dtype, device=context.device)
    rows = _pack(table.transpose(1, 2))
    _launch(gray_lookup, grays.numel(), out, rows, grays, depths, grays.numel(), levels, context_nodes, grays.stride(0), depths.stride(0), **constants(table.dtype, table.shape[0]))  # fmt: skip
    return out


def lookup_gray_backward(
    grad: Tensor, table: Tensor, gray: Tensor, context: Tensor, need_table: bool, need_context: bool
) -> tuple[Tensor, Tensor]:
    """See ``stainxform.ops.reference.lookup_gray_backward``."""
    _, context_nodes, levels = table.shape
    grays, depths, grad = gray.reshape(-1), context.reshape(-1), grad.contiguous()
    by_level = table.transpose(1, 2)
    grad_rows, grad_context = _empty_gradient(table, need_table, GRAY_COPIES), _needed(context, need_context)
    options = constants(table.dtype, table.shape[0], (need_table, need_context))
    _launch(gray_lookup_backward, grays.numel(), grad_rows, grad_context, grad, _pack(by_level), grays, depths, grays.numel(), levels, context_nodes, grays.stride(0), depths.stride(0), COPIES=GRAY_COPIES, **options)  # fmt: skip
    if not need_table:
        return table.new_empty(0), grad_context
    total = grad_rows.reshape(GRAY_COPIES, -1, grad_rows.shape[1]).sum(0)
    return _unpack(total, by_level).transpose(1, 2).contiguous(), grad_context
