"""Optional packages: imported when first used, with an error that names the extra."""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from stainxform.errors import MissingDependencyError, ParameterError


def require(module: str, extra: str) -> ModuleType:
    """Import ``module``, or raise MissingDependencyError naming the extra that installs it.

    A compiled package that does not fit the torch beside it fails with RuntimeError or OSError: the same to us.
    """
    try:
        return importlib.import_module(module)
    except (ImportError, OSError, RuntimeError) as error:
        package = module.partition(".")[0]
        raise MissingDependencyError(
            f"{package} cannot be imported ({error}); install it with: pip install 'stainxform[{extra}]'"
        ) from error


def is_tensor(array: object) -> bool:
    """Whether ``array`` is a torch tensor, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(array, torch.Tensor)


forked_with_torch = False
"""Whether this process was forked from one that had loaded torch, and with it perhaps threads that were not copied."""


def _after_fork() -> None:
    """torch would wait for ever for the OpenMP threads of its parent: one thread needs none of them."""
    global forked_with_torch
    forked_with_torch = "torch" in sys.modules
    if "stainxform._torch" in sys.modules:  # what torch does in the child of somebody else is not ours to change
        use_torch_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def use_torch_threads(count: int) -> None:
    """Set the number of threads of torch for good, if a method loaded it."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(count)


_lock = threading.Lock()
_before: list[int] = []
"""The caller's number of threads, once for each :func:`torch_threads` that is at work."""


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """So many threads of torch, if a method loaded it; None: as many as it has.

    The caller's number is back when the last of these ends.
    """
    torch = sys.modules.get("torch")
    if torch is None or count is None:
        yield
        return
    with _lock:
        _before.append(_before[0] if _before else torch.get_num_threads())
        torch.set_num_threads(count)
    try:
        yield
    finally:
        with _lock:
            before = _before.pop()
            if not _before:
                torch.set_num_threads(before)


def pick_device(device: Any) -> Any:
    """A torch device; "auto": CUDA where torch has it, else the CPU.

    Raises
    ------
    ParameterError
        A device that torch does not have here.
    MissingDependencyError
        Without torch.
    """
    torch = require("torch", "torch")
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise ParameterError(
            f"torch has no device {str(device)!r} here ({str(error).splitlines()[0]}); pass device='cpu'"
        ) from error
