"""Are the lookup operators right on this GPU, and how fast against its own copy bandwidth?

First every operator against the eager reference in float64, forward and backward; a difference ends the run. Then each
one's time (CUDA events; median and interquartile range; caches emptied before each launch) for 1, 4 and 16 megapixels of
generated tissue and of random colors, as bandwidth over that of a plain copy on the same device. Writes JSON, and prints
the same as a markdown table.

    python benchmarks/gpu.py --json gpu.json
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import stainxform as sx
from stainxform.ops import backends, reference
from stainxform.samples import pair

MEGAPIXELS = (1, 4, 16)
REPEATS = 50
NODES, CONTEXT_NODES = 33, 2
COPIED_BYTES = 1 << 30
CACHE_BYTES = 1 << 28
TOLERANCE = 1e-4
"""Largest difference in float32 from the float64 reference, relative to the largest value: gradients of tables are sums
over a megapixel."""


@dataclass(frozen=True)
class Case:
    """One operator on one kind of image."""

    title: str
    dtype: str
    bytes_per_pixel: int
    """What must be read and written at least; tables are small and stay in the caches."""
    run: Callable[[dict[str, Tensor]], Any]


def _ops(name: str) -> Any:
    return getattr(torch.ops.stainxform, name)


def cases() -> list[Case]:
    """Every operator forward and, in float32, backward with the gradients of table and pixels."""
    found = []
    for kind in ("tetrahedral", "trilinear"):
        for dtype, size in (("uint8", 1), ("float32", 4)):
            found.append(Case(f"lut3d, {kind}", dtype, 6 * size, lambda x, kind=kind, dtype=dtype: _ops("lut3d")(x["lut3d"], x[dtype], kind)))  # fmt: skip
        found.append(Case(f"lut3d, {kind}, backward", "float32", 36, lambda x, kind=kind: _ops("lut3d_backward")(x["grad"], x["lut3d"], x["float32"], kind, True, True)))  # fmt: skip
    found.append(Case("lut4d", "float32", 28, lambda x: _ops("lut4d")(x["lut4d"], x["context"], x["float32"])))
    found.append(Case("lut4d, backward", "float32", 44, lambda x: _ops("lut4d_backward")(x["grad"], x["lut4d"], x["context"], x["float32"], True, True)))  # fmt: skip
    found.append(Case("lookup_gray", "float32", 17, lambda x: _ops("lookup_gray")(x["table"], x["gray"], x["context"])))
    found.append(Case("lookup_gray, backward", "float32", 21, lambda x: _ops("lookup_gray_backward")(x["grad"], x["table"], x["gray"], x["context"], True, True)))  # fmt: skip
    return found


def inputs(megapixels: int, colors: str, device: str) -> dict[str, Tensor]:
    """Tables, and images ``(3, rows, 1024)`` of tissue (tiles of two centers, repeated) or of random colors."""
    generator = torch.Generator().manual_seed(0)
    rows = 1024 * megapixels
    if colors == "tissue":
        tile = np.concatenate([image for center in pair(2, 512, seed=0) for image in center], axis=1)[:, :1024]
        image = torch.from_numpy(np.tile(tile, (-(-rows // len(tile)), 1, 1))[:rows]).movedim(-1, 0).contiguous()
        context = image[0].float().div(255)
    else:
        image = torch.randint(0, 256, (3, rows, 1024), dtype=torch.uint8, generator=generator)
        context = torch.rand(rows, 1024, generator=generator)
    lut = torch.rand(3, CONTEXT_NODES, NODES, NODES, NODES, generator=generator)
    found = {
        "uint8": image, "float32": image.float() / 255, "gray": image[1].contiguous(), "context": context,
        "grad": torch.rand(image.shape, generator=generator), "lut3d": lut[:, 0].contiguous(), "lut4d": lut,
        "table": torch.rand(3, CONTEXT_NODES, 256, generator=generator),
    }  # fmt: skip
    return {name: tensor.to(device) for name, tensor in found.items()}


def in_float64(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same with doubles for floats."""
    return {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def largest_error(case: Case, tensors: dict[str, Tensor]) -> float:
    """Largest difference from the reference in float64, over the largest value; for uint8 in levels."""
    found = case.run(tensors)
    kernels = backends._triton_kernels
    backends._triton_kernels = lambda: reference
    try:
        wanted = case.run(in_float64(tensors))
    finally:
        backends._triton_kernels = kernels
    pairs = zip(found, wanted) if isinstance(found, tuple) else [(found, wanted)]
    errors = []
    for one, other in pairs:
        scale = 1 if case.dtype == "uint8" else other.abs().max()
        errors.append(float((one.double() - other.double()).abs().max() / scale))
    return max(errors)


def milliseconds(run: Callable[[], Any], repeats: int = REPEATS) -> list[float]:
    """Time of each launch on the GPU, after a warm-up; caches are overwritten in between."""
    cache = torch.empty(CACHE_BYTES, dtype=torch.uint8, device="cuda")
    for _ in range(5):
        run()
    times = []
    for _ in range(repeats):
        cache.zero_()
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        run()
        end.record()
        times.append((start, end))
    torch.cuda.synchronize()
    return [start.elapsed_time(end) for start, end in times]


def copy_bandwidth(time: Callable[..., list[float]] = milliseconds, device: str = "cuda") -> float:
    """Bytes a second that a copy within the device reads and writes."""
    source = torch.empty(COPIED_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * COPIED_BYTES / (float(np.median(time(lambda: target.copy_(source)))) / 1e3)


@dataclass(frozen=True)
class Row:
    """One measurement."""

    operator: str
    dtype: str
    colors: str
    megapixels: int
    median_ms: float
    quartiles_ms: tuple[float, float]
    of_copy_bandwidth: float


def measure(case: Case, colors: str, megapixels: int, tensors: dict[str, Tensor], copy: float, time: Any) -> Row:
    """Time one case."""
    low, median, high = map(float, np.percentile(time(lambda: case.run(tensors)), [25, 50, 75]))
    rate = case.bytes_per_pixel * tensors["gray"].numel() / (median / 1e3)
    return Row(case.title, case.dtype, colors, megapixels, median, (low, high), rate / copy)


def markdown(rows: list[Row]) -> str:
    """The table."""
    lines = [
        "| operator | dtype | colors | MP | median ms | quartiles | of copy bandwidth |",
        "|---|---|---|" + "---:|" * 4,
    ]
    for row in rows:
        low, high = row.quartiles_ms
        cells = (row.operator, row.dtype, row.colors, row.megapixels, f"{row.median_ms:.3f}", f"{low:.3f}-{high:.3f}", f"{row.of_copy_bandwidth:.0%}")  # fmt: skip
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def benchmark(
    device: str, megapixels: tuple[int, ...] = MEGAPIXELS, time: Callable[..., list[float]] = milliseconds
) -> dict[str, Any]:
    """Check everything, then time everything; SystemExit if a result is wrong."""
    errors = {}
    for case in cases():
        title = f"{case.title}, {case.dtype}"
        errors[title] = largest_error(case, inputs(1, "tissue", device))
        allowed = 1 if case.dtype == "uint8" else TOLERANCE
        if not errors[title] <= allowed:
            raise SystemExit(f"{title} is wrong on this device: it differs from the reference by {errors[title]:.2g}")
    copy, rows = copy_bandwidth(time, device), []
    for colors in ("tissue", "random"):
        for size in megapixels:
            tensors = inputs(size, colors, device)
            rows += [measure(case, colors, size, tensors, copy, time) for case in cases()]
    return {"copy_bandwidth_GB_s": copy / 1e9, "largest_errors": errors, "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the results here")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("there is no CUDA device here, so there is nothing to measure")
    kernels = backends.kernels(torch.device("cuda")).__name__.rpartition(".")[2]
    device = torch.cuda.get_device_name()
    versions = {"stainxform": sx.__version__, "torch": torch.__version__, "cuda": torch.version.cuda}
    found = {"device": device, "kernels": kernels, **versions, "host": platform.machine(), **benchmark("cuda")}
    if arguments.json:
        rows = [asdict(row) for row in found["rows"]]
        arguments.json.write_text(json.dumps(found | {"rows": rows}, indent=1) + "\n")
    print(f"{device}, {kernels}, torch {torch.__version__}: a copy moves {found['copy_bandwidth_GB_s']:.0f} GB/s\n")
    print(markdown(found["rows"]))


if __name__ == "__main__":
    main()
