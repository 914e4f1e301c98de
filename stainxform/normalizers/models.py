"""Fitted models of any method: which methods there are, and reading a file of any of them."""

from __future__ import annotations

from pathlib import Path

from stainxform.normalizers.base import Normalizer
from stainxform.normalizers.registry import Method, registered

__all__ = ["load", "methods"]


def load(path: str | Path) -> Normalizer:
    """Read the model file of any method.

    Raises ModelFileError for a file that is no complete, unaltered model, MissingDependencyError where the method
    needs an extra that is not installed.
    """
    return Normalizer.load(path)


def methods() -> dict[str, Method]:
    """All methods by name, sorted."""
    return registered()
