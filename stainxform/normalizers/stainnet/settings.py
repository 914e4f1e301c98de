"""Settings of a fit of StainNet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stainxform.errors import ParameterError
from stainxform.learning.settings import TrainingSettings
from stainxform.normalizers.base import Normalizer

__all__ = ["StainNetSettings"]


@dataclass(frozen=True, kw_only=True)
class StainNetSettings(TrainingSettings):
    """How StainNet learns what a teacher does to tiles of the other center, the one that will be normalized.

    Parameters
    ----------
    steps : int, optional
        Optimizer steps.
    seed : int, optional
        Same seed, same tiles, same teacher: same weights on one machine.
    decay : str, optional
        Decay of the learning rate, "cosine" (authors' code) or "constant".
    validate_every : int, optional
        Steps between validations and checkpoints.
    device : str, optional
        "auto" (CUDA where present), "cpu", "cuda", ... of the training; the teacher runs where it is.
    workdir : str or Path, optional
        Folder for the checkpoint, log.csv and TensorBoard events; None writes nothing.
    resume : bool, optional
        Continue from the checkpoint in ``workdir``.
    progress : bool, optional
        Show a progress bar; None: if stderr is a terminal.
    threads : int, optional
        Threads of torch on a CPU; None: as many as torch has. More than one wait for each other after every operation,
        which a busy machine makes slow.
    teacher : str, Path or Normalizer, optional
        A normalizer fitted on our center, or the path of its model file.
    batch : int, optional
        Pixels in a step (authors' code: 10 crops of 256 px).
    pixels : int, optional
        Random pixels taken from each tile; neighbors mean nothing to a 1x1 network.
    learning_rate : float, optional
        Peak rate of Adam (authors' code: SGD, 0.01).
    val_fraction : float, optional
        Part of the tiles held out to choose the best checkpoint; with a single tile, or 0, the training tiles serve.

    Raises
    ------
    ParameterError
        No teacher, or a value that makes no sense.
    ModelFileError
        The teacher's model file cannot be read.
    MissingDependencyError
        torch is not installed.
    """

    teacher: str | Path | Normalizer | None = None
    steps: int = 3000
    batch: int = 4096
    pixels: int = 8192
    learning_rate: float = 1e-2
    val_fraction: float = 0.1
    validate_every: int = 500

    def check(self) -> None:
        """See :class:`Settings`."""
        if self.teacher is None:
            raise ParameterError(
                "stainnet learns from another normalizer: pass teacher=, a fitted normalizer or the path of its model file, "
                "and as images the tiles of the other center"
            )
        self.check_integers(batch=1, pixels=1)
        self.check_rate()
        self.check_fractions("val_fraction")
        super().check()
        teacher = self.teacher if isinstance(self.teacher, Normalizer) else Normalizer.load(self.teacher)
        object.__setattr__(self, "teacher", teacher)
