"""``stainxform info`` and ``stainxform methods``: what is in a model file, on this machine, in this library."""

from __future__ import annotations

import importlib.util
import os
import platform
from pathlib import Path
from typing import Annotated

import typer

from stainxform.cli import text

__all__ = ["info", "methods"]

_PACKAGES = ("numpy", "torch", "monai", "albumentations", "torchvision", "onnx")


def info(
    model: Annotated[Path | None, typer.Argument(help="A model file.", metavar="MODEL", show_default=False)] = None,
    system: Annotated[bool, typer.Option("--system", help="Versions and hardware instead, for bug reports.")] = False,
) -> None:
    """Show what a model file holds, or versions and hardware."""
    if (model is None) == (not system):
        raise typer.BadParameter("give a model file, or --system")
    text.show_facts(_system_facts() if model is None else _model_facts(model))


def methods() -> None:
    """List the normalizers and the augmentations, one line each, with their sources."""
    from stainxform._hosts.augment import transform_name
    from stainxform.augment import AUGMENTATIONS
    from stainxform.normalizers.registry import registered

    text.say("Normalizers")
    text.show_facts(
        [
            (f"  {method.name}", f"{method.title} [{method.source}]{_needs(method.needs, method.extra)}")
            for method in registered().values()
        ]
    )
    text.say("Augmentations")
    text.show_facts(
        sorted((f"  {transform_name(name)}", f"{kind.title} [{kind.source}]") for name, kind in AUGMENTATIONS.items())
    )


def _needs(package: str, extra: str) -> str:
    if not extra:
        return ""
    missing = package and importlib.util.find_spec(package) is None
    return f"; needs stainxform[{extra}]" + (", which is missing" if missing else "")


def _model_facts(path: Path) -> list[tuple[str, object]]:
    """Read without the method's packages: a model can be looked at where it cannot run."""
    from stainxform.augment import AUGMENTATIONS
    from stainxform.io.modelfile import read_model
    from stainxform.normalizers.registry import registered

    state = read_model(path)
    method = registered().get(state.method) or AUGMENTATIONS.get(state.method)
    settings = [(f"  {name}", value) for name, value in sorted(state.parameters.items())]
    return [
        ("method", f"{state.method}: {method.title}" if method else f"{state.method} (unknown to this version)"),
        ("source", method.source if method else "unknown"),
        ("center", state.center or "(no name)"),
        ("tiles", state.tiles),
        ("license", state.license or "(none given)"),
        ("parameters", f"{sum(array.size for array in state.arrays.values()):,} fitted numbers"),
        *settings,
        ("sha256", state.sha256),
        ("version", f"stainxform {state.library_version}"),
    ]


def _system_facts() -> list[tuple[str, object]]:
    from stainxform._native import native
    from stainxform._version import __version__

    kernels = f"{native.active() or 'off'} (this machine has {', '.join(native.available())})"
    return [
        ("stainxform", __version__),
        ("python", f"{platform.python_version()} ({platform.platform()})"),
        *((package, _version_of(package)) for package in _PACKAGES),
        ("kernels", kernels if native.available() else f"{native.missing()}: plain numpy, several times slower"),
        ("CUDA", _cuda()),
        ("CPUs", f"{native.available_cpus()} usable of {os.cpu_count()}"),
    ]


def _version_of(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _cuda() -> str:
    try:
        import torch
    except ImportError:
        return "no (torch is not installed)"
    return f"yes ({torch.cuda.get_device_name()})" if torch.cuda.is_available() else "no"
