"""A file that is being written: what of it is safe on the disk, who writes it, and its name once it is whole."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stainxform.errors import OutputBusyError, OutputError, ResumeError, SlideBusyError, SlideWriteError
from stainxform.io.atomic import FULL
from stainxform.io.lock import FileLock

__all__ = ["JournaledFile"]


class JournaledFile:
    """An append-only file, ``PATH.part``, and its journal, ``PATH.journal``, held by one process at a time.

    A line of the journal is written after the data it speaks of has reached the disk, so that whatever happens the last
    whole line is true. ``finish`` gives the file its name.

    Parameters
    ----------
    path : Path
        The name that the file shall have.
    identity : str
        What is written; a file that was begun with another one is not continued.
    resume : bool
        Continue what is there; else begin anew.

    Attributes
    ----------
    records : list
        What was noted so far; empty where nothing was continued.
    state : object
        What was noted last; None where nothing was continued.
    length : int
        Bytes of the file.

    Raises
    ------
    SlideBusyError
        Another process is writing the file.
    ResumeError
        The partial file was begun with another identity.
    SlideWriteError
        The file cannot be written.
    """

    def __init__(self, path: Path, identity: str, resume: bool):
        self.path = path
        self.part = path.with_name(path.name + ".part")
        self.records: list[Any] = []
        self.state: Any = None
        self.length = 0
        self._journal_path = path.with_name(path.name + ".journal")
        self._lock, self._data = _lock(self._journal_path, path), -1
        with self._errors():
            try:
                self._data = os.open(self.part, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
                if not (resume and self._continue(identity)):
                    self._begin(identity)
            except BaseException:
                self.close()
                raise

    def append(self, parts: Sequence[bytes]) -> None:
        """Write at the end."""
        with self._errors():
            _write(self._data, b"".join(parts))
        self.length += sum(map(len, parts))

    def note(self, record: Any, state: Any) -> None:
        """Put the data written so far on the disk, then note its length and these, both JSON.

        Every record is kept, of the states the last.
        """
        with self._errors():
            os.fsync(self._data)
            self._line({"length": self.length, "record": record, "state": state})

    def finish(self, patches: dict[int, bytes]) -> None:
        """Overwrite these bytes (by offset), put all on the disk, give the file its name and let go of it."""
        with self._errors():
            for offset, data in patches.items():
                os.lseek(self._data, offset, os.SEEK_SET)
                _write(self._data, data)
            os.fsync(self._data)
            os.close(self._data)
            self._data = -1
            os.replace(self.part, self.path)
            _sync_folder(self.path.parent)
        self._lock.release(remove=True)

    def close(self) -> None:
        """Let go of the file; what is there stays."""
        if self._data >= 0:
            os.close(self._data)
        self._data = -1
        self._lock.release()

    def _begin(self, identity: str) -> None:
        for descriptor in (self._lock.descriptor, self._data):
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.ftruncate(descriptor, 0)
        self._line({"identity": identity})

    def _continue(self, identity: str) -> bool:
        """Back to the last line that is true; False if there is none, or not the data that it speaks of."""
        lines, length, records, state = _lines(self._lock.descriptor), 0, [], None
        first, whole = next(lines, ({}, 0))
        if not first:
            return False
        if first.get("identity") != identity:
            raise ResumeError(
                f"{self.part} was begun from another slide, model, settings or version; delete it, or write anew "
                "without resume"
            )
        for line, end in lines:
            whole, length, state = end, line["length"], line["state"]
            records.append(line["record"])
        if os.fstat(self._data).st_size < length:  # renamed already, or lost: nothing to continue
            return False
        os.ftruncate(self._lock.descriptor, whole)
        os.lseek(self._lock.descriptor, whole, os.SEEK_SET)
        os.ftruncate(self._data, length)
        os.lseek(self._data, length, os.SEEK_SET)
        self.records, self.state, self.length = records, state, length
        return True

    def _line(self, record: dict[str, Any]) -> None:
        text = json.dumps(record, separators=(",", ":")).encode()
        _write(self._lock.descriptor, b"%08x %s\n" % (zlib.crc32(text), text))
        os.fsync(self._lock.descriptor)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except SlideWriteError:
            raise
        except OSError as error:
            if error.errno in FULL:
                raise SlideWriteError(
                    f"there is no room for {self.path} (disk, quota or file size); what was written is kept in "
                    f"{self.part.name}: make room and resume"
                ) from error
            raise SlideWriteError(f"{self.path} cannot be written ({error.strerror or error})") from error


def _lock(journal: Path, path: Path) -> FileLock:
    """The journal is the lock of the file, too."""
    try:
        return FileLock(journal, path)
    except OutputBusyError as error:
        raise SlideBusyError(str(error)) from error
    except OutputError as error:
        raise SlideWriteError(str(error)) from error


def _lines(journal: int) -> Iterator[tuple[dict[str, Any], int]]:
    """The whole lines from the beginning, and where each ends; what follows was cut off by a crash."""
    os.lseek(journal, 0, os.SEEK_SET)
    end = 0
    with open(journal, "rb", closefd=False) as file:
        for line in file:
            check, _, text = line[:-1].partition(b" ")
            if line[-1:] != b"\n" or check != b"%08x" % zlib.crc32(text):
                return
            end += len(line)
            yield json.loads(text), end


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
