"""Settings of a fit of StainGAN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from stainxform.errors import ParameterError
from stainxform.io.sources import Tiles
from stainxform.learning.settings import TrainingSettings

__all__ = ["MIN_CROP", "StainGANSettings"]

MIN_CROP = 32
"""Smaller crops, in pixels, leave the discriminator nothing to judge."""


@dataclass(frozen=True, kw_only=True)
class StainGANSettings(TrainingSettings):
    """How StainGAN is trained on tiles of two centers, each at least 32 px a side; they need not show the same tissue.

    With the paper's size a step takes half a minute on a CPU core: there, train something small, such as
    ``width=16, blocks=3, crop=128``.

    Parameters
    ----------
    steps : int, optional
        Optimizer steps of one crop of each center.
    seed : int, optional
        Same seed, same tiles: same weights on one machine with the same number of threads.
    decay : str, optional
        Decay of the learning rate, "linear" (paper: constant, then to zero in the second half), "cosine" or "constant".
    validate_every : int, optional
        Steps between checkpoints.
    device : str, optional
        "auto" (CUDA where present), "cpu", "cuda", ...; CUDA trains in bfloat16 mixed precision.
    workdir : str or Path, optional
        Folder for the checkpoint, log.csv and TensorBoard events; None writes nothing.
    resume : bool, optional
        Continue from the checkpoint in ``workdir``.
    progress : bool, optional
        Show a progress bar; None: if stderr is a terminal.
    threads : int, optional
        Threads of torch on a CPU; None: as many as torch has.
    source : str, Path, array_like, Dataset or iterable of these, optional
        Tiles of the other center: a folder, a glob pattern, files, arrays or a Dataset. Blank ones are skipped.
    crop : int, optional
        Side of the crops in pixels, at most that of the smallest tile (paper: 256).
    width : int, optional
        Filters of the first layer of each network (paper: 64).
    blocks : int, optional
        Residual blocks of the generators (paper: 9).
    learning_rate : float, optional
        Learning rate of Adam, beta1 = 0.5 (paper: 2e-4).
    cycle_weight : float, optional
        Weight of the cycle loss in both directions (paper: 10).
    identity_weight : float, optional
        Weight of the identity loss, in multiples of cycle_weight (paper: 0.5).
    pool : int, optional
        Earlier fakes that a discriminator is shown again (paper's code: 50).

    Raises
    ------
    ParameterError
        No source, or a value that makes no sense.
    InvalidImageError
        The source holds no image.
    """

    source: Any = None
    steps: int = 20_000
    crop: int = 256
    width: int = 64
    blocks: int = 9
    learning_rate: float = 2e-4
    cycle_weight: float = 10.0
    identity_weight: float = 0.5
    pool: int = 50
    decay: str = "linear"
    validate_every: int = 500
    threads: int | None = None

    MAX_WARMUP: ClassVar[int] = 0

    def check(self) -> None:
        """See :class:`Settings`."""
        if self.source is None:
            raise ParameterError(
                "staingan learns from two centers: pass source=, tiles of the other center (images are those of ours)"
            )
        self.check_integers(crop=MIN_CROP, width=1, blocks=0, pool=0)
        self.check_rate()
        for name in ("cycle_weight", "identity_weight"):
            if not getattr(self, name) >= 0:
                raise ParameterError(f"{name} must be at least 0, got {getattr(self, name)}")
        super().check()
        object.__setattr__(self, "source", self.source if isinstance(self.source, Tiles) else Tiles(self.source))
