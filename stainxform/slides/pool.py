"""Slides that are opened when they are first read, and held open for the next read, by each process for itself."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from stainxform.slides.base import Slide
from stainxform.slides.readers.registry import open_slide

__all__ = ["OPEN_SLIDES", "WholeSlide"]

OPEN_SLIDES = 32
"""Slides that a process holds open for its :class:`WholeSlide` objects; the one used longest ago is closed."""


@dataclass(frozen=True)
class WholeSlide:
    """A slide that each process opens for itself when it first reads: it goes through fork, spawn and pickle.

    Parameters
    ----------
    path : str
        The file.
    reader, mpp, missing : optional
        As in :func:`stainxform.open_slide`.
    """

    path: str
    reader: str = "auto"
    mpp: float | tuple[float, float] | None = None
    missing: str = "fail"

    @contextmanager
    def opened(self) -> Iterator[Slide]:
        """The open slide; it stays open after the block, for the next one."""
        with _open_slides().lend(self) as slide:
            yield slide


class _OpenSlides:
    """The slides that this process holds open, and how many threads use each."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self._slides: OrderedDict[WholeSlide, Slide] = OrderedDict()
        self._users: dict[WholeSlide, int] = {}
        self._lock = threading.Lock()

    @contextmanager
    def lend(self, which: WholeSlide) -> Iterator[Slide]:
        """An open slide that is not closed before the block ends."""
        with self._lock:
            if which not in self._slides:
                self._slides[which] = open_slide(which.path, which.reader, mpp=which.mpp, missing=which.missing)
            self._slides.move_to_end(which)
            self._users[which] = self._users.get(which, 0) + 1
            slide = self._slides[which]
        try:
            yield slide
        finally:
            with self._lock:
                self._users[which] -= 1
                self._close_some()

    def _close_some(self) -> None:
        idle = [which for which in self._slides if not self._users[which]]
        for which in idle[: max(0, len(self._slides) - OPEN_SLIDES)]:
            self._slides.pop(which).close()
            del self._users[which]


_kept = _OpenSlides()


def _open_slides() -> _OpenSlides:
    """Those of this process: a fork inherits its parent's, whose locks may be held by a thread that it does not have."""
    global _kept
    if _kept.process != os.getpid():
        _kept = _OpenSlides()
    return _kept
