"""The Triton kernels on a machine without a GPU: interpreted, and compiled ahead of time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("triton")

from kernel_cases import script  # noqa: E402

HERE = Path(__file__).parent


@pytest.mark.slow
def test_interpreted_kernels_equal_the_reference():
    environment = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(HERE / "interpreted_kernels.py")]
    run = subprocess.run(command, env=environment, cwd=HERE.parent, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    assert " passed" in run.stdout
    assert "skipped" not in run.stdout


@pytest.fixture(scope="module")
def gpu_compile():
    return script("gpu_compile")


@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize(
    ("title", "reads"),
    [("lut3d, tetrahedral", 4), ("lut3d, trilinear", 8), ("lut4d", 16), ("lookup_gray", 2)],
)
def test_kernels_compile_without_spills_and_read_a_node_at_once(gpu_compile, title, reads, capability):
    forward, backward = (
        next(case for case in gpu_compile.cases() if (case.title, case.dtype) == (name, "float32"))
        for name in (title, f"{title}, backward")
    )
    found = gpu_compile.inspect(gpu_compile.compile_for(forward, capability))
    assert found["STACK"] == 0
    assert found["REG"] < 128
    assert found["wide"] == 2 * reads  # two pixels a thread, 16 bytes for the three channels of a corner
    found = gpu_compile.inspect(gpu_compile.compile_for(backward, capability))
    assert found["STACK"] == 0
    assert found["additions"] >= 3 * reads


class _Target:
    """A GPU that compiles and never runs."""

    def get_current_target(self):
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", 90, 32)

    def get_current_device(self):
        return 99  # Triton keeps kernels by device: a true one must not be given these

    def get_current_stream(self, device=0):
        return 0


@pytest.fixture
def compiled(monkeypatch):
    """Launches compile for H100 instead, with the arguments and specializations of a true launch; names of kernels."""
    from triton.runtime import driver

    from stainxform.ops import triton_kernels

    names = []

    def compile_only(kernel, pixels, *arguments, **constants):
        assert kernel.warmup(*arguments, grid=(1,), **constants, **triton_kernels.OPTIONS).asm["cubin"]
        names.append(kernel.__name__)

    monkeypatch.setattr(triton_kernels, "_launch", compile_only)
    before = dict(vars(driver))
    driver.set_active(_Target())
    yield names
    vars(driver).update(before)


@pytest.mark.parametrize("pixels", [1, 16, 17])  # Triton compiles 1 and multiples of 16 in their own way
def test_what_is_launched_compiles(compiled, pixels):
    from stainxform.ops import triton_kernels as kernels

    rgb, grad, context = torch.rand(3, pixels), torch.rand(2, pixels), torch.rand(pixels)
    for interpolation in ("tetrahedral", "trilinear"):
        lut = torch.rand(2, 3, 3, 3)
        kernels.lut3d(lut, rgb, interpolation)
        kernels.lut3d(lut, rgb.to(torch.uint8), interpolation)
        kernels.lut3d_backward(grad, lut, rgb.t().contiguous().t(), interpolation, True, False)
    lut = torch.rand(2, 2, 3, 3, 3)
    kernels.lut4d(lut, context[:1].expand(pixels), rgb)
    kernels.lut4d_backward(grad, lut, context, rgb, False, True)
    for levels, dtype in ((256, torch.uint8), (1, torch.int64)):
        table, gray = torch.rand(2, 2, levels), torch.zeros(pixels, dtype=dtype)
        kernels.lookup_gray(table, gray, context)
        kernels.lookup_gray_backward(grad, table, gray, context, True, True)
    assert len(compiled) == 12
    assert len(set(compiled)) == 6


def test_the_environment_of_the_interpreter_does_not_leak():
    assert "TRITON_INTERPRET" not in os.environ
