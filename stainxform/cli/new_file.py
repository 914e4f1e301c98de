"""A file that a command is going to write: whatever could keep it from that is said before the work, not after it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stainxform.cli import text
from stainxform.errors import ParameterError

__all__ = ["new_file"]


@contextmanager
def new_file(path: Path, force: bool) -> Iterator[None]:
    """A block in which this file can be written, and is written by no other program; its folder is made.

    Raises
    ------
    ParameterError
        It is a folder, or exists and is not to be replaced.
    OutputBusyError, OutputError
        Another program is writing it; or it cannot be written.
    """
    from stainxform.io.atomic import check_writable
    from stainxform.io.lock import lock_output

    if os.path.isdir(path):
        raise ParameterError(f"the output {path} is a folder; give a file name")
    check_writable(path)
    with text.plain_warnings(), lock_output(path):
        if os.path.lexists(path) and not force:
            raise ParameterError(f"{path} exists; pass --force to overwrite it")
        yield
