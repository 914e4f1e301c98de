"""Builds the optional C++ kernels; everything else about the package is in setup.cfg.

The kernels are compiled once for each instruction set and chosen when the package is loaded. Where they cannot be
compiled the package installs without them and computes in numpy, slower.
"""

import os
import platform
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

X86 = platform.machine().lower() in ("x86_64", "amd64") and sys.platform != "win32"
"""Where the compiler and the CPU let us choose at run time. MSVC builds the baseline only."""

VARIANTS = {"BASELINE": []} | (
    {
        "AVX2": ["-mavx2", "-mfma"],
        "AVX512": [
            "-mavx512f",
            "-mavx512bw",
            "-mavx512dq",
            "-mavx512vl",
            "-mfma",
            "-mprefer-vector-width=512",
            "-Wno-maybe-uninitialized",
            "-Wno-uninitialized",
        ],
    }
    if X86
    else {}
)

AMX = [*VARIANTS.get("AVX512", []), "-mavx512bf16", "-mamx-tile", "-mamx-bf16", "-Wno-maybe-uninitialized"]
"""Matrix tiles in bfloat16: for StainLUT's Encoder only, where system and compiler know them."""

# No errno and no traps: without them the compiler may turn a choice into a blend. Not -ffast-math: rounding counts.
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g"] if os.environ.get("SANITIZE") else []
"""For .ci/sanitize."""

FLAGS = (
    ["/std:c++17", "/O2", "/fp:precise"]
    if sys.platform == "win32"
    else [
        "-std=c++17",
        "-O3",
        "-fvisibility=hidden",
        "-fno-math-errno",
        "-fno-trapping-math",
        "-g0",
        "-pthread",
        *SANITIZE,
    ]
)


class BuildKernels(build_ext):
    """Compiles kernels.cpp and encoder_rows.cpp once for each instruction set."""

    def build_extension(self, ext):
        """Objects of each variant, then the rest and the link."""
        common = {"include_dirs": ["csrc"], "depends": ext.depends}
        ext.extra_objects = []
        for variant, flags in VARIANTS.items():
            ext.extra_objects += self.compiler.compile(
                ["csrc/kernels.cpp", "csrc/encoder_rows.cpp"],
                output_dir=os.path.join(self.build_temp, variant.lower()),
                macros=[
                    ("VARIANT", variant),
                    ("VARIANT_NAME", f'"{variant.lower()}"'),
                    ("ENCODER", f"ENCODER_{variant}"),
                ],
                extra_postargs=[*ext.extra_compile_args, *flags],
                **common,
            )
        if X86 and sys.platform == "linux":
            try:
                ext.extra_objects += self.compiler.compile(
                    ["csrc/encoder_amx.cpp"],
                    output_dir=os.path.join(self.build_temp, "amx"),
                    extra_postargs=[*ext.extra_compile_args, *AMX],
                    **common,
                )
                ext.define_macros = [*ext.define_macros, ("SX_AMX", "1")]
            except CompileError:
                print("this compiler does not know AMX: StainLUT's fast inference will be the exact one")
        super().build_extension(ext)


kernels = Extension(
    "stainxform._kernels",
    ["csrc/api.cpp", "csrc/histogram.cpp", "csrc/estimate.cpp", "csrc/encoder.cpp", "csrc/halve.cpp"],
    include_dirs=["csrc"],
    depends=[str(path) for path in sorted(Path("csrc").glob("*"))],
    define_macros=[("SX_X86", "1")] if X86 else [],
    extra_compile_args=FLAGS,
    extra_link_args=[] if sys.platform == "win32" else ["-pthread", *SANITIZE],
    language="c++",
    py_limited_api=True,
    optional=True,
)

setup(
    ext_modules=[kernels],
    cmdclass={"build_ext": BuildKernels},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
