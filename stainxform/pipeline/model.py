"""A model by the path and the hash of its file: what a worker anywhere is sent, and checks."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from stainxform._optional import pick_device
from stainxform.errors import MissingDependencyError, ModelFileError
from stainxform.io.modelfile import unpack
from stainxform.normalizers.base import Normalizer
from stainxform.normalizers.registry import registered

__all__ = ["ModelFile", "resolve_device"]


@dataclass(frozen=True)
class ModelFile:
    """A model file: ``path``, absolute, the SHA-256 of its bytes, and its method."""

    path: Path
    sha256: str
    method: str

    @classmethod
    def at(cls, path: str | Path) -> ModelFile:
        """The model file at a path; ModelFileError if it cannot be read or is no complete, unaltered model."""
        found = Path(path).absolute()
        data = _bytes(found)
        state = unpack(data, str(path))
        return cls(found, hashlib.sha256(data).hexdigest(), state.method)

    def normalizer(self, device: str = "cpu") -> Normalizer:
        """Its normalizer, read once in each process.

        Raises
        ------
        ModelFileError
            The file has another hash than it was named with.
        """
        return _loaded(self, device)


@lru_cache(maxsize=2)
def _loaded(model: ModelFile, device: str) -> Normalizer:
    data = _bytes(model.path)
    if hashlib.sha256(data).hexdigest() != model.sha256:
        raise ModelFileError(f"the model file {model.path} is not the one that the work was begun with")
    return Normalizer.from_state(unpack(data, str(model.path)), str(model.path)).to(device)


def _uses_torch(method: str) -> bool:
    """Whether a device makes a difference: torch takes seconds to import."""
    entry = registered().get(method)
    return bool(entry and entry.needs) or importlib.util.find_spec("cucim") is not None


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise ModelFileError(f"cannot read the model file {path}: {getattr(error, 'strerror', error)}") from error


def resolve_device(device: str, method: str = "") -> str:
    """The device that "auto" stands for here: CUDA where torch has it, and the method or the reader use it; else the CPU.

    Where the answer is the CPU in any case, torch is not imported.

    Raises
    ------
    ParameterError
        A device that torch does not have.
    """
    if device == "cpu" or (device == "auto" and not _uses_torch(method)):
        return "cpu"
    try:
        found = pick_device(device)
    except MissingDependencyError:
        if device == "auto":
            return "cpu"
        raise
    return str(found) if device == "auto" else device
