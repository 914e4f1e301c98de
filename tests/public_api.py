"""The public API as a list: the names of the documented modules, in public_api.txt beside this file.

Usage: python tests/public_api.py          rewrites the list
       python tests/public_api.py --print  prints what it should be
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

FILE = Path(__file__).with_suffix(".txt")
HEADER = "# The public API, reviewed when it changes. Rewritten by: python tests/public_api.py\n"

MODULES = [
    "stainxform",
    "stainxform.albumentations",
    "stainxform.augment",
    "stainxform.color",
    "stainxform.errors",
    "stainxform.evaluate",
    "stainxform.maps",
    "stainxform.modelfile",
    "stainxform.monai",
    "stainxform.nn",
    "stainxform.onnx",
    "stainxform.ops.lut3d",
    "stainxform.ops.lut4d",
    "stainxform.quality",
    "stainxform.report",
    "stainxform.samples",
    "stainxform.slides",
    "stainxform.testing",
    "stainxform.tiling",
    "stainxform.torchvision",
]
"""What the documentation tells users to import."""


def read(text: str) -> dict[str, list[str]]:
    """Names by module."""
    found: dict[str, list[str]] = {}
    module = ""
    for line in text.splitlines():
        if line.startswith("    "):
            found[module].append(line.strip())
        elif line and not line.startswith("#"):
            module = line
            found[module] = []
    return found


def write() -> str:
    """The list as it should be; a module whose extra is not installed keeps its names."""
    from stainxform.errors import MissingDependencyError

    before, text = read(FILE.read_text()) if FILE.exists() else {}, HEADER
    for module in MODULES:
        try:
            names = sorted(importlib.import_module(module).__all__)
        except MissingDependencyError:
            names = before.get(module, [])
        text += "\n".join(["", module, *(f"    {name}" for name in names), ""])
    return text


if __name__ == "__main__":
    if "--print" in sys.argv:
        print(write(), end="")
    else:
        FILE.write_text(write())
