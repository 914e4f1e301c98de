"""Kinds of numbered inputs. A kind is a class with ``seconds`` and ``memory``, made with a folder of its own to write in.

``case(number)`` makes the input of a number, the same each time, tries it and says in a word what became of it. What is
wrong it raises: a :class:`faults.Fault`, or the exception that should not have come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Protocol


class Kind(Protocol):
    """Numbered inputs of one kind."""

    seconds: float
    """A case that takes longer hangs."""

    memory: int
    """Bytes of address space that cases may take beyond what the libraries took."""

    def case(self, number: int) -> str:
        """Try one input."""
        ...


class _Kinds(dict[str, str]):
    """Classes by name, or as ``module:Class``, imported when asked for: each kind needs other libraries."""

    def __getitem__(self, name: str) -> Callable[[Path], Kind]:
        module, _, attribute = (name if ":" in name else super().__getitem__(name)).partition(":")
        return getattr(import_module(module), attribute)

    def values(self) -> Iterator[Callable[[Path], Kind]]:
        return (self[name] for name in self)


KINDS = _Kinds(
    images="kinds.images:Images",
    pipelines="kinds.pipelines:Pipelines",
    slides="kinds.slides:Slides",
    models="kinds.models:Models",
    commands="kinds.commands:Commands",
    files="kinds.files:Files",
)
