"""Settings of a fit of ColorNormNet."""

from __future__ import annotations

import math
from dataclasses import dataclass

from stainxform.errors import ParameterError
from stainxform.learning.settings import TrainingSettings

__all__ = ["MIN_CROP", "ColorNormNetSettings"]

MIN_CROP = 16
"""Smaller crops, in pixels, hold no neighborhood to learn from."""


@dataclass(frozen=True, kw_only=True)
class ColorNormNetSettings(TrainingSettings):
    """How ColorNormNet is trained on tiles of one center, each at least 16 px a side.

    Parameters
    ----------
    steps : int, optional
        Optimizer steps (paper: 800 to 1000).
    seed : int, optional
        Same seed, same tiles: same weights on one machine with the same number of threads.
    decay : str, optional
        Decay of the learning rate, "cosine" or "constant".
    validate_every : int, optional
        Steps between validations and checkpoints.
    device : str, optional
        "auto" (CUDA where present), "cpu", "cuda", ...
    workdir : str or Path, optional
        Folder for the checkpoint, log.csv and TensorBoard events; None writes nothing.
    resume : bool, optional
        Continue from the checkpoint in ``workdir``.
    progress : bool, optional
        Show a progress bar; None: if stderr is a terminal.
    threads : int, optional
        Threads of torch on a CPU; None: as many as torch has. More than one wait for each other after every operation,
        which a busy machine makes slow.
    batch : int, optional
        Crops in a step (paper: 128).
    crop : int, optional
        Side of the crops in pixels, at most that of the smallest tile. The network sees 57 px.
    max_offset : float, optional
        Offsets are drawn from -max_offset..max_offset, in Lab units (reconstructed).
    learning_rate : float, optional
        Peak rate of Adam (paper: 1e-3, with batches 16 times as large).
    l2_weight : float, optional
        Lambda of the loss, L1 + lambda L2 (reconstructed: 1).
    val_fraction : float, optional
        Part of the tiles held out to choose the best checkpoint; with a single tile, or 0, the training tiles serve.

    Raises
    ------
    ParameterError
        Values that make no sense.
    """

    steps: int = 800
    batch: int = 8
    crop: int = 64
    max_offset: float = 20.0
    learning_rate: float = 5e-3
    l2_weight: float = 1.0
    val_fraction: float = 0.1

    def check(self) -> None:
        """See :class:`Settings`."""
        self.check_integers(batch=1, crop=MIN_CROP)
        if not 0 < self.max_offset <= 100:
            raise ParameterError(f"max_offset is above 0 and at most 100 Lab units, got {self.max_offset}")
        if not 0 <= self.l2_weight < math.inf:
            raise ParameterError(f"l2_weight must be at least 0, got {self.l2_weight}")
        self.check_rate()
        self.check_fractions("val_fraction")
        super().check()
