"""Tables of the docs that follow from the registry: all methods side by side, what happens to bad input, the API page.

    python benchmarks/method_tables.py

Every row is what the method says of itself, or does when it is run here on synthetic tissue.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests")]

import pages  # noqa: E402
from augment_cases import make  # noqa: E402
from conftest import TINY  # noqa: E402

import stainxform as sx  # noqa: E402
from stainxform.augment import AUGMENTATIONS  # noqa: E402
from stainxform.errors import MissingDependencyError, NotEnoughTissueError, ParameterError  # noqa: E402
from stainxform.maps import ColorMap  # noqa: E402
from stainxform.normalizers.registry import normalizer_class  # noqa: E402
from stainxform.samples import pair  # noqa: E402
from stainxform.testing import corrupted_tiles  # noqa: E402

MARKS = ("<!-- methods: made by benchmarks/method_tables.py -->", "<!-- end of methods -->")
TITLES = ("method", "fits on", "estimated for each image", "pointwise", "one map for a slide", "gradients", "learned")


def tiles() -> tuple[np.ndarray, np.ndarray]:
    """The same tissue at two centers, uint8 ``(3, 72, 56, 3)`` each."""
    ours, theirs = pair(3, (72, 56), seed=1)
    return ours, theirs


def fitted(ours: np.ndarray) -> dict[str, sx.Normalizer]:
    """Every method that can be imported here, by name."""
    found = {}
    for method in sx.methods():
        try:
            found[method] = sx.fit_center(ours, method, **TINY.get(method, {}))
        except MissingDependencyError as error:
            warnings.warn(f"no row for {method}: {error}", stacklevel=2)
    return found


def method_row(normalizer: sx.Normalizer, theirs: np.ndarray) -> list[str]:
    """The cells of a method under TITLES."""
    entry = sx.methods()[normalizer.method]
    try:
        normalizer.map_for_tiles(theirs)
        one_map = True
    except ParameterError:
        one_map = False
    image = torch.tensor(np.moveaxis(theirs[0] / 255, -1, 0), requires_grad=True)
    facts = (
        isinstance(normalizer.map_for(theirs[0]), ColorMap),
        one_map,
        bool(normalizer(image).requires_grad),
        hasattr(normalizer, "training"),
    )
    return [f"`{entry.name}`", entry.fits_on, entry.estimates, *("yes" if fact else "no" for fact in facts)]


def outcome(transform: Callable[..., Any], image: np.ndarray) -> str:
    """What ``on_blank`` decides about: "kept", or "applied"."""
    try:
        transform(image, on_blank="raise")
    except NotEnoughTissueError:
        return "kept"
    return "applied"


def bad_input_row(name: str, transform: Callable[..., Any]) -> list[str]:
    """What becomes of each bad image."""
    return [f"`{name}`", *(outcome(transform, image) for image in corrupted_tiles().values())]


def drawn(name: str, ours: np.ndarray, theirs: np.ndarray) -> Callable[..., Any]:
    """An augmentation with one draw, as a function of an image."""
    augmentation = make(name, {}, ours, theirs)
    draw = augmentation.sample(np.random.default_rng(6))
    return lambda image, **options: augmentation(image, draw, **options)


def table(titles: list[str], rows: list[list[str]]) -> list[str]:
    """Lines of Markdown."""
    return ["| " + " | ".join(row) + " |" for row in (titles, ["---"] * len(titles), *rows)]


def api_lines() -> list[str]:
    """A class of each method, with its settings, for the API page."""
    lines = []
    for name in sx.methods():
        kind = normalizer_class(name)
        settings = kind.Settings
        lines += [f"::: {kind.__module__}.{kind.__name__}", ""]
        if settings.names():
            lines += [f"::: {settings.__module__}.{settings.__name__}", ""]
    return lines[:-1]


def write(docs: Path, normalizers: Mapping[str, sx.Normalizer], ours: np.ndarray, theirs: np.ndarray) -> None:
    """All three tables."""
    rows = [method_row(normalizer, theirs) for normalizer in normalizers.values()]
    pages.write_between_marks(docs / "choosing.md", MARKS, "", table(list(TITLES), rows))
    transforms = dict(normalizers) | {name: drawn(name, ours, theirs) for name in AUGMENTATIONS}
    rows = [bad_input_row(name, transform) for name, transform in transforms.items()]
    pages.write_between_marks(docs / "bad_input.md", MARKS, "", table(["", *corrupted_tiles()], rows))
    pages.write_between_marks(docs / "api" / "normalizers.md", MARKS, "", api_lines())


if __name__ == "__main__":
    both = tiles()
    write(ROOT / "docs", fitted(both[0]), *both)
