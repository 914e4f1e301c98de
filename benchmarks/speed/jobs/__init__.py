"""What is timed: one module for each job, all of the same shape.

``TITLE``: of the job. ``implementations(target, image)``: name -> maker. A maker takes nothing, imports and fits what it
needs, none of which is timed, and returns the function of no arguments that is timed; it raises ImportError where the
peer is not installed. Images are uint8 ``(H, W, 3)``, or ``(N, H, W, 3)`` for what ``BATCHES`` lists. Results are uint8.

``OURS``: the row that is compared with the peers. ``SAME``: peers of the same definition, whose result must be within
``LEVELS`` levels of ours, on average. ``REFERENCES``: rows that are no peers. ``NOTES``: what the table says of a row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np

JOBS = ("macenko", "vahadane", "reinhard", "histogram_matching", "hed", "hsv", "map_only", "calibrated_map", "lut3d",
        "stainlut_lookup", "stainnet")  # fmt: skip

Run = Callable[[], Any]
Maker = Callable[[], Run]


@dataclass(frozen=True)
class Job:
    """A module of this folder, with defaults for what it leaves out."""

    name: str
    title: str
    implementations: Callable[[np.ndarray, np.ndarray], dict[str, Maker]]
    ours: str = "stainxform"
    same: tuple[str, ...] = ()
    levels: float = 1.0
    batches: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    notes: dict[str, str] = field(default_factory=dict)

    def is_ours(self, name: str) -> bool:
        """Whether a row is our own code."""
        return name.startswith("stainxform")


def load(name: str) -> Job:
    """The job of this name."""
    module = import_module(f"jobs.{name}")
    optional = {key: getattr(module, key.upper()) for key in Job.__dataclass_fields__ if hasattr(module, key.upper())}
    return Job(name, implementations=module.implementations, **optional)
