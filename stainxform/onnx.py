"""ONNX files of maps and of normalizers that are torch operations throughout.

>>> from stainxform.onnx import export  # doctest: +SKIP
>>> export(center.map_for_tiles("slide/"), "slide.onnx")  # doctest: +SKIP
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from stainxform._optional import require
from stainxform._version import __version__
from stainxform.errors import ParameterError
from stainxform.image.layout import ValueRange
from stainxform.io.atomic import atomic_write

if TYPE_CHECKING:
    from stainxform.maps import ImageMap
    from stainxform.nn import Normalize
    from stainxform.normalizers.base import Normalizer

__all__ = ["OPSET", "Dtype", "export"]

OPSET = 18

Dtype = Literal["float32", "uint8"]


def export(
    model: str | Path | Normalizer | ImageMap,
    path: str | Path,
    *,
    value_range: ValueRange = (0, 1),
    dtype: Dtype = "float32",
) -> None:
    """Write an ONNX file with one input, ``image (N, 3, H, W)``, and one output, ``normalized``, of the same shape.

    N, H and W are free. The metadata hold ``stainxform.method``, ``.version``, ``.dtype`` and ``.value_range``, and
    nothing else: no names of files.

    Parameters
    ----------
    model : str, Path, Normalizer or ImageMap
        A map (``normalizer.map_for(image)``, ``normalizer.map_for_tiles(tiles)``, ``bake(...)``), or a StainLUT,
        StainNet or StainGAN, fitted or as the path of its model file. Blank images come back unchanged, except from a
        map.
    path : str or Path
        Usually ends in ``.onnx``; written atomically.
    value_range : (float, float), optional
        (low, high) of float images.
    dtype : {"float32", "uint8"}, optional
        Dtype of input and output, "float32" or "uint8" (0..255).

    Raises
    ------
    ParameterError
        A method that estimates from every image, a map that ONNX cannot express, or an unknown dtype.
    ModelFileError
        The model file is missing or no valid model.
    MissingDependencyError
        torch, onnx or onnxscript is not installed.
    """
    if dtype not in get_args(Dtype):
        raise ParameterError(f"dtype must be 'float32' or 'uint8', got {dtype!r}")
    for package in ("torch", "onnx", "onnxscript"):
        require(package, "onnx")
    from stainxform.nn import Normalize

    module = Normalize(model, value_range)
    if not module.native:
        raise ParameterError(
            f"{module.method!r} estimates from every image, which ONNX cannot express; export the map of a slide or an "
            "image, from map_for_tiles or map_for, or distill the normalizer into a StainNet"
        )
    proto = _convert(module, dtype)
    _forget_where_it_was_made(proto)
    import onnx

    low, high = (0.0, 255.0) if dtype == "uint8" else module.value_range
    facts = {"method": module.method, "version": __version__, "dtype": dtype, "value_range": json.dumps([low, high])}
    onnx.helper.set_model_props(proto, {f"stainxform.{name}": value for name, value in facts.items()})
    onnx.checker.check_model(proto)
    atomic_write(path, proto.SerializeToString())


def _convert(module: Normalize, dtype: str) -> Any:
    """The ModelProto of a module."""
    import torch

    from stainxform._torch import learning

    example = torch.zeros(2, 3, 48, 40, dtype=getattr(torch, dtype), device="cpu")
    free = torch.export.Dim.DYNAMIC
    try:
        with learning(), _quiet():
            exported = torch.export.export(module, (example,), dynamic_shapes=({0: free, 2: free, 3: free},))
            program = torch.onnx.export(
                exported.run_decompositions(_decompositions()),
                (example,),
                dynamo=True,
                input_names=["image"],
                output_names=["normalized"],
                dynamic_shapes=({0: "N", 2: "H", 3: "W"},),
                opset_version=OPSET,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise ParameterError(f"torch cannot express {module.method!r} in ONNX ({type(error).__name__})") from error
    assert program is not None
    return program.model_proto


def _decompositions() -> dict[Any, Any]:
    """What our operators are made of: ONNX does not know them."""
    import torch

    from stainxform.ops import reference, registration  # noqa: F401

    names = ("lut3d", "lut4d", "lookup_gray")
    return {getattr(torch.ops.stainxform, name).default: getattr(reference, name) for name in names}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to ourselves what the exporter says of itself and of packages that it does not need."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _forget_where_it_was_made(message: Any) -> None:
    """Clear notes throughout a protobuf message: torch notes stack traces, with the names of files."""
    for field, value in message.ListFields():
        if field.name in ("metadata_props", "doc_string"):
            message.ClearField(field.name)
        elif field.message_type is not None:
            for item in [value] if hasattr(value, "ListFields") else value:
                _forget_where_it_was_made(item)
