"""Fitted models of any method: which methods there are, and reading a file of any of them."""

from __future__ import annotations

from pathlib import Path

from stainxform.errors import ParameterError
from stainxform.normalizers.base import Normalizer
from stainxform.normalizers.registry import Method, registered

__all__ = ["load", "methods", "resolve_model"]


def load(path: str | Path) -> Normalizer:
    """Read the model file of any method.

    Raises
    ------
    ModelFileError
        A file that is no complete, unaltered model.
    MissingDependencyError
        The method needs an extra that is not installed.
    """
    return Normalizer.load(path)


def methods() -> dict[str, Method]:
    """All methods by name, sorted."""
    return dict(registered())


def resolve_model(model: str | Path | Normalizer, method: str | None = None) -> Normalizer:
    """The normalizer that a transform's, or a module's, ``model`` argument stands for.

    Parameters
    ----------
    model : str, Path or Normalizer
        Path of a model file, or a fitted normalizer, which is used as it is.
    method : str, optional
        The one method that the transform accepts; None accepts any.

    Raises
    ------
    ModelFileError
        The file is missing or no complete, unaltered model.
    ParameterError
        Neither a path nor a normalizer, or a model of another method.
    """
    if isinstance(model, str | Path):
        normalizer, origin = Normalizer.load(model), str(model)
    elif isinstance(model, Normalizer):
        normalizer, origin = model, "the normalizer"
    else:
        raise ParameterError(f"model must be a path or a fitted Normalizer, got {type(model).__name__}")
    if method is not None and normalizer.model_method != method:
        raise ParameterError(
            f"{origin} is a {normalizer.model_method!r} model, not {method!r}; StainNormalize takes any"
        )
    return normalizer
