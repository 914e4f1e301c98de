"""torch as our own work needs it, whatever the program around it has set.

A caller may have autocast on, gradients off, inference mode on, another default device or dtype, and may fork. What is
computed here must not depend on any of it, so work of ours with torch runs in :func:`undisturbed`, :func:`predicting` or
:func:`learning`. All of this but the precision of products holds for the thread at work alone, as torch's own defaults do
not.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import torch
from torch.overrides import TorchFunctionMode

from stainxform import _optional
from stainxform._optional import torch_threads as threads

__all__ = ["learning", "predicting", "seeded", "threads", "undisturbed"]

_DEVICE_TYPES = [kind for kind in ("cpu", "cuda", "mps", "xpu", "hpu", "mtia") if torch.amp.is_autocast_available(kind)]

if _optional.forked_with_torch:  # by a parent that had used torch, but not through us
    torch.set_num_threads(1)


_OF_DEFAULT_DTYPE = {torch.empty, torch.zeros, torch.ones, torch.eye, torch.linspace, torch.rand, torch.randn}
"""What makes tensors of torch's default dtype. Layers of networks are made by these, too."""


class _Float32(TorchFunctionMode):
    """float32 as the default dtype."""

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function in _OF_DEFAULT_DTYPE and kwargs.get("dtype") is None:
            kwargs = kwargs | {"dtype": torch.float32}
        return function(*args, **kwargs)


class _Precise:
    """Blocks in which products of float32 matrices are not rounded to bfloat16 or TF32.

    torch has one precision for all threads: the caller's comes back when the last of our blocks ends.
    """

    def __init__(self) -> None:
        self._lock, self._at_work, self._before = threading.Lock(), 0, "highest"

    def __enter__(self) -> None:
        with self._lock:
            if not self._at_work and (before := torch.get_float32_matmul_precision()) != "highest":
                self._before = before
                torch.set_float32_matmul_precision("highest")
            self._at_work += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._at_work -= 1
            if not self._at_work:
                self._restore()

    def forget(self) -> None:
        """In a child that was forked: the other threads, and what they were in, are not there."""
        self._lock, self._at_work = threading.Lock(), 0
        self._restore()

    def _restore(self) -> None:
        if self._before != "highest":
            torch.set_float32_matmul_precision(self._before)
            self._before = "highest"


_precise = _Precise()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_precise.forget)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Autocast off on every kind of device; new tensors are float32 and on the CPU unless they say otherwise.

    Products of float32 matrices have their full precision.
    """
    with ExitStack() as stack:
        if not torch.compiler.is_compiling():  # what is traced runs when this block has ended
            stack.enter_context(_precise)
        for kind in _DEVICE_TYPES:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        if torch.get_default_dtype() != torch.float32:
            stack.enter_context(_Float32())
        yield


@contextmanager
def predicting() -> Iterator[None]:
    """:func:`undisturbed`, in inference mode."""
    with undisturbed(), torch.inference_mode():
        yield


@contextmanager
def learning() -> Iterator[None]:
    """:func:`undisturbed`, with gradients; tensors made within can be trained, and differentiated through, later."""
    with undisturbed(), torch.inference_mode(False), torch.enable_grad():
        yield


@contextmanager
def seeded(seed: int) -> Iterator[Callable[[int], None]]:
    """Random numbers from a seed, and a function that seeds anew; the caller's generators are as before afterwards."""
    used = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if used else ()):
        # On a GPU that nobody has used yet, a seed would be remembered until somebody does.
        renew = torch.manual_seed if used or not torch.cuda.is_available() else torch.default_generator.manual_seed
        renew(seed)
        yield lambda number: cast(None, renew(number))
