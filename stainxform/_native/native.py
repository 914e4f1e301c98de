"""The compiled kernels: found, chosen, called. Without them everything works on numpy, slower.

They are plain C functions in an extension module, called through ctypes, which releases the GIL; ``signatures`` lists
them. Arrays pass as pointers and strides, so any layout works, and CPU tensors, seen as numpy, too. Threads live for one
call.

``STAINXFORM_NATIVE`` in the environment chooses at import: ``off``, or the name of an instruction set (``baseline``,
``avx2``, ``avx512``, ``amx``: the same with matrix tiles for StainLUT); default: the best the CPU has.
"""

from __future__ import annotations

import ctypes
import importlib.util
import math
import multiprocessing
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np

from stainxform._native.prefetch import Item, Result, prefetch
from stainxform._native.signatures import NO_MEMORY, MismatchError, View, load
from stainxform.errors import KernelError, ParameterError, StainXformWarning

PIXELS_PER_THREAD = 1 << 19
"""A thread costs as much as this many pixels of the fastest kernel."""

SCRATCH = 1 << 24
"""Bytes of memory that a thread keeps for intermediate results."""

VARIANTS = ("amx", "avx512", "avx2", "baseline")


_TYPES = {np.dtype(np.uint8): 0, np.dtype(np.float32): 1}


def view(planes: np.ndarray, low: float = 0.0, scale: float = 255.0, clip: bool = True) -> View:
    """Describe ``(3, H, W)`` of uint8 or float32."""
    image = View(planes.ctypes.data, *planes.shape[1:], *planes.strides, _TYPES[planes.dtype], low, scale, clip)
    image.arrays = (planes,)
    return image


def takes(pixels: np.ndarray) -> bool:
    """Whether there are kernels for such pixels, and they are switched on."""
    return _library is not None and pixels.dtype in _TYPES and pixels.flags.aligned


def active() -> str:
    """The instruction set in use, or "" if the kernels are missing or off."""
    return "" if _library is None else _library.sx_selected().decode()


def available() -> tuple[str, ...]:
    """The instruction sets that this CPU and this build have, the best first."""
    return _available(_find()[0])


def missing() -> str:
    """Why there are no compiled kernels, in a few words; "" if there are."""
    return _find()[1]


def call(name: str, *arguments: Any) -> int:
    """Call a kernel of ``signatures``.

    Raises
    ------
    MemoryError
        It found no memory.
    KernelError
        It failed otherwise.
    """
    assert _library is not None
    code = getattr(_library, name)(*arguments)
    if code == NO_MEMORY:
        raise MemoryError("there is not enough memory for an image of this size; process smaller images")
    if code < 0:
        raise KernelError(f"the compiled kernel {name} failed: {_library.sx_message().decode(errors='replace')}")
    return code


@contextmanager
def using(variant: str | ctypes.CDLL) -> Iterator[None]:
    """Use one instruction set, "off" or a library within a block; for tests and benchmarks, not thread safe."""
    global _library
    library, before = _library, active()
    try:
        _library = _choose(variant) if isinstance(variant, str) else variant
        yield
    finally:
        _library = library
        if library is not None:
            library.sx_select(before.encode())


# ---- memory ---------------------------------------------------------------------------------------------------------

_scratch = threading.local()


@contextmanager
def scratch() -> Iterator[None]:
    """Arrays that :func:`empty` makes within come from memory that this thread keeps, and end with the block.

    To get megabytes anew for every intermediate result takes longer than to compute it.
    """
    outer = getattr(_scratch, "used", None)
    if outer is None:
        _scratch.used = 0
    try:
        yield
    finally:
        if outer is None:
            _scratch.used = None


def empty(shape: tuple[int, ...], dtype: Any = np.float64) -> np.ndarray:
    """An array for an intermediate result, see :func:`scratch`."""
    used, size = getattr(_scratch, "used", None), math.prod(shape) * np.dtype(dtype).itemsize
    if used is None or size > SCRATCH:
        return np.empty(shape, dtype)
    memory = getattr(_scratch, "memory", None)
    if memory is None:
        memory = _scratch.memory = np.empty(SCRATCH, np.uint8)  # address space: untouched pages are no memory
    if used + size > SCRATCH:
        return np.empty(shape, dtype)
    _scratch.used = used + (size + 63) // 64 * 64
    return memory[used : used + size].view(dtype).reshape(shape)


# ---- threads --------------------------------------------------------------------------------------------------------

_threads = 0
_alone = threading.local()


def set_threads(threads: int) -> None:
    """How many threads one call may use. 0, the default: as many as there are CPUs, but one in a worker process.

    No result depends on it. Images below 2^20 pixels take one.
    """
    global _threads
    if not isinstance(threads, int) or threads < 0:
        raise ParameterError(f"threads must be a whole number, 0 or more, got {threads!r}")
    _threads = threads


@contextmanager
def one_thread() -> Iterator[None]:
    """Calls that this thread makes within use it alone: for work that is split over threads already."""
    outer = getattr(_alone, "on", False)
    _alone.on = True
    try:
        yield
    finally:
        _alone.on = outer


def threads_for(pixels: int) -> int:
    """Threads to use on an image."""
    if getattr(_alone, "on", False):
        return 1
    return max(1, min(_threads or _default_threads(os.getpid()), pixels // PIXELS_PER_THREAD))


def each_in_order(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Results of a function that computes on one thread, in the order of the items, on as many threads as are allowed.

    For what does not split an item over threads itself, such as a network. Items are taken as they are needed.
    """
    threads = threads_for(sys.maxsize)

    def alone(item: Item) -> Result:
        with one_thread():
            return function(item)

    if threads == 1:
        yield from map(alone, items)
        return
    yield from prefetch(alone, items, threads)


@lru_cache(maxsize=1)
def _default_threads(process: int) -> int:
    """Of one process: a fork asks anew. Workers of a DataLoader share the CPUs among themselves already."""
    if multiprocessing.parent_process() is not None:
        return 1
    return available_cpus()


def available_cpus() -> int:
    """CPUs this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# ---- the library ----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _find() -> tuple[ctypes.CDLL | None, str]:
    """The library, or why there is none."""
    spec = importlib.util.find_spec("stainxform._native._kernels")
    if spec is None or spec.origin is None:
        return None, "not compiled"
    try:
        return load(spec.origin), ""
    except (OSError, MismatchError) as error:
        reason = f"{spec.origin} does not fit this version and machine ({error})"
    warnings.warn(
        f"{reason}: without compiled kernels everything is computed in numpy, several times slower; install again",
        StainXformWarning,
        stacklevel=2,
    )
    return None, reason


def _available(library: ctypes.CDLL | None) -> tuple[str, ...]:
    if library is None:
        return ()
    before = library.sx_selected()
    found = tuple(name for name in VARIANTS if library.sx_select(name.encode()))
    library.sx_select(before)
    return found


def _choose(variant: str) -> ctypes.CDLL | None:
    if variant == "off":
        return None
    library, _ = _find()
    if variant and (library is None or not library.sx_select(variant.encode())):
        known = ", ".join(("off", *_available(library)))
        raise ParameterError(f"STAINXFORM_NATIVE must be one of {known} on this machine, got {variant!r}")
    return library


_library = _choose(os.environ.get("STAINXFORM_NATIVE", ""))
