"""``stainxform info`` and ``stainxform methods``: what is in a model file, on this machine, in this library."""

from __future__ import annotations

import importlib.util
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stainxform.cli import text
from stainxform.cli.path import path

if TYPE_CHECKING:
    from stainxform.image.tissue_color import TissueColor
    from stainxform.io.modelfile import ModelState

__all__ = ["info", "methods"]

_PACKAGES = ("numpy", "torch", "monai", "albumentations", "torchvision", "onnx")


def info(
    model: Annotated[
        Path | None, typer.Argument(parser=path, help="A model file.", metavar="MODEL", show_default=False)
    ] = None,
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
    if state.method == "calibration":
        return _calibration_facts(state, str(path))
    method = registered().get(state.method) or AUGMENTATIONS.get(state.method)
    settings = [(f"  {name}", _readable(name, value)) for name, value in sorted(state.parameters.items())]
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


def _calibration_facts(state: ModelState, origin: str) -> list[tuple[str, object]]:
    """What a calibration is of, and all that it holds of the other center."""
    from stainxform.normalizers.calibration import Calibration

    found = Calibration.from_state(state, origin)
    settings, ours = found.settings, found.target_state
    theirs = _numbers([state.parameters[name] for name in ("parts", "maps", "colorizer")]) + sum(
        array.size for name, array in state.arrays.items() if not name.startswith("target/")
    )
    by_data = " (from the data)" if settings.center_weight == "auto" else ""
    return [
        ("method", f"calibration of a {ours.method} model"),
        ("target", f"{ours.center or '(no name)'}, {ours.tiles} tiles"),
        ("center", state.center or "(no name)"),
        ("tiles", state.tiles),
        ("license", state.license or "(none given)"),
        ("groups", f"{len(found.groups)}: {', '.join(found.groups)}" if found.groups else "none kept"),
        ("center weight", f"{found.center_weight:.2f}{by_data}"),
        ("strength", settings.strength),
        ("colors", f"{found.colors:,} of the other center" if found.colors else "none"),
        ("tissue", _tissue(found.center.tissue)),
        ("numbers", f"{theirs:,} of the other center, in maps and statistics"),
        ("sha256", state.sha256),
        ("version", f"stainxform {state.library_version}"),
    ]


def _numbers(held: Any) -> int:
    """How many numbers there are in what JSON holds."""
    if isinstance(held, dict | list):
        return sum(map(_numbers, held.values() if isinstance(held, dict) else held))
    return int(isinstance(held, int | float) and not isinstance(held, bool))


def _readable(name: str, value: object) -> object:
    """A setting in one line; the color of tissue, 20 numbers, in words."""
    if name != "tissue":
        return value
    from stainxform.image.tissue_color import TissueColor

    try:
        return _tissue(TissueColor.from_numbers(value))
    except (KeyError, TypeError, ValueError):  # of another version
        return value


def _tissue(tissue: TissueColor) -> str:
    red, green, blue = tissue.pixels.mean
    return (
        f"mean optical density {red:.2f} {green:.2f} {blue:.2f} (red, green, blue) of {tissue.pixels.count:,} pixels in "
        f"{tissue.tiles.count:,} tiles"
    )


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
