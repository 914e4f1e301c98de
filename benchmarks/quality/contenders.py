"""The normalizers that the downstream experiments compare, each with a brief training, and how one is fitted."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import stainxform as sx

SEES_BOTH = "**sees both**"


@dataclass(frozen=True)
class Contender:
    """A method with its settings.

    Attributes
    ----------
    title : in tables.
    method : registered name.
    settings : of its fit; learned ones get a seed and the CPU, too.
    sees : what else it needs: "" nothing, "source" tiles of the other center, "teacher" those and a fitted Macenko.
    """

    title: str
    method: str
    settings: dict[str, Any] = field(default_factory=dict)
    sees: str = ""


STEPS = {"stainlut": 300, "colornormnet": 400, "stainnet": 3000, "staingan": 120}
SMALL_GAN = {"width": 16, "blocks": 3, "crop": 128}

CONTENDERS = {
    "reinhard": Contender("Reinhard", "reinhard"),
    "reinhard_modified": Contender("modified Reinhard", "reinhard_modified"),
    "histogram_matching": Contender("histogram matching", "histogram_matching"),
    "macenko": Contender("Macenko", "macenko"),
    "vahadane": Contender("Vahadane", "vahadane"),
    "ramakrishnan": Contender("Ramakrishnan", "ramakrishnan"),
    "khan": Contender("Khan", "khan"),
    "colornormnet": Contender("ColorNormNet", "colornormnet"),
    "stainnet": Contender(f"StainNet of Macenko ({SEES_BOTH})", "stainnet", sees="teacher"),
    "staingan": Contender(f"StainGAN, small ({SEES_BOTH})", "staingan", SMALL_GAN, sees="source"),
    "stainlut": Contender("StainLUT", "stainlut"),
}

TRAINED = (
    f"Learned normalizers are trained briefly: StainLUT {STEPS['stainlut']} steps, ColorNormNet {STEPS['colornormnet']}, "
    f"StainNet {STEPS['stainnet']}, StainGAN {STEPS['staingan']} steps of a small network (16 filters, 3 blocks)."
)


def fit(name: str, target: Sequence[np.ndarray], source: Sequence[np.ndarray], *, steps: float = 1) -> sx.Normalizer:
    """Fit a contender to ``target``; only those that ``sees`` says so learn from ``source``, too.

    ``steps`` scales the training of learned ones, for tests.
    """
    contender = CONTENDERS[name]
    settings = dict(contender.settings)
    if contender.method in STEPS:
        count = max(1, round(steps * STEPS[contender.method]))
        settings |= {"seed": 0, "device": "cpu", "progress": False, "steps": count}
    if contender.sees == "source":
        settings["source"] = source
    if contender.sees == "teacher":
        settings["teacher"] = sx.fit_center(target, "macenko")
        target = source
    return sx.fit_center(target, contender.method, **settings)


def fitted(path: Path, *arguments: Any, **options: Any) -> tuple[sx.Normalizer, float]:
    """The model in a file, or a new one that is saved there; and the CPU seconds that its fit took."""
    note = path.with_suffix(".seconds")
    if not note.exists():
        start = time.process_time()
        normalizer = fit(*arguments, **options)
        seconds = time.process_time() - start
        path.parent.mkdir(parents=True, exist_ok=True)
        normalizer.save(path)
        note.write_text(f"{seconds:.2f}")
    return sx.load(str(path)), float(note.read_text())
