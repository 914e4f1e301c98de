"""The kernels of another machine under an emulator, in the place of the library that ctypes loads."""

from __future__ import annotations

import ctypes
import struct
import subprocess
import threading
from ctypes import c_double, c_float, c_void_p, sizeof
from typing import Any

import numpy as np

from stainxform._native.signatures import KERNELS, Array, Shared, check_sizes


class Call:
    """One call, as the program at the other end reads it: blocks of memory, pointers into them, arguments."""

    def __init__(self, name: str, arguments: tuple[Any, ...]) -> None:
        self.memory: list[tuple[int, int]] = []
        self.pointers: list[tuple[int, int, int, int]] = []
        parts = [self._argument(kind, value) for kind, value in zip(KERNELS[name], arguments, strict=True)]
        numbers = struct.pack(f"<{4 * len(self.pointers)}q", *(n for pointer in self.pointers for n in pointer))
        self.message = b"".join(
            [
                text(name),
                struct.pack("<q", len(self.memory)),
                *(struct.pack("<q", size) + ctypes.string_at(at, size) for at, size in self.memory),
                struct.pack("<q", len(self.pointers)), numbers,
                struct.pack("<q", len(parts)), *parts,
            ]
        )  # fmt: skip

    def _argument(self, kind: Any, value: Any) -> bytes:
        if isinstance(kind, Array):
            kind.from_param(value)
            return b"p" + struct.pack("<qq", *self._array(value))
        if isinstance(value, Shared):
            return b"p" + struct.pack("<qq", self._structure(value), 0)
        if kind is c_float:
            return b"d" + struct.pack("<f4x", value)
        if kind is c_double:
            return b"d" + struct.pack("<d", value)
        return b"i" + struct.pack("<q", value)

    def _array(self, array: np.ndarray) -> tuple[int, int]:
        """The block that holds an array, and where in it the first element lies."""
        low, high = np.lib.array_utils.byte_bounds(array) if array.size else (array.ctypes.data,) * 2
        self.memory.append((low, high - low))
        return len(self.memory) - 1, array.ctypes.data - low

    def _structure(self, structure: Shared) -> int:
        own = len(self.memory)
        self.memory.append((ctypes.addressof(structure), sizeof(structure)))
        fields = [field[0] for field in structure._fields_ if field[1] is c_void_p]
        for field, array in zip(fields, structure.arrays, strict=True):
            if array is not None:
                self.pointers.append((own, getattr(type(structure), field).offset, *self._array(array)))
        return own

    def take_back(self, blocks: list[bytes]) -> None:
        """What the kernel has written; pointers of structures stay ours."""
        structures = {own for own, *_ in self.pointers}
        for i, ((at, _), block) in enumerate(zip(self.memory, blocks)):
            if i not in structures:
                ctypes.memmove(at, block, len(block))


def text(words: str) -> bytes:
    return struct.pack("<q", len(words)) + words.encode()


class EmulatedLibrary:
    """What ``stainxform._native.native`` needs of a library, by the program built from ``emulated_kernels.cpp``."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._lock = threading.Lock()
        self.calls: dict[str, int] = {}
        sizes = (line.split() for line in self._ask("sx_sizes").decode().splitlines())
        check_sizes({name: int(size) for name, size in sizes})

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def __getattr__(self, name: str) -> Any:
        if name not in KERNELS:
            raise AttributeError(name)
        return lambda *arguments: self._call(name, arguments)

    def sx_selected(self) -> bytes:
        return b"baseline"

    def sx_select(self, name: bytes) -> int:
        return name == b"baseline"

    def sx_message(self) -> bytes:
        return self._ask("sx_message")

    def _call(self, name: str, arguments: tuple[Any, ...]) -> int:
        call = Call(name, arguments)
        with self._lock:
            self.calls[name] = self.calls.get(name, 0) + 1
            self._send(call.message)
            (result,) = struct.unpack("<q", self._read(8))
            call.take_back([self._read(size) for _, size in call.memory])
        return result

    def _ask(self, name: str) -> bytes:
        with self._lock:
            self._send(text(name))
            return self._read(struct.unpack("<q", self._read(8))[0])

    def _send(self, message: bytes) -> None:
        self._process.stdin.write(message)
        self._process.stdin.flush()

    def _read(self, size: int) -> bytes:
        data = self._process.stdout.read(size)
        assert len(data) == size, "the emulated kernels ended"
        return data
