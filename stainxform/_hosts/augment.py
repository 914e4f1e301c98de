"""What the hosts' augmentation transforms share: their arguments are those of the augmentation, by keyword."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from stainxform.augment import AUGMENTATIONS, Augmentation, Draw, Rng
from stainxform.errors import ParameterError
from stainxform.io.settings import init_fields, is_needed

__all__ = ["build", "draw_from", "parameter_names", "parameters", "signature", "transform_doc", "transform_name"]


def transform_name(name: str) -> str:
    """What an augmentation is called in the hosts: "RandHSV" for "hsv"."""
    kind = AUGMENTATIONS[name].__name__
    return kind if kind.startswith("Rand") else f"Rand{kind}"


def parameters(kind: type[Augmentation]) -> list[inspect.Parameter]:
    """The arguments that make the augmentation, by keyword: ``preset``, where there are presets, and its fields."""
    types = {field.name: field.type for field in init_fields(kind)}
    if kind.presets:
        types = {"preset": "str", **types}
    return [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=f"{str(type_).removesuffix(' | None')} | None",
        )
        for name, type_ in types.items()
    ]


def parameter_names(kind: type[Augmentation]) -> tuple[str, ...]:
    """The names of :func:`parameters`."""
    return tuple(parameter.name for parameter in parameters(kind))


def build(kind: type[Augmentation], arguments: Mapping[str, Any]) -> Augmentation:
    """The augmentation that a transform's arguments stand for; None stands for the default.

    Raises
    ------
    ParameterError
        An argument that it does not have, lacks, or that makes no sense.
    """
    names = parameter_names(kind)
    for name in arguments:
        if name not in names:
            raise ParameterError(f"{kind.__name__} has no parameter {name!r}; it has: {', '.join(names) or 'none'}")
    given = {name: value for name, value in arguments.items() if value is not None}
    for field in init_fields(kind):
        if is_needed(field) and field.name not in given:
            raise ParameterError(f"{kind.__name__} needs {field.name}")
    preset = given.pop("preset", None)
    return kind(**given) if preset is None else kind.preset(preset, **given)


def draw_from(augmentation: Augmentation, rng: Rng) -> Draw:
    """A draw; ParameterError for what is none, which would leave images as they are without a word."""
    draw = augmentation.sample(rng)
    if not isinstance(draw, Mapping):
        raise ParameterError(f"{type(augmentation).__name__}.sample must give numbers by name, got {draw!r}")
    return draw


def signature(kind: type[Augmentation], *hosts: inspect.Signature) -> inspect.Signature:
    """The true arguments of a transform, for ``help`` and completion, in place of ``**parameters``.

    Parameters
    ----------
    kind : type of Augmentation
        The augmentation, whose own come after what is given by position.
    *hosts : Signature
        Signatures of the host's base classes; an argument of the first one wins.
    """
    named = {n: p for host in reversed(hosts) for n, p in host.parameters.items() if p.kind is not p.VAR_KEYWORD}
    first = [p for p in named.values() if p.kind is not p.KEYWORD_ONLY]
    return inspect.Signature([*first, *parameters(kind), *(p for p in named.values() if p.kind is p.KEYWORD_ONLY)])


def transform_doc(kind: type[Augmentation], arguments: inspect.Signature, *hosts: str | None) -> str:
    """Docstring of a transform: its arguments are described by the augmentation and by the host's base classes.

    Parameters
    ----------
    kind : type of Augmentation
        The augmentation.
    arguments : Signature
        Arguments of the transform, in order.
    *hosts : str or None
        Docstrings of the host's base classes; what the last one says after its summary is kept.
    """
    texts = [inspect.cleandoc(text or "") for text in (kind.__doc__, *hosts)]
    described = {name: entry for text in texts for names, entry in _entries(text).items() for name in names}
    if kind.presets:
        described["preset"] = f"preset : str, optional\n    A strength by name: {', '.join(kind.presets)}."
    entries = dict.fromkeys(described[name] for name in arguments.parameters if name in described)
    notes = _split(texts[-1])[0].partition("\n\n")[2].strip()
    paragraphs = [
        f"{kind.title}, at random.",
        f"Draws from :class:`stainxform.augment.{kind.__name__}`.",
        *([notes] if notes else []),
        f"Source: {kind.source}.",
        "\n".join([*_PARAMETERS, *entries]),
    ]
    return "\n\n".join(paragraphs) + "\n"


_PARAMETERS = ("Parameters", "----------")


def _split(text: str) -> tuple[str, str]:
    """A docstring before its section of parameters, and the section, which ends at an empty line."""
    before, _, rest = text.partition("\n".join(_PARAMETERS) + "\n")
    return before, rest.partition("\n\n")[0]


def _entries(text: str) -> dict[tuple[str, ...], str]:
    """The parameters of a docstring, some of them described together: their names, and the lines about them."""
    found: dict[tuple[str, ...], str] = {}
    for entry in _split(text)[1].replace("\n ", "\0").splitlines():
        names = entry.partition(" : ")[0].split(", ")
        found[tuple(names)] = entry.replace("\0", "\n ")
    return found
