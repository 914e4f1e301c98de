"""The type of every argument that is a path."""

from __future__ import annotations

from pathlib import Path

import typer

from stainxform.errors import ParameterError

__all__ = ["path"]


def path(word: str) -> Path:
    """A path from the command line; an unset variable of the shell is no path, and not the current folder."""
    from stainxform.io.paths import as_path

    try:
        return as_path(word)
    except ParameterError as error:
        raise typer.BadParameter(str(error)) from error  # a ValueError would be taken for a wrong type
