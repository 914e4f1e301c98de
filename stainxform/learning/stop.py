"""Ctrl-C while a network is trained: between two steps, so that what is saved is whole."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Any, Self

__all__ = ["Stop"]


class Stop:
    """Whether somebody asked to stop, from the first Ctrl-C on; a second one stops at once.

    Signals reach the main thread alone: in others, and where a program has a handler of its own, nothing changes.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None

    def __enter__(self) -> Self:
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, self._before)
        print("stopping after this step, to save it; Ctrl-C again stops at once", file=sys.stderr)
