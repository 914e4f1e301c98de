"""What the commands print: results to stdout, everything else to stderr, one line each."""

from __future__ import annotations

import re
import shlex
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stainxform.errors import StainXformWarning

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

__all__ = ["complain", "err", "out", "plain_warnings", "printable", "progress", "say", "show_facts", "table"]


_ARGUMENT = re.compile(
    r"\b(force|resume|device|reader|workdir|keep_groups|keep_colors|missing|mpp_of_slide|mpp_tolerance)"
    r"=(?:True\b|'([^']+)'|(\d+(?:\.\d+)?)|\.\.\.)"
)
"""Arguments that errors of the library advise, and that are options of the commands that may end with them."""


def out() -> Console:
    """The console of results."""
    from rich.console import Console

    return Console(highlight=False)


def err() -> Console:
    """The console of progress, warnings and errors."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def printable(text: object) -> str:
    """One line without control characters: file names and model files may hold anything."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text))


def say(message: str, console: Console | None = None, style: str = "") -> None:
    """Print one line as it is: no markup, no wrapping."""
    (console or out()).print(printable(message), style=style, markup=False, emoji=False, soft_wrap=True)


def complain(kind: str, message: object, console: Console | None = None) -> None:
    """Print ``error: ...`` or ``warning: ...`` to stderr; arguments of the library are said as options."""
    say(f"{kind}: {_with_options(str(message))}", console or err(), "yellow" if kind == "warning" else "red")


def _with_options(message: str) -> str:
    """``force=True`` and ``device='cpu'`` as ``--force`` and ``--device cpu``."""
    message = message.replace("slides=...", "--slides")
    return _ARGUMENT.sub(
        lambda found: f"--{found[1].replace('_', '-')} {_quoted(found[2] or found[3])}".rstrip(), message
    )


def _quoted(value: str | None) -> str:
    return shlex.quote(value) if value else ""


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Print warnings as one line each."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", StainXformWarning)
        warnings.showwarning = lambda message, *_: complain("warning", message)
        yield


def table(*columns: str) -> Table:
    """An empty table; columns whose title starts with ``>`` are aligned to the right."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        made.add_column(column.lstrip(">"), justify="right" if column.startswith(">") else "left", overflow="fold")
    return made


def show_facts(facts: Sequence[tuple[str, object]]) -> None:
    """Print names and values in two columns."""
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        say(f"{name:<{width}}  {value}")


def progress(*columns: str) -> Progress:
    """A progress bar on stderr: ``columns`` are format strings of the task, before the time left."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    texts = [TextColumn(column, markup=False) for column in columns]
    return Progress(
        TextColumn("{task.description}", markup=False), BarColumn(), *texts, TimeRemainingColumn(), console=err()
    )
