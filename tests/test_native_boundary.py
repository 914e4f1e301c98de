"""Where Python meets C++: what both declare, what passes between them, what happens when memory or a compiler is missing."""

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from stainxform._native import native, signatures
from stainxform.errors import KernelError

ROOT = Path(__file__).parents[1]
compiled = pytest.mark.skipif(not native.active(), reason="the kernels were not compiled, or are off")
SANITIZED = "libasan" in os.environ.get("LD_PRELOAD", "")


@compiled
def test_every_function_that_the_library_exports_is_in_the_table_and_the_other_way_round():
    names = shutil.which("nm")
    if not names:
        pytest.skip("nm lists what a library exports")
    library = find_spec("stainxform._native._kernels").origin
    lines = subprocess.run([names, "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    exported = {line.split()[-1] for line in lines.splitlines() if re.match(r".* T sx_", line)}
    assert exported == signatures.KERNELS.keys() | signatures.OTHERS.keys()


@compiled
def test_structures_are_those_of_cpp():
    sizes = signatures.sizes_in(native._library)
    assert sizes.keys() == {structure.__name__ for structure in signatures.STRUCTURES}
    signatures.check_sizes(sizes)
    with pytest.raises(signatures.MismatchError, match="structure View has 8 bytes, not"):
        signatures.check_sizes(sizes | {"View": 8})


def test_a_library_of_another_version_is_not_used_and_said_to_be_so(tmp_path):
    compiler = shutil.which("c++")
    if not compiler:
        pytest.skip("a library is compiled")
    package = tmp_path / "stainxform"
    shutil.copytree(ROOT / "stainxform", package, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    (tmp_path / "other.cpp").write_text('extern "C" int sx_select(const char*) { return 1; }')
    subprocess.run(
        [compiler, "-shared", "-fPIC", "other.cpp", "-o", package / "_native/_kernels.abi3.so"],
        cwd=tmp_path,
        check=True,
    )
    code = "from stainxform._native import native; print(repr(native.active()), native.missing())"
    environment = {k: v for k, v in os.environ.items() if k not in ("LD_PRELOAD", "STAINXFORM_NATIVE")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment | {"PYTHONPATH": ""}, capture_output=True, text=True
    )
    assert re.match(r"'' .*_kernels.* does not fit this version and machine \(it has no function sx_", done.stdout)
    assert "StainXformWarning" in done.stderr
    assert "several times slower" in done.stderr


@compiled
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("sx_project", (np.zeros((3, 4), np.float32), 4, np.zeros((3, 3)), 3, np.zeros((3, 4)))),
        ("sx_project", (np.zeros((4, 3)).T, 4, np.zeros((3, 3)), 3, np.zeros((3, 4)))),
        ("sx_halve", (np.zeros((4, 4, 4), np.uint8)[..., :3], 4, 4, 16, np.zeros((2, 2, 3), np.uint8))),
        ("sx_sum", (signatures.Light(), 1)),
        ("sx_sum", (1,)),
    ],
    ids=["other dtype", "strided", "padded pixels", "another structure", "too few"],
)
def test_what_a_kernel_would_read_wrongly_is_refused(name, arguments):
    import ctypes

    with pytest.raises((TypeError, ctypes.ArgumentError)):
        native.call(name, *arguments)


@compiled
def test_a_failure_within_a_kernel_is_an_exception():
    nothing = np.zeros((3, 0), np.uint8), np.zeros(0, np.int64)
    with pytest.raises(KernelError, match="sx_histogram_take failed: "):
        native.call("sx_histogram_take", *nothing, -100)
    with pytest.raises(RuntimeError):
        native.call("sx_histogram_take", *nothing, -100)


LIMITED = """
import resource
import numpy as np
from stainxform._native import kernels, native
from stainxform._native.kernels import EncoderKernel

rng = np.random.default_rng(0)
image = rng.integers(0, 256, (3, 1100, 1000), np.uint8)
native.set_threads(1)

def prepared_percentiles():
    values, counts, out = rng.random(1 << 21), np.ones(1 << 21, np.int64), np.empty(1)
    def job():
        native.call("sx_percentiles", values, counts, values.size, np.array([50.0]), 1, out)
        return out.copy()
    return job

def prepared_amounts():
    levels, counts = rng.integers(0, 256, (3, 1 << 21), np.uint8), np.ones(1 << 21, np.int64)
    colors = kernels.Colors(levels, counts, np.arange(768.0).reshape(3, 256), -np.inf)
    colors.structure
    return lambda: kernels.level_amount_percentiles(colors, np.eye(2, 3), None, None, 50.0)

def prepared_count():
    views, many = native.view(image), image[:, :64]
    return lambda: np.array(native.call("sx_histogram_count", views, 1))

def prepared_recolor():
    levels = np.ascontiguousarray(np.unique(image[:, :8].reshape(3, -1), axis=1))
    part, out = np.ascontiguousarray(image[:, :8]), np.empty((3, 8, 1000), np.uint8)
    def job():
        native.call("sx_recolor", native.view(part), native.view(out), levels, levels.shape[1], 255 - levels, 1)
        return out
    return job

def prepared_encoder():
    f = lambda *shape: rng.normal(0, 0.2, shape).astype(np.float32)
    net = EncoderKernel(f(9, 16), f(3, 9, 16, 16), f(9, 16), f(4, 16), 0.1, f(4, 16), f(4, 16), None, None, 1e-5)
    gray = np.ascontiguousarray(image[0])
    return lambda: net(gray, False)

def prepared_threads():
    out = np.empty_like(image)
    def job():
        native.call("sx_curves", native.view(image), native.view(out), curves._map, 8)
        return out
    curves = kernels.CurveKernel(np.arange(768, dtype=np.uint8)[::-1].reshape(3, 256), np.zeros((3, 2), np.float32))
    curves._map
    return job

job = globals()["prepared_" + NAME]()
pages = int(open("/proc/self/statm").read().split()[0])
no_limit = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM, no_limit[1]))
try:
    first = job()
    print("done")
except MemoryError as error:
    first = None
    print("MemoryError", error)
resource.setrlimit(resource.RLIMIT_AS, no_limit)
again = job()
assert first is None or np.array_equal(first, again)
print("and again", np.array_equal(again, job()))
"""


def limited(name, room):
    code = f"NAME, ROOM = {name!r}, {room}\n" + LIMITED
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


needs_limits = pytest.mark.skipif(
    not sys.platform.startswith("linux") or SANITIZED,
    reason="address space is limited on Linux, sanitizers need it all",
)


@compiled
@needs_limits
@pytest.mark.parametrize("name", ["percentiles", "amounts", "count", "recolor", "encoder"])
def test_without_memory_there_is_a_memory_error_and_the_next_call_works(name):
    first, again = limited(name, 6 << 20)
    assert first == "MemoryError there is not enough memory for an image of this size; process smaller images"
    assert again == "and again True"


@compiled
@needs_limits
def test_threads_that_cannot_be_started_are_done_without():
    """A thread wants eight megabytes of stack."""
    assert limited("threads", 4 << 20) == ["done", "and again True"]


WORKERS = """
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include "api.h"
#include "threads.h"
static char kept[64];
void sx::keep_message(const char* message) noexcept { std::strncpy(kept, message, 63); }
int main() {
    for (int bad = 0; bad < 4; bad++) {
        int done[4] = {};
        const auto with = [&](auto thrown) {
            return sx::guarded([&] {
                sx::split(4, 4, [&](int part, int64_t, int64_t) {
                    if (part == bad) throw thrown;
                    done[part] = 1;
                });
            });
        };
        if (with(std::bad_alloc()) != sx::NO_MEMORY) return 1;
        if (done[0] + done[1] + done[2] + done[3] != 3) return 2;
        if (with(std::runtime_error("a reason")) != sx::FAILED || std::strcmp(kept, "a reason")) return 3;
        if (with(7) != sx::FAILED) return 4;
    }
    if (sx::guarded([] { return 5; }) != 5 || sx::guarded([] {}) != 0) return 5;
    std::puts("passed");
}
"""


def test_what_a_worker_throws_is_thrown_by_the_call(tmp_path):
    compiler = shutil.which("c++")
    if not compiler:
        pytest.skip("a program is compiled")
    (tmp_path / "workers.cpp").write_text(WORKERS)
    flags = ["-std=c++17", "-pthread", f"-I{ROOT / 'csrc'}"]
    subprocess.run([compiler, *flags, "workers.cpp", "-o", "workers"], cwd=tmp_path, check=True)
    environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    done = subprocess.run([tmp_path / "workers"], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "passed\n")


COMPILER = """#!/bin/sh
echo "kernels.cpp:1:10: fatal error: nothing here can be compiled" >&2
exit 1
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the compiler is a script of the shell")
@pytest.mark.parametrize(("required", "status"), [("", 0), ("1", 1)])
def test_an_install_without_kernels_says_why_and_fails_if_it_has_to(tmp_path, required, status):
    pytest.importorskip("setuptools")
    for name in ("setup.py", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "csrc", tmp_path / "csrc")
    shutil.copytree(ROOT / "stainxform", tmp_path / "stainxform", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    compiler = tmp_path / "compiler"
    compiler.write_text(COMPILER)
    compiler.chmod(0o755)
    environment = os.environ | {
        "CXX": str(compiler),
        "CC": str(compiler),
        "STAINXFORM_REQUIRE_KERNELS": required,
        "PYTHONPATH": "",
    }
    done = subprocess.run(
        [sys.executable, "setup.py", "build_ext", "--inplace"],
        cwd=tmp_path, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == status, said
    assert "the kernels were not compiled (kernels.cpp:1:10: fatal error: nothing here can be compiled): " in said
    assert ("stainxform will compute in numpy, several times slower" in said) == (not required)
    assert not list(tmp_path.rglob("*.so"))
