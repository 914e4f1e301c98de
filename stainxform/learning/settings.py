"""Settings of every training: how long, how fast, where, and whether it can be resumed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from stainxform.errors import ParameterError
from stainxform.io.settings import Settings

__all__ = ["DECAYS", "TrainingSettings"]

DECAYS = ("cosine", "constant", "linear")


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(Settings):
    """How long and how to train.

    Parameters
    ----------
    steps : int, optional
        Optimizer steps.
    seed : int, optional
        Same seed, same tiles: same weights on one machine with the same number of threads.
    decay : str, optional
        Decay of the learning rate: "cosine" (to 2 % of the peak), "constant", or "linear" (constant for the first half,
        then to zero).
    validate_every : int, optional
        Steps between validations, after each of which a checkpoint is written.
    device : str, optional
        "auto" (CUDA where present), "cpu", "cuda", ...
    workdir : str or Path, optional
        Folder for the checkpoint, log.csv and TensorBoard events; None writes nothing.
    resume : bool, optional
        Continue from the checkpoint in ``workdir`` if there is one. Ctrl-C writes one; without a ``workdir`` it goes to a
        temporary folder, which is said.
    progress : bool, optional
        Show a progress bar; None: if stderr is a terminal.
    threads : int, optional
        Threads of torch on a CPU; None: as many as torch has. More than one wait for each other after every operation,
        which a busy machine makes slow.

    Raises
    ------
    ParameterError
        A value that makes no sense.
    MissingDependencyError
        torch is not installed.
    """

    steps: int = 1000
    seed: int = 0
    decay: str = "cosine"
    validate_every: int = 100
    device: str = "auto"
    workdir: str | Path | None = None
    resume: bool = True
    progress: bool | None = None
    threads: int | None = 1

    MAX_WARMUP: ClassVar[int] = 20
    """Steps over which the rate rises linearly, if a tenth of all steps is not less."""

    def check(self) -> None:
        """See :class:`Settings`."""
        from stainxform._optional import pick_device

        self.check_integers(steps=1, seed=0, validate_every=1, **({} if self.threads is None else {"threads": 1}))
        if self.decay not in DECAYS:
            raise ParameterError(f"decay must be 'cosine', 'constant' or 'linear', got {self.decay!r}")
        if not isinstance(self.workdir, str | Path | None):
            raise ParameterError(f"workdir must be a folder, or None, got {self.workdir!r}")
        for name, choices in (("resume", (True, False)), ("progress", (True, False, None))):
            if not any(getattr(self, name) is choice for choice in choices):
                raise ParameterError(f"{name} must be one of {choices}, got {getattr(self, name)!r}")
        pick_device(self.device)

    @property
    def warmup(self) -> int:
        """Steps over which the rate rises linearly."""
        return min(self.MAX_WARMUP, self.steps // 10)

    def rate(self, step: int) -> float:
        """Fraction of the peak learning rate at a step (0-based)."""
        warm = min(1.0, (step + 1) / (self.warmup + 1))
        if self.decay == "constant":
            return warm
        if self.decay == "linear":
            return warm * min(1.0, 2 * (1 - step / self.steps))
        return warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / self.steps)))

    def check_rate(self) -> None:
        """ParameterError for a ``learning_rate`` that is not above 0."""
        rate = getattr(self, "learning_rate")  # noqa: B009 - a field of some subclasses
        if not 0 < rate < math.inf:
            raise ParameterError(f"learning_rate must be above 0, got {rate}")
