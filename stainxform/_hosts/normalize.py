"""What the host adapters (MONAI, albumentations, torchvision) and the torch module share."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from stainxform.errors import ParameterError
from stainxform.normalizers.base import Normalizer
from stainxform.normalizers.registry import Method

__all__ = ["class_doc", "class_name", "for_method", "resolve_model"]

T = TypeVar("T")


def resolve_model(model: str | Path | Normalizer, method: str | None = None) -> Normalizer:
    """The normalizer that a transform's ``model`` argument stands for.

    Parameters
    ----------
    model : path of a model file, or a fitted normalizer, which is used as it is.
    method : the one method that the transform accepts; None accepts any.

    Raises
    ------
    ModelFileError : the file is missing or no complete, unaltered model.
    ParameterError : neither a path nor a normalizer, or a model of another method.
    """
    if isinstance(model, str | Path):
        normalizer, origin = Normalizer.load(model), str(model)
    elif isinstance(model, Normalizer):
        normalizer, origin = model, "the normalizer"
    else:
        raise ParameterError(f"model must be a path or a fitted Normalizer, got {type(model).__name__}")
    if method is not None and normalizer.method != method:
        raise ParameterError(f"{origin} is a {normalizer.method!r} model, not {method!r}; StainNormalize takes any")
    return normalizer


def class_name(method: Method) -> str:
    """The name that a method's normalizer, and its transforms, go by: "Macenko" for "macenko"."""
    return method.path.rpartition(":")[2]


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
    parent : the class for models of any method.
    method : the one.
    suffix : of the name, after the method's.
    **members : attributes of the new class.
    """
    doc = class_doc(method, parent.__name__)
    return type(class_name(method) + suffix, (parent,), {"__module__": parent.__module__, "__doc__": doc, **members})
