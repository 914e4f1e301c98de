"""Settings as users give them: numpy scalars become the Python numbers that they stand for.

Model files and checkpoints hold Python numbers, and a float32 computes otherwise than the float that is read back.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """A numpy scalar as a Python number; those in dictionaries, lists and tuples, too. All else comes back as it is."""
    if isinstance(value, np.generic):
        return value.item()
    if type(value) is dict:
        return {name: plain(item) for name, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(plain, value))
    return value


def make_plain(made: Any) -> None:
    """Make the fields of a frozen dataclass plain, for its ``__post_init__``."""
    for field in dataclasses.fields(made):
        object.__setattr__(made, field.name, plain(getattr(made, field.name)))


def for_json(value: Any) -> Any:
    """What ``json.dumps`` calls for a value that it does not know: numpy scalars; TypeError for all else."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a setting must be a number, text, or a list or dictionary of these, got {type(value).__name__}")
