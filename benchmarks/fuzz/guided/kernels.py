"""The compiled kernels under libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer; see kernels.cpp.

Needs clang++ with its runtime (Debian: clang and libclang-rt-14-dev).
"""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

from guided import libfuzzer

_HERE = Path(__file__).parent
ROOT = _HERE.parents[2]

FLAGS = ["-std=c++17", "-O1", "-g", "-fno-omit-frame-pointer", "-fno-math-errno", "-fno-trapping-math", "-pthread"]
SANITIZE = ["-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=undefined"]


class Kernels:
    """Builds the harness once, when the sources are newer than it, and runs it."""

    round_seconds = 60.0

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._program = folder / "kernels"
        sources = [*(ROOT / "csrc").iterdir(), _HERE / "kernels.cpp"]
        newest = max(source.stat().st_mtime for source in sources)
        if not self._program.exists() or self._program.stat().st_mtime < newest:
            build(self._program)

    def run(self, seconds: float, runs: int | None) -> libfuzzer.Found:
        """Fuzz for a while."""
        options = ["-max_len=4096", "-rss_limit_mb=1024", "-malloc_limit_mb=512", "-use_value_profile=1"]
        env = {"ASAN_OPTIONS": "detect_leaks=1:allocator_may_return_null=0", "UBSAN_OPTIONS": "print_stacktrace=1"}
        found, _ = libfuzzer.run([str(self._program)], self._folder, seconds, runs, options, env)
        found.outcomes = {"computed": found.inputs - len(found.faults)}
        return found


def build(program: Path) -> None:
    """Compile the kernels as setup.py does, once for each instruction set, and the harness."""
    sys.path.insert(0, str(ROOT))
    import setup  # the project's own

    here = platform.machine(), sys.platform
    csrc, objects = ROOT / "csrc", []
    common = [f"-D{name}={value}" for name, value in setup.macros(*here)]
    amx = setup.is_x86(*here) and sys.platform == "linux"
    if amx:
        common.append("-DSX_AMX=1")
    work = program.parent / "objects"
    work.mkdir(exist_ok=True)

    def compile_(source: Path, name: str, flags: list[str]) -> None:
        out = work / f"{name}.o"
        known = [flag for flag in flags if flag not in ("-Wno-maybe-uninitialized",)]
        subprocess.run(
            ["clang++", *FLAGS, *SANITIZE, *known, f"-I{csrc}", "-c", str(source), "-o", str(out)], check=True
        )
        objects.append(str(out))

    for unit in [*setup.units(*here), *([setup.AMX] if amx else [])]:
        macros = [f"-D{name}={value}" for name, value in unit.macros]
        for source in unit.sources:
            compile_(ROOT / source, f"{unit.folder}_{Path(source).stem}", [*common, *macros, *unit.flags])
    for name in setup.COMMON:
        compile_(csrc / f"{name}.cpp", name, common)
    compile_(_HERE / "kernels.cpp", "harness", common)
    subprocess.run(["clang++", *FLAGS, *SANITIZE, *objects, "-o", str(program)], check=True)
