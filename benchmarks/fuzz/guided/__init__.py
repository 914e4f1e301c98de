"""Kinds that libFuzzer guides by coverage. A kind is made with its folder, which holds the corpus, and runs for some time."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any


class _Guided(dict[str, str]):
    """Classes by name, imported when asked for."""

    def __getitem__(self, name: str) -> Callable[[Path], Any]:
        module, _, attribute = super().__getitem__(name).partition(":")
        return getattr(import_module(f"guided.{module}"), attribute)


GUIDED = _Guided(kernels="kernels:Kernels", index="index:Index")
