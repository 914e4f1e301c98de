"""Which registers and instructions do the Triton kernels take? No GPU is needed: they are compiled ahead of time.

Every kernel for A100 (sm_80) and H100 (sm_90), disassembled with the cuobjdump that Triton brings: registers, spills, and
how the tables are read and their gradients added. Writes the table between the marks of docs/results/gpu_kernels.md.

    python benchmarks/gpu_compile.py
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from stainxform.ops import triton_kernels

PAGE = Path(__file__).parents[1] / "docs/results/gpu_kernels.md"
BEGIN, END = "<!-- begin: python benchmarks/gpu_compile.py -->", "<!-- end -->"
CAPABILITIES = (80, 90)
TYPES = {"uint8": "u8", "float16": "fp16", "bfloat16": "bf16", "float32": "fp32", "float64": "fp64"}
ALIGNED = [["tt.divisibility", 16]]


@dataclass(frozen=True)
class Case:
    """One kernel as it is launched for an image of one dtype."""

    title: str
    kernel: str
    dtype: str
    options: dict[str, object]


def cases() -> list[Case]:
    """Every kernel, for every dtype that it may meet."""
    found = []
    for title, kernel, options, floats_only in (
        ("lut3d, tetrahedral", "tetrahedral", {}, False),
        ("lut3d, trilinear", "multilinear", {"QUADRILINEAR": False}, False),
        ("lut4d", "multilinear", {"QUADRILINEAR": True}, True),
        ("lookup_gray", "gray_lookup", {}, True),
    ):
        for dtype in TYPES:
            if dtype != "uint8" or not floats_only:
                found.append(Case(title, kernel, dtype, options))
            if dtype != "uint8":
                copies = {"COPIES": triton_kernels.GRAY_COPIES} if kernel == "gray_lookup" else {}
                found.append(Case(f"{title}, backward", f"{kernel}_backward", dtype, options | copies))
    return found


def source(case: Case) -> ASTSource:
    """The kernel with the types and alignments of a launch on contiguous RGB planes."""
    kernel = getattr(triton_kernels, case.kernel)
    double = case.dtype == "float64"
    needs = (True, True) if case.kernel.endswith("backward") else None
    constants = case.options | triton_kernels.constants(getattr(torch, case.dtype), 3, needs)
    constants |= {name: 1 for name in ("pixel_stride", "context_stride", "gray_stride") if name in kernel.arg_names}
    signature, alignments = {}, {}
    for position, name in enumerate(kernel.arg_names):
        if name in constants:
            signature[name] = "constexpr"
        elif name in ("pixels", "levels", "nodes", "context_nodes", "channel_stride"):
            signature[name] = "i32"
            if name in ("pixels", "levels", "channel_stride"):
                alignments[position,] = ALIGNED
        else:
            dtype = case.dtype
            if name == "grad_rows" or (name == "rows" and dtype == "uint8"):
                dtype = "float64" if double else "float32"
            signature[name] = f"*{'u8' if name == 'gray' else TYPES[dtype]}"
            alignments[position,] = ALIGNED
    return ASTSource(kernel, signature, constants, alignments)


def pixels_of_a_thread(case: Case) -> int:
    """How many pixels one thread computes."""
    return source(case).constants[source(case).fn.arg_names.index("BLOCK"),] // (
        32 * triton_kernels.OPTIONS["num_warps"]
    )


def compile_for(case: Case, capability: int) -> bytes:
    """Machine code of one kernel."""
    target = GPUTarget("cuda", capability, 32)
    return triton.compile(source(case), target, triton_kernels.OPTIONS).asm["cubin"]


def inspect(cubin: bytes) -> dict[str, int]:
    """Registers and bytes of stack (spills) of a thread, and its accesses to global memory, from the disassembly."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [triton.knobs.nvidia.cuobjdump.path, "-res-usage", "-sass", file.name]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
    usage = dict(re.findall(r"\b(REG|STACK|SHARED):(\d+)", run.stdout + run.stderr))
    found = {name: int(value) for name, value in usage.items()}
    for name, pattern in (
        ("loads", r"LDG\."),
        ("wide", r"LDG\.\S*128"),
        ("stores", r"STG\."),
        ("additions", r"(?:REDG?|ATOMG?)\."),
    ):
        found[name] = len(re.findall(rf"\b{pattern}", run.stdout))
    found["instructions"] = len(re.findall(r"^\s+/\*[0-9a-f]{4,}\*/ +(?!NOP|BRA|EXIT)", run.stdout, re.MULTILINE))
    return found


def table() -> list[str]:
    """Markdown rows."""
    head = ["kernel", "dtype", "sm", "registers", "stack bytes", "instructions", "loads", "of 16 bytes", "stores", "atomic additions"]  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|---|---|---|" + "---:|" * (len(head) - 3)]
    for case in cases():
        for capability in CAPABILITIES:
            found = inspect(compile_for(case, capability))
            counts = [found[name] / pixels_of_a_thread(case) for name in ("instructions", "loads", "wide", "stores", "additions")]  # fmt: skip
            cells = [
                case.title,
                case.dtype,
                capability,
                found["REG"],
                found["STACK"],
                *(f"{count:g}" for count in counts),
            ]
            lines.append("| " + " | ".join(map(str, cells)) + " |")
            print(lines[-1], flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.parse_args()
    version = f"triton {triton.__version__}. The last five columns count instructions for each pixel. Nothing was run on a GPU."
    text = PAGE.read_text()
    head, tail = text.partition(BEGIN)[0], text.partition(END)[2]
    PAGE.write_text("\n".join([head + BEGIN, "", *table(), "", version, "", END]) + tail)


if __name__ == "__main__":
    main()
