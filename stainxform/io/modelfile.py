"""Model files: one ``.safetensors`` with JSON metadata. Nothing is ever unpickled.

The metadata key ``stainxform`` holds one JSON object: format, method, library_version, center, tiles, license,
parameters, sha256 (of the weights), settings_sha256 (of all the others). No file names, no dates, no pixels.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stainxform.errors import ModelFileError, ParameterError
from stainxform.io.atomic import atomic_write
from stainxform.io.paths import as_path, is_path
from stainxform.io.settings import for_json

__all__ = ["FORMAT", "ModelState", "digest", "pack", "read_model", "settings_digest", "unpack", "write_model"]

FORMAT = 1
"""Version of the file layout. A reader refuses files with a higher number."""

_KEY = "stainxform"
_FIELDS = {"format": int, "method": str, "library_version": str, "center": str, "tiles": int, "license": str,
           "parameters": dict, "sha256": str}  # fmt: skip


@dataclass
class ModelState:
    """What a model file holds."""

    method: str
    arrays: dict[str, np.ndarray]
    parameters: dict[str, Any] = field(default_factory=dict)
    center: str = ""
    tiles: int = 0
    license: str = ""
    library_version: str = ""
    sha256: str = ""


def digest(arrays: dict[str, np.ndarray]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of the arrays, in order of name."""
    sha = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        sha.update(f"{name}:{array.dtype.str}:{array.shape};".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()


def settings_digest(record: dict[str, Any]) -> str:
    """SHA-256 of a metadata record, so that a changed setting is noticed like a changed weight."""
    return hashlib.sha256(json.dumps(record, sort_keys=True, default=for_json).encode()).hexdigest()


def pack(state: ModelState) -> bytes:
    """The bytes of a model file; the same state gives the same bytes.

    Raises
    ------
    ParameterError
        A parameter that JSON cannot hold.
    """
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(array) for name, array in state.arrays.items()}
    record = {name: getattr(state, name) for name in _FIELDS if name not in ("format", "sha256")}
    record |= {"format": FORMAT, "sha256": digest(arrays)}
    try:
        record["settings_sha256"] = settings_digest(record)
        text = json.dumps(record, sort_keys=True, allow_nan=False, default=for_json)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"a parameter of {state.method!r} cannot be stored in a model file ({error})") from error
    return save(arrays, metadata={_KEY: text})


def write_model(path: str | Path, state: ModelState) -> None:
    """Save ``state``, whole or not at all.

    Raises
    ------
    ParameterError
        An empty path, a folder that is not there, or a path that is one.
    OutputError
        It cannot be written, see :func:`stainxform.io.atomic.atomic_write`.
    """
    path = as_path(path, "path of the model file")
    if os.path.isdir(path):
        raise ParameterError(f"{path} is a folder; give the name of a file")
    if not os.path.isdir(path.parent):
        raise ParameterError(f"{path} cannot be written: there is no folder {path.parent}")
    atomic_write(path, pack(state))


def read_model(path: str | Path) -> ModelState:
    """Load and check a model file.

    Raises
    ------
    ParameterError
        No path.
    ModelFileError
        It is missing, truncated, not a stainxform model, of a newer format, or its settings or weights do not match
        their checksum or are not finite.
    """
    if not is_path(path):
        raise ParameterError(f"expected the path of a model file, got {path!r}")
    try:
        data = as_path(path).read_bytes()
    except (OSError, ParameterError) as error:
        raise ModelFileError(f"cannot read the model file {path}: {getattr(error, 'strerror', error)}") from error
    return unpack(data, str(path))


def unpack(data: bytes, path: str = "the model") -> ModelState:
    """Check the bytes of a model file, whose name is ``path`` in errors; see :func:`read_model`."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(data)
        metadata = _header(data).get("__metadata__") or {}
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, struct.error, RecursionError) as error:
        raise ModelFileError(f"{path} is not a complete .safetensors file ({error}); copy or fit it again") from error
    record = _record(path, metadata)
    if digest(arrays) != record["sha256"]:
        raise ModelFileError(f"the weights in {path} do not match their checksum; the file was damaged or changed")
    if odd := {str(array.dtype) for array in arrays.values() if array.dtype.kind not in "fiub"}:
        raise ModelFileError(
            f"the weights in {path} are no real numbers ({', '.join(sorted(odd))}); fit the model again"
        )
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise ModelFileError(f"the weights in {path} hold NaN or infinite values; fit the model again")
    return ModelState(arrays=arrays, **{name: record[name] for name in _FIELDS if name != "format"})


def _header(data: bytes) -> dict[str, Any]:
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    return header if isinstance(header, dict) else {}


def _record(path: str, metadata: dict[str, str]) -> dict[str, Any]:
    if _KEY not in metadata:
        raise ModelFileError(
            f"{path} is a .safetensors file but no stainxform model; make one with fit_center(...).save"
        )
    try:
        record = json.loads(metadata[_KEY])
        version = record["format"]
        intact = record.pop("settings_sha256", None) == settings_digest(record)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelFileError(
            f"the metadata in {path} cannot be read ({type(error).__name__}); fit the model again"
        ) from error
    if isinstance(version, int) and version > FORMAT:
        raise ModelFileError(
            f"{path} has format {version}, this stainxform reads up to {FORMAT}; upgrade with: pip install -U stainxform"
        )
    for name, kind in _FIELDS.items():
        value = record.get(name)
        minimum = 1 if name == "format" else 0
        if type(value) is not kind or (isinstance(value, int) and value < minimum):  # bool is no number of tiles
            raise ModelFileError(f"the metadata in {path} lacks a valid {name!r}; fit the model again")
    if not intact:
        raise ModelFileError(f"the settings in {path} do not match their checksum; the file was damaged or changed")
    return record
