"""What the numbers depend on."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import stainxform
from stainxform._native import native

PACKAGES = (
    "stainxform", "numpy", "torch", "torchstain", "stainx", "tiatoolbox", "staintools", "monai", "albumentations",
    "scikit-image", "opencv-python-headless", "opencolorio", "pillow", "kornia", "torchvision",
)  # fmt: skip

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def variables(threads: int) -> dict[str, str]:
    """The environment of a process that may use so many threads, and imports the same package as this one."""
    path = [str(Path(stainxform.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return os.environ | dict.fromkeys(THREADS, str(threads)) | {"PYTHONPATH": os.pathsep.join(filter(None, path))}


def describe() -> dict[str, Any]:
    """Versions, CPU, how busy the machine is."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cpu": cpu(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "native": native.active() or "plain",
        "versions": {name: found for name in PACKAGES if (found := installed(name))},
    }


def installed(name: str) -> str:
    """Version, or "" if it is not there."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def cpu() -> str:
    """Model name; family and model where a virtual machine hides it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    numbers = f"family {fields.get('cpu family', '?')} model {fields.get('model', '?')}"
    return f"{fields.get('model name', platform.machine())} ({numbers})"
