"""The kinds of output that a slide can become: the protocol of pyramids and sets of tiles."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stainxform.maps import ImageMap
from stainxform.slides import Slide

__all__ = ["JobContext", "OutputKind", "Progress"]

Progress = Callable[[int, int], None]
"""Called with the pixels that are done, and how many there are."""


@dataclass(frozen=True)
class JobContext:
    """What a kind of output is given to make one output.

    Parameters
    ----------
    slide : Slide
        The open source.
    target : Path
        The file or folder to write.
    map_for : callable
        Gives the map of the slide, None for none, by the side of the squares that have maps of their own where
        statistics are those of tiles.
    fingerprint : str
        Names source, model and settings.
    strict : bool, optional
        A partial output with another fingerprint is refused, and not begun anew.
    threads : int, optional
        How many read, map and write.
    device : str, optional
        A torch device that decodes and maps; None: numpy on the CPU.
    progress : callable, optional
        Called with the pixels that are done, and how many there are.
    """

    slide: Slide
    target: Path
    map_for: Callable[[int], ImageMap | None]
    fingerprint: str
    strict: bool = False
    threads: int = 2
    device: str | None = None
    progress: Progress | None = None


class OutputKind(ABC):
    """What is made of every slide, with its settings; small and picklable."""

    @property
    @abstractmethod
    def suffix(self) -> str:
        """How the names of outputs end."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Everything that decides what is written, for JSON."""

    def about(self, slide: Slide) -> dict[str, Any]:
        """What of the slide is made into the output, for JSON; nothing but what can be told before."""
        return {}

    @abstractmethod
    def make(self, context: JobContext) -> int:
        """Write one, continuing a partial one; how many pixels were read."""

    @abstractmethod
    def files(self, target: Path) -> list[Path]:
        """Files of a complete output; empty if it is not there, or not complete."""

    @abstractmethod
    def tidy(self, target: Path) -> None:
        """Remove what a process that was killed after its output was complete has left beside, or in, it."""

    @abstractmethod
    def remove(self, target: Path) -> None:
        """Remove a complete output."""
