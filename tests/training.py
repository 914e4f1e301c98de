"""What the tests of trained methods share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stainxform.learning import loop


class Killed(Exception):
    """Stands for the end of the process."""


def killed_and_resumed(fit: Callable[..., Any], workdir: Any, at: int) -> Any:
    """Fit with a checkpoint folder, die after the checkpoint at a step, fit again."""

    def store(run: Any, *arguments: Any, original: Any = loop._Run.store) -> None:
        original(run, *arguments)
        if run.step == at:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop._Run, "store", store)
        with pytest.raises(Killed):
            fit(workdir=workdir)
    return fit(workdir=workdir)


def same_weights(one: Any, other: Any) -> bool:
    """Whether two normalizers hold the same numbers, bit for bit."""
    return all(np.array_equal(a, b) for a, b in zip(one.arrays().values(), other.arrays().values(), strict=True))


def count(module: Any) -> int:
    """Trainable parameters."""
    return sum(p.numel() for p in module.parameters())
