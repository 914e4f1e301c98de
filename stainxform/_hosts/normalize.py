"""What the normalizing transforms of MONAI, albumentations and torchvision share."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping
from typing import Any, TypeVar, cast

from stainxform.errors import MissingKeyError, ParameterError, StainXformWarning
from stainxform.normalizers.base import Normalizer
from stainxform.normalizers.calibration import Calibration
from stainxform.normalizers.calibration.groups import group_name
from stainxform.normalizers.registry import Method

__all__ = ["check_group_key", "class_doc", "class_name", "for_method", "group_at", "in_group"]

T = TypeVar("T")


def class_name(method: Method) -> str:
    """The name that a method's normalizer, and its transforms, go by: "Macenko" for "macenko"."""
    return method.class_name


def class_doc(method: Method, parent: str) -> str:
    """Docstring of a transform that is ``parent`` restricted to one method."""
    return f"""{method.title}: :class:`{parent}` for {class_name(method)} models only.

    Takes the arguments of :class:`{parent}`; a model of another method raises ParameterError.

    Source: {method.source}.
    """


def for_method(parent: type[T], method: Method, /, suffix: str = "", **members: object) -> type[T]:
    """A host's ``parent``, which takes models of any method, restricted to one.

    Parameters
    ----------
    parent : type
        The class for models of any method.
    method : Method
        The one.
    suffix : str, optional
        Suffix of the name, after the method's.
    **members
        Attributes of the new class.
    """
    doc = class_doc(method, parent.__name__)
    return type(class_name(method) + suffix, (parent,), {"__module__": parent.__module__, "__doc__": doc, **members})


def check_group_key(normalizer: Normalizer, group_key: Hashable | None) -> None:
    """Whether a transform that looks up groups has maps for them.

    Warns with StainXformWarning if the calibration holds no groups: its center's map will do for all.

    Raises
    ------
    ParameterError
        The normalizer is no calibration.
    """
    if group_key is None:
        return
    if not _of_calibration(normalizer, f"group_key={group_key!r}").groups:
        warnings.warn(
            f"the calibration holds no groups, so group_key={group_key!r} changes nothing: every image gets the center's "
            "map; calibrate with groups= and keep_groups=True",
            StainXformWarning,
            stacklevel=3,
        )


def group_at(data: Mapping[Any, Any], group_key: Hashable) -> Hashable | None:
    """The group that a sample is from; None: no group. MissingKeyError if the sample does not say."""
    if group_key not in data:
        held = ", ".join(map(repr, data)) or "nothing"
        raise MissingKeyError(f"group_key={group_key!r} is not in the data, which hold: {held}")
    return cast("Hashable | None", data[group_key])


def in_group(normalizer: Normalizer, group: Any) -> dict[str, Any]:
    """Arguments by which a normalizer is told the group of an image: none if that is None.

    Raises
    ------
    ParameterError
        The normalizer is no calibration, or the group no name: a text, a number, an array or a tensor that holds one.
    """
    if group is None:
        return {}
    _of_calibration(normalizer, f"group={group!r}")
    return {"group": group_name(group)}


def _of_calibration(normalizer: Normalizer, given: str) -> Calibration:
    if not isinstance(normalizer, Calibration):
        raise ParameterError(
            f"{given} needs a calibration, and this is a {normalizer.method!r} model; make one with its calibrate(...)"
        )
    return normalizer
