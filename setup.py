"""Builds the optional C++ kernels; everything else about the package is in setup.cfg.

The kernels are compiled once for each instruction set and chosen when the package is loaded. Where they cannot be
compiled, a warning says why, and the package installs without them and computes in numpy, slower; with
STAINXFORM_REQUIRE_KERNELS=1 in the environment the install fails instead.
"""

import os
import platform
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError, CompileError

SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g"] if os.environ.get("SANITIZE") else []
"""For .ci/sanitize."""

# No errno and no traps: without them the compiler may turn a choice into a blend. Not -ffast-math: rounding counts.
FLAGS = ["-std=c++17", "-O3", "-fvisibility=hidden", "-fno-math-errno", "-fno-trapping-math", "-g0", "-pthread"]
MSVC = ["/std:c++17", "/O2", "/fp:precise"]

AVX512 = [
    *("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma", "-mprefer-vector-width=512"),
    *("-Wno-maybe-uninitialized", "-Wno-uninitialized"),
]


class Unit(NamedTuple):
    """Sources that are compiled alike."""

    folder: str
    sources: tuple[str, ...]
    flags: list[str]
    macros: list[tuple[str, str]]


def is_x86(machine: str, system: str) -> bool:
    """Where the compiler and the CPU let us choose at run time. MSVC builds the baseline only."""
    return machine.lower() in ("x86_64", "amd64") and system != "win32"


def units(machine: str, system: str) -> list[Unit]:
    """The kernels once for each instruction set; of ``platform.machine()`` and ``sys.platform``."""
    variants = {"BASELINE": []}
    if is_x86(machine, system):
        variants |= {"AVX2": ["-mavx2", "-mfma"], "AVX512": AVX512}
    sources = ("csrc/kernels.cpp", "csrc/encoder_rows.cpp")
    return [
        Unit(name.lower(), sources, flags, [("VARIANT", name), ("ENCODER", f"ENCODER_{name}")])
        for name, flags in variants.items()
    ]


AMX = Unit("amx", ("csrc/encoder_amx.cpp",), [*AVX512, "-mavx512bf16", "-mamx-tile", "-mamx-bf16"], [])
"""Matrix tiles in bfloat16: for StainLUT's Encoder only, where system and compiler know them."""

COMMON = ("api", "histogram", "estimate", "encoder", "halve")
"""Sources that are compiled once."""


def macros(machine: str, system: str) -> list[tuple[str, str]]:
    """What the common sources are told."""
    return [("SX_X86", "1")] if is_x86(machine, system) else []


class BuildKernels(build_ext):
    """Compiles the units, then the rest, and links."""

    def build_extension(self, ext):
        """Compile and link; a CompileError says why it did not work, and what follows."""
        printed = []
        try:
            with printed_errors(printed):
                self._build(ext)
        except CCompilerError as error:
            follows = (
                "stainxform will compute in numpy, several times slower; with STAINXFORM_REQUIRE_KERNELS=1 this is an error"
                if ext.optional
                else "without STAINXFORM_REQUIRE_KERNELS stainxform would install all the same, and compute in numpy"
            )
            reason = printed[0] if printed else error
            raise CompileError(f"the kernels were not compiled ({reason}): {follows}") from error

    def _build(self, ext):
        here = platform.machine(), sys.platform
        ext.extra_objects = [
            built for unit in units(*here) for built in self._compile(unit, [*ext.extra_compile_args, *unit.flags], ext)
        ]
        if is_x86(*here) and sys.platform == "linux":
            try:
                ext.extra_objects += self._compile(AMX, [*ext.extra_compile_args, *AMX.flags], ext)
                ext.define_macros = [*ext.define_macros, ("SX_AMX", "1")]
            except CompileError:
                self.warn("this compiler does not know AMX: StainLUT's fast inference will be the exact one")
        super().build_extension(ext)

    def _compile(self, unit, flags, ext):
        return self.compiler.compile(
            list(unit.sources),
            output_dir=os.path.join(self.build_temp, unit.folder),
            macros=unit.macros,
            extra_postargs=flags,
            include_dirs=["csrc"],
            depends=ext.depends,
        )


@contextmanager
def printed_errors(found):
    """Collect the lines with errors that compilers print within the block, and print all that they said after it."""
    before = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(before, 2)
            os.close(before)
            said.seek(0)
            text = said.read().decode(errors="replace")
            sys.stderr.write(text)
            found += [line.strip() for line in text.splitlines() if "error" in line.lower()]


kernels = Extension(
    "stainxform._native._kernels",
    [f"csrc/{name}.cpp" for name in (*COMMON, "module")],
    include_dirs=["csrc"],
    depends=[str(path) for path in sorted(Path("csrc").glob("*"))],
    define_macros=macros(platform.machine(), sys.platform),
    extra_compile_args=MSVC if sys.platform == "win32" else [*FLAGS, *SANITIZE],
    extra_link_args=[] if sys.platform == "win32" else ["-pthread", *SANITIZE],
    language="c++",
    py_limited_api=True,
    optional=os.environ.get("STAINXFORM_REQUIRE_KERNELS", "0") in ("", "0"),
)

if __name__ == "__main__":
    setup(
        ext_modules=[kernels],
        cmdclass={"build_ext": BuildKernels},
        options={"bdist_wheel": {"py_limited_api": "cp311"}},
    )
