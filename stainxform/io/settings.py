"""Settings as users give them: checked once, and numpy scalars become the Python numbers that they stand for.

Model files and checkpoints hold Python numbers, and a float32 computes otherwise than the float that is read back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from stainxform.errors import ParameterError, StainXformError

__all__ = ["Settings", "for_json", "init_fields", "is_needed", "make_plain", "plain"]


def plain(value: Any) -> Any:
    """A numpy scalar as a Python number; those in dictionaries, lists and tuples, too. All else comes back as it is."""
    if isinstance(value, np.generic):
        return value.item()
    if type(value) is dict:
        return {name: plain(item) for name, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(plain, value))
    return value


def init_fields(kind: Any) -> list[dataclasses.Field[Any]]:
    """The fields of a dataclass that are given when it is made."""
    return [field for field in dataclasses.fields(kind) if field.init]


def is_needed(field: dataclasses.Field[Any]) -> bool:
    """Whether a field has no default."""
    return field.default is field.default_factory is dataclasses.MISSING


def make_plain(made: Any) -> None:
    """Make the fields of a frozen dataclass plain, for its ``__post_init__``."""
    for field in init_fields(made):
        object.__setattr__(made, field.name, plain(getattr(made, field.name)))


def for_json(value: Any) -> Any:
    """What ``json.dumps`` calls for a value that it does not know: numpy scalars; TypeError for all else."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a setting must be a number, text, or a list or dictionary of these, got {type(value).__name__}")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a method: a frozen dataclass that checks itself when it is made.

    A subclass adds fields, each with a default, and checks them in :meth:`check`. A method without settings uses this
    class itself.
    """

    def __post_init__(self) -> None:
        make_plain(self)
        self.check()

    def check(self) -> None:
        """Raise ParameterError for a value that makes no sense; a subclass calls ``super().check()``, too."""

    @classmethod
    def of(cls, owner: str, given: Mapping[str, Any]) -> Self:
        """The settings that a user named.

        Parameters
        ----------
        owner : str
            What the settings are of, for error messages: the name of the method.
        given : mapping
            Values by name.

        Raises
        ------
        ParameterError
            An unknown name, a value of the wrong type, or one that makes no sense.
        """
        known = cls.names()
        for name in given:
            if name not in known:
                raise ParameterError(f"{owner} has no setting {name!r}; it has: {', '.join(known) or 'none'}")
        for field in init_fields(cls):
            if is_needed(field) and field.name not in given:
                raise ParameterError(f"{owner} needs the setting {field.name!r}, which has no default")
        try:
            return cls(**given)
        except StainXformError:
            raise
        except (TypeError, ValueError) as error:
            raise ParameterError(f"a setting of {owner} has a value of the wrong type ({error})") from error

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Names of the settings."""
        return tuple(field.name for field in init_fields(cls))

    def values(self) -> dict[str, Any]:
        """The settings by name."""
        return {name: getattr(self, name) for name in self.names()}

    def check_integers(self, **minima: int) -> None:
        """ParameterError for a field, by name, that is no integer of at least its minimum."""
        for name, minimum in minima.items():
            value = getattr(self, name)
            if not isinstance(value, int) or value < minimum:
                raise ParameterError(f"{name} must be an integer of at least {minimum}, got {value!r}")

    def check_choice(self, name: str, choices: Iterable[str]) -> None:
        """ParameterError for a field that is none of the choices."""
        if getattr(self, name) not in choices:
            raise ParameterError(f"{name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}")

    def check_fractions(self, *names: str) -> None:
        """ParameterError for a field that is not from 0 to below 1."""
        for name in names:
            if not 0 <= getattr(self, name) < 1:
                raise ParameterError(f"{name} must be from 0 to below 1, got {getattr(self, name)}")
