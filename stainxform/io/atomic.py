"""Files written whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stainxform.errors import OutputError

__all__ = ["FULL", "atomic_write", "check_writable", "make_folder"]

FULL = {getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, name)}
"""Errors of a disk, a quota or a size of files that holds no more."""


def atomic_write(path: str | Path, data: bytes) -> None:
    """Write under a temporary name in the same folder, flush to disk, rename: never half a file under its name.

    Raises
    ------
    OutputError
        The disk is full, the folder is missing or not ours to write to, or the name is none. What had this name before
        still has it.
    """
    path = Path(path)
    with _errors(path), _temporary(path) as temporary:
        _check_kind(path)
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)


def make_folder(folder: str | Path) -> None:
    """Make a folder and those that it is in, where they are not there.

    Raises
    ------
    OutputError
        It cannot be made.
    """
    with _errors(Path(folder)):
        Path(folder).mkdir(parents=True, exist_ok=True)


def check_writable(path: str | Path) -> None:
    """Find out, before the work and not after it, whether a file of this name can be written; its folder is made.

    Raises
    ------
    OutputError
        It cannot.
    """
    path = Path(path)
    make_folder(path.parent)
    with _errors(path), _temporary(path) as temporary:
        _check_kind(path)
        open(temporary, "xb").close()


def _check_kind(path: Path) -> None:
    """A folder, a device or a pipe is not replaced by a file; of a name that is too long, the error says so."""
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise OSError("it is no file")


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A short name beside ``path``, whose own name may be as long as names can be; no file has it afterwards."""
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        yield temporary
    finally:
        with suppress(OSError, ValueError):
            temporary.unlink()


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name, or no name
        code = getattr(error, "errno", None)
        advice = "choose another place"
        if code in FULL:
            advice = "make room"
        elif code == errno.ENAMETOOLONG:
            advice = "choose a shorter name"
        raise OutputError(
            f"{path} cannot be written ({getattr(error, 'strerror', None) or error}); {advice}"
        ) from error
