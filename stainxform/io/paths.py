"""Paths as they are given: one that is empty, or that no file system takes, is refused before it means another place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from stainxform.errors import ParameterError

__all__ = ["as_path", "is_path"]


def is_path(given: object) -> bool:
    """Whether something is a path: text, or what Python calls path-like."""
    return isinstance(given, str | os.PathLike)


def as_path(given: Any, what: str = "path") -> Path:
    """A path that was given on purpose.

    Parameters
    ----------
    given : str or PathLike
        The text "." stands for the current folder. ``Path(".")`` does not: to Python it is ``Path("")``.
    what : str, optional
        What it is the path of, for the error.

    Returns
    -------
    Path
        The same; a leading ``~`` is the home folder, unless there is a file or folder of that name.

    Raises
    ------
    ParameterError
        Empty, blank, no path at all, or one that holds a null byte or no file system takes.
    """
    if not is_path(given) or isinstance(os.fspath(given), bytes):
        raise ParameterError(f"expected the {what} as text or Path, got {_short(repr(given))}")
    text = os.fspath(given)
    if not text.strip() or (text == "." and isinstance(given, Path)):
        raise ParameterError(
            f"the {what} is empty, perhaps a variable that was never set; for the current folder pass '.' as text"
        )
    if "\0" in text:
        raise ParameterError(f"the {what} {_short(repr(text))} holds a null byte, which no file name does")
    path = Path(given)
    try:
        return path.expanduser() if text.startswith("~") and not os.path.lexists(path) else _looked_at(path)
    except RuntimeError as error:
        raise ParameterError(
            f"the {what} {_short(text)!r} names no user of this machine; write it without ~"
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ParameterError(f"the {what} {_short(text)!r} cannot be looked up ({reason}); check it") from error


def _looked_at(path: Path) -> Path:
    path.exists()  # OSError for what no file system takes: a name of 5,000 letters, a folder that may not be entered
    return path


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:60]}...{text[-15:]}"
