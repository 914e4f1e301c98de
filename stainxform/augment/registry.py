"""The augmentations by name: ours, those that :func:`register` added, and those that installed packages announce.

A package announces its own in ``pyproject.toml``:

    [project.entry-points."stainxform.augmentations"]
    toy = "toy_package.augment:Toy"
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from stainxform._plugins import Registry
from stainxform.augment.base import Augmentation
from stainxform.augment.presets import Preset
from stainxform.errors import ParameterError
from stainxform.io.settings import init_fields

__all__ = ["AUGMENTATIONS", "ENTRY_POINTS", "PRESETS", "register"]

ENTRY_POINTS = "stainxform.augmentations"
"""The group of entry points."""

Kind = TypeVar("Kind", bound=type[Augmentation])


def register(kind: Kind) -> Kind:
    """Add an augmentation: it works in every host from now on, as ``RandToy`` for a class ``Toy``. Also a decorator.

    Parameters
    ----------
    kind : type of Augmentation
        A subclass of :class:`Augmentation`, a frozen dataclass with ``name``, ``title`` and ``source``.

    Returns
    -------
    type of Augmentation
        ``kind`` itself.

    Raises
    ------
    ParameterError
        No such class, or its name is taken by another one.
    """
    AUGMENTATIONS.register(_checked("", kind).name, kind)
    return kind


def _checked(name: str, kind: Any) -> type[Augmentation]:
    """The class of an augmentation, if it is one that works."""
    if not (isinstance(kind, type) and issubclass(kind, Augmentation)):
        raise ParameterError(f"an augmentation is a subclass of stainxform.augment.Augmentation, got {kind!r}")
    if not dataclasses.is_dataclass(kind) or "__dataclass_fields__" not in vars(kind):
        raise ParameterError(f"{kind.__name__} must be a dataclass: @dataclass(frozen=True, kw_only=True)")
    for attribute in ("name", "title", "source"):
        value = getattr(kind, attribute, None)
        if not (isinstance(value, str) and value):
            raise ParameterError(f"{kind.__name__} must say its {attribute}, a text")
    if abstract := sorted(kind.__abstractmethods__):
        raise ParameterError(f"{kind.__name__} must define {', '.join(abstract)}")
    for label, preset in kind.presets.items():
        if not (isinstance(preset, Preset) and preset.parameters.keys() <= {field.name for field in init_fields(kind)}):
            raise ParameterError(
                f"the preset {label!r} of {kind.__name__} must be a Preset of its parameters, got {preset!r}"
            )
    if name and name != kind.name:
        raise ParameterError(f"{kind.__name__} must be registered under its name {kind.name!r}, not {name!r}")
    for other in AUGMENTATIONS.known.values():
        if _place(other) != _place(kind) and _names(other) & _names(kind):
            raise ParameterError(f"the name of {kind.__name__} ({kind.name!r}) is taken by {other} ({other.name!r})")
    return kind


def _place(kind: type[Augmentation]) -> tuple[str, str]:
    """The same for a class that was defined again, as in a notebook."""
    return kind.__module__, kind.__qualname__


def _names(kind: type[Augmentation]) -> set[str]:
    """What it goes by: here, and in the hosts, where ``StainNA`` and ``RandStainNA`` are the same."""
    return {kind.name, kind.__name__.removeprefix("Rand")}


class _Presets(Mapping[str, Mapping[str, Preset]]):
    """The presets of all augmentations that have some, as they are now."""

    def __getitem__(self, name: str) -> Mapping[str, Preset]:
        if not (presets := AUGMENTATIONS[name].presets):
            raise KeyError(name)
        return presets

    def __iter__(self) -> Iterator[str]:
        return (name for name, kind in AUGMENTATIONS.items() if kind.presets)

    def __len__(self) -> int:
        return sum(1 for _ in self)


AUGMENTATIONS: Registry[type[Augmentation]] = Registry("augmentation", ENTRY_POINTS, _checked, _place)
"""All augmentations by name, those from outside too. Read only: :func:`register` adds one."""

PRESETS: Mapping[str, Mapping[str, Preset]] = _Presets()
"""By name of the augmentation and of the preset, see :attr:`Augmentation.presets`. Grayscale and style mixing have no
strength to choose."""
