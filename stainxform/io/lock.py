"""One program at a time on an output, be it a file or a folder. The lock of a process that was killed is none."""

from __future__ import annotations

import errno
import hashlib
import os
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stainxform.errors import OutputBusyError, OutputError, StainXformWarning

__all__ = ["FileLock", "is_locked", "lock_output", "lock_path"]

_LONG = 240
"""Bytes of a name that can grow by those of a lock: most file systems hold 255."""

_TAKEN = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK}
_ATTEMPTS = 100
"""So often a lock file may vanish before it is locked; some disks give a file another number at each look."""
_UNKNOWN = {getattr(errno, name) for name in ("ENOSYS", "ENOLCK", "ENOTSUP", "EOPNOTSUPP") if hasattr(errno, name)}


def lock_path(output: str | Path) -> Path:
    """The file beside an output that is locked while it is written; there is none at other times."""
    path = Path(output)
    name = os.fsencode(path.name)
    short = path.name if len(name) <= _LONG else hashlib.sha256(name).hexdigest()
    return path.with_name(f".{short}.lock")


@contextmanager
def lock_output(output: str | Path) -> Iterator[None]:
    """A block in which no other process, and no other thread, writes this output, a file or a folder.

    The folder that the output is in is made where it is not there. Nothing else is touched: who comes second fails before
    it has removed or written anything.

    Parameters
    ----------
    output : str or Path
        The file or folder that is to be written.

    Raises
    ------
    OutputBusyError
        Another process, or another thread, is writing it.
    OutputError
        The folder cannot be written to.
    """
    path = Path(output)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {path.parent} cannot be made ({error.strerror or error})") from error
    lock = FileLock(lock_path(path), path)
    try:
        yield
    finally:
        lock.release(remove=True)


def is_locked(output: str | Path) -> bool:
    """Whether an output is being written now. Nothing is written to find out."""
    try:
        descriptor = os.open(lock_path(output), os.O_RDWR | _BINARY)
    except OSError:
        return False
    try:
        return not _try(descriptor, Path(output))
    finally:
        os.close(descriptor)


class FileLock:
    """A file that one process holds open and locked, made if it is not there; the lock ends with the process.

    A forked child does not hold it. Where a file system knows no locks, as some network disks do, a StainXformWarning
    says so, and nothing is locked.

    Parameters
    ----------
    path : Path
        The file to lock.
    output : Path
        The output that it stands for, for messages.

    Attributes
    ----------
    descriptor : int
        The open file, to read and write; -1 after ``release`` and in a forked child.

    Raises
    ------
    OutputBusyError
        Another process, or another thread, holds it.
    OutputError
        It cannot be opened.
    """

    def __init__(self, path: Path, output: Path):
        self.path, self.descriptor = path, -1
        for rest in reversed(range(_ATTEMPTS)):
            descriptor = _opened(path, output)
            try:
                if not _try(descriptor, output):
                    raise OutputBusyError(f"another process is writing {output}; wait for it, or choose another output")
                if _is(descriptor, path) or not rest:
                    self.descriptor = descriptor
                    _held.add(self)
                    return
            finally:
                if self.descriptor < 0:
                    os.close(descriptor)

    def release(self, remove: bool = False) -> None:
        """Let go of the file, and remove it if asked to; again, it does nothing."""
        if self.descriptor < 0:
            return
        if remove and os.name == "posix":
            with suppress(OSError):
                self.path.unlink()
        os.close(self.descriptor)
        self.descriptor = -1
        if remove and os.name != "posix":  # there, what is open cannot be removed
            with suppress(OSError):
                self.path.unlink()


_BINARY: int = getattr(os, "O_BINARY", 0)


def _opened(path: Path, output: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | _BINARY, 0o666)
    except OSError as error:
        raise OutputError(f"{output} cannot be written ({error.strerror or error})") from error


def _try(descriptor: int, output: Path) -> bool:
    """Lock, without waiting; False if another holds the lock."""
    try:
        _lock(descriptor)
    except OSError as error:
        if error.errno in _TAKEN:
            return False
        if error.errno not in _UNKNOWN:
            raise OutputError(f"{output} cannot be locked ({error.strerror or error})") from error
        warnings.warn(
            f"the disk of {output.parent} knows no locks ({error.strerror or error}): run no second program on it",
            StainXformWarning,
            stacklevel=4,
        )
    return True


def _is(descriptor: int, path: Path) -> bool:
    """Whether a file has this name still, which its last holder may have removed.

    The name is opened, not only looked up: a network disk may answer a look from memory.
    """
    try:
        other = os.open(path, os.O_RDONLY | _BINARY)
    except OSError:
        return False
    try:
        return os.path.samestat(os.fstat(descriptor), os.fstat(other))
    finally:
        os.close(other)


try:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
except ImportError:
    import msvcrt

    _FAR = 1 << 40

    def _lock(descriptor: int) -> None:
        """Locks one byte far behind the end: Windows keeps others from reading what is locked."""
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)


_held: weakref.WeakSet[FileLock] = weakref.WeakSet()


def _forget() -> None:
    """In a forked child: the lock is its parent's, and ends with it although the child goes on."""
    for lock in list(_held):
        if lock.descriptor >= 0:
            os.close(lock.descriptor)
            lock.descriptor = -1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
