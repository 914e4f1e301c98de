"""The GPU benchmark, as far as a machine without a GPU can run it."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from kernel_cases import script  # noqa: E402


@pytest.fixture(scope="module")
def gpu():
    return script("gpu")


@pytest.fixture
def on_a_cpu(gpu, monkeypatch):
    """Bands of 64 rows, and a clock that says that every launch takes a millisecond."""
    images = ("uint8", "float32", "gray", "context", "grad")
    whole = gpu.inputs
    monkeypatch.setattr(gpu, "COPIED_BYTES", 1 << 20)
    monkeypatch.setattr(
        gpu, "inputs", lambda *a: {k: v[..., :64, :].contiguous() if k in images else v for k, v in whole(*a).items()}
    )

    def clock(run):
        run()
        return [1.0, 1.0, 1.0]

    return lambda: gpu.benchmark("cpu", (1,), clock)


def test_without_a_gpu_it_ends_with_a_sentence(gpu, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["gpu.py"])
    with pytest.raises(SystemExit, match="no CUDA device"):
        gpu.main()


def test_bandwidth_is_bytes_over_time_over_that_of_a_copy(gpu, on_a_cpu):
    found = on_a_cpu()
    assert found["copy_bandwidth_GB_s"] == pytest.approx(2 * (1 << 20) / 1e-3 / 1e9)
    assert len(found["rows"]) == 2 * len(gpu.cases())
    row = next(row for row in found["rows"] if (row.operator, row.dtype) == ("lut3d, tetrahedral", "uint8"))
    assert row.of_copy_bandwidth == pytest.approx(6 * 64 * 1024 / (2 << 20))
    assert gpu.markdown(found["rows"]).count("\n") == len(found["rows"]) + 1


def test_a_wrong_kernel_ends_the_run(gpu, on_a_cpu, monkeypatch):
    from stainxform.ops import native_kernels

    right = native_kernels.lut4d
    monkeypatch.setattr(
        native_kernels, "lut4d", lambda lut, *a: right(lut, *a) + (1e-3 if lut.dtype == torch.float32 else 0)
    )
    with pytest.raises(SystemExit, match="lut4d, float32 is wrong"):
        on_a_cpu()
