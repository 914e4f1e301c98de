"""Which kernels serve a device. Each set is a module with the functions of ``stainxform.ops.reference``."""

from __future__ import annotations

import os
import shutil
import warnings
from functools import lru_cache
from importlib import import_module
from types import ModuleType

import torch

from stainxform.errors import StainXformWarning
from stainxform.ops import native_kernels, reference

__all__ = ["gradient_kernels", "kernels"]


def kernels(device: torch.device) -> ModuleType:
    """Triton's on CUDA where Triton works, compiled ones on a CPU, the reference everywhere else."""
    if device.type == "cuda":
        return _triton_kernels() or reference
    return native_kernels if device.type == "cpu" else reference


def gradient_kernels(device: torch.device) -> ModuleType:
    """The same, but the reference where torch is told to be deterministic: atomic additions have no fixed order."""
    return reference if torch.are_deterministic_algorithms_enabled() else kernels(device)


@lru_cache(maxsize=1)
def _triton_kernels() -> ModuleType | None:
    """The module of Triton kernels, or None, with one warning, where Triton is missing or cannot compile."""
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")
    try:
        if compiler is None:
            raise ImportError("it finds no C compiler")
        return import_module("stainxform.ops.triton_kernels")
    except ImportError as error:
        warnings.warn(
            f"lookup tables run without Triton kernels, several times slower, on this GPU ({error})",
            StainXformWarning,
            stacklevel=2,
        )
        return None
