"""torch as our own work needs it, whatever the program around it has set.

A caller may have autocast on, gradients off, inference mode on, another default device or dtype, and may fork. What is
computed here must not depend on any of it, so work of ours with torch runs in :func:`undisturbed`, :func:`predicting` or
:func:`learning`. All of this holds for the thread at work alone, as torch's own defaults do not.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import torch
from torch.overrides import TorchFunctionMode

from stainxform import _optional

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


@contextmanager
def undisturbed() -> Iterator[None]:
    """Autocast off on every kind of device; new tensors are float32 and on the CPU unless they say otherwise."""
    with ExitStack() as stack:
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


_lock = threading.Lock()
_before: list[int] = []
"""The caller's number of threads, once for each :func:`threads` that is at work."""


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """So many threads of torch; None: as many as it has. The caller's number is back when the last of these ends."""
    if count is None:
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
