"""What the normalizing transforms of MONAI, albumentations and torchvision share."""

from __future__ import annotations

from typing import TypeVar

from stainxform.normalizers.registry import Method

__all__ = ["class_doc", "class_name", "for_method"]

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
