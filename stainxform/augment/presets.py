"""A strength by name, with its source. The defaults of an augmentation are its "light" preset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["TELLEZ_2019", "Preset", "symmetric"]

TELLEZ_2019 = "Tellez et al., Medical Image Analysis 58, 2019"
"""The source of most of them."""


@dataclass(frozen=True)
class Preset:
    """Parameters of an augmentation, and where they come from."""

    parameters: Mapping[str, Any]
    source: str


def symmetric(size: float, *names: str) -> dict[str, tuple[float, float]]:
    """The same range (-size, size) for each parameter."""
    return dict.fromkeys(names, (-size, size))
