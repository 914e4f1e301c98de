"""What the hosts' augmentation transforms share: their arguments are those of the augmentation, by keyword."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

from stainxform.augment import AUGMENTATIONS, PRESETS, Augmentation
from stainxform.errors import ParameterError


def transform_name(name: str) -> str:
    """What an augmentation is called in the hosts: "RandHSV" for "hsv"."""
    kind = AUGMENTATIONS[name].__name__
    return kind if kind.startswith("Rand") else f"Rand{kind}"


def parameter_names(kind: type[Augmentation]) -> tuple[str, ...]:
    """The arguments that make the augmentation: ``preset``, where there are presets, and its fields."""
    fields = tuple(field.name for field in dataclasses.fields(kind) if field.init)
    return ("preset", *fields) if kind.name in PRESETS else fields


def build(kind: type[Augmentation], parameters: Mapping[str, Any]) -> Augmentation:
    """The augmentation that a transform's arguments stand for; None stands for the default.

    Raises ParameterError for an argument that it does not have, lacks, or that makes no sense.
    """
    names = parameter_names(kind)
    for name in parameters:
        if name not in names:
            raise ParameterError(f"{kind.__name__} has no parameter {name!r}; it has: {', '.join(names) or 'none'}")
    given = {name: value for name, value in parameters.items() if value is not None}
    for field in dataclasses.fields(kind):
        if field.init and field.default is dataclasses.MISSING and field.name not in given:
            raise ParameterError(f"{kind.__name__} needs {field.name}")
    preset = given.pop("preset", None)
    return kind(**given) if preset is None else kind.preset(preset, **given)


def transform_doc(kind: type[Augmentation], first: str, rest: str) -> str:
    """Docstring of a transform, with the host's arguments before and after the augmentation's own."""
    names = parameter_names(kind)
    own = f"    {', '.join(names)} : see :class:`stainxform.augment.{kind.__name__}`.\n" if names else ""
    return f"""{kind.title}, at random.

    Parameters
    ----------
{first}{own}{rest}
    Source: {kind.source}.
    """


def signature(*bases: type, names: tuple[str, ...]) -> inspect.Signature:
    """The true arguments, for ``help`` and completion, in place of ``**parameters``.

    Parameters
    ----------
    bases : the classes whose arguments it takes.
    names : the augmentation's own, by keyword.
    """
    named = {
        n: p for base in bases for n, p in inspect.signature(base).parameters.items() if p.kind is not p.VAR_KEYWORD
    }
    own = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in names]
    first = [p for p in named.values() if p.kind is not p.KEYWORD_ONLY]
    return inspect.Signature([*first, *own, *(p for p in named.values() if p.kind is p.KEYWORD_ONLY)])
