"""The Triton kernels on a machine without a GPU: interpreted, and compiled ahead of time."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("triton")

HERE = Path(__file__).parent


def test_interpreted_kernels_equal_the_reference():
    environment = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(HERE / "interpreted_kernels.py")]
    run = subprocess.run(command, env=environment, cwd=HERE.parent, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    assert " passed" in run.stdout
    assert "skipped" not in run.stdout


@pytest.fixture(scope="module")
def gpu_compile():
    spec = importlib.util.spec_from_file_location("gpu_compile", HERE.parent / "benchmarks/gpu_compile.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


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


def test_the_environment_of_the_interpreter_does_not_leak():
    assert "TRITON_INTERPRET" not in os.environ
