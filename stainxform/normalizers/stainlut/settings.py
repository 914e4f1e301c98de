"""Settings of a fit of StainLUT."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from stainxform.color import GRAY_WEIGHTS
from stainxform.errors import ParameterError
from stainxform.learning.settings import TrainingSettings
from stainxform.normalizers.stainlut.randomization import ColorRandomization

__all__ = [
    "ENCODER_NORMS",
    "GRAYS",
    "INFERENCE",
    "MIN_CROP",
    "PREDICTOR_NORMS",
    "Rates",
    "StainLUTSettings",
    "gray_weights_of",
]

GRAYS: dict[str, tuple[float, float, float]] = {"bt601": GRAY_WEIGHTS, "mean": (1 / 3, 1 / 3, 1 / 3)}
"""Named gray weights. The paper says grayscale; the mean of the channels transferred best between two scanners."""

INFERENCE = ("exact", "fast")
"""How the context is computed on a CPU, see :class:`StainLUT`."""

ENCODER_NORMS = ("instance", "running", "none")
PREDICTOR_NORMS = ("instance", "none")
"""Normalizations by name; see :class:`~stainxform.normalizers.stainlut.network.StainLUTNet`."""

MIN_CROP = 16
"""Smaller crops, in pixels, hold no neighborhood for the Encoder (receptive field 11 px)."""


@dataclass(frozen=True)
class Rates:
    """Peak learning rates of Adam.

    The paper uses 1e-4 for all. The Predictor's head sums 8,192 features, so that one step of 1e-4 can move a fusion
    weight by up to 0.8 and training diverges from an identity start; the lookup tables and the Encoder on the other
    hand need thousands of steps at 1e-4. Measured in ``docs/results.md``; ``Rates(1e-4, 1e-4, 1e-4, 1e-4)`` is the
    paper's.
    """

    predictor: float = 1e-4
    head: float = 1e-6
    encoder: float = 1e-3
    luts: float = 5e-3


@dataclass(frozen=True, kw_only=True)
class StainLUTSettings(TrainingSettings):
    """How StainLUT is trained on tiles of one center, each at least 16 px a side.

    Parameters
    ----------
    steps : int, optional
        Optimizer steps of one tile each (paper: batch 1).
    seed : int, optional
        Same seed, same tiles: same weights on one machine with the same number of threads.
    decay : str, optional
        "cosine" or "constant" (paper).
    validate_every : int, optional
        Steps between validations and checkpoints.
    device : str, optional
        "auto" (CUDA where present), "cpu", "cuda", ...; CUDA trains in bfloat16 mixed precision.
    workdir : str or Path, optional
        Folder for the checkpoint, log.csv and TensorBoard events; None writes nothing.
    resume : bool, optional
        Continue from the checkpoint in ``workdir``.
    progress : bool, optional
        Show a progress bar; None: if stderr is a terminal.
    threads : int, optional
        Threads of torch on a CPU; None: as many as torch has. More than one wait for each other after every operation,
        which a busy machine makes slow.
    crop : int, optional
        Side in pixels of the random crop that the Encoder and the loss see in a step; None takes whole tiles. The
        Predictor always sees whole tiles: give tiles of about the size that will be normalized.
    bases, size, context_nodes : int, optional
        n, T and K of the LUTs (paper: 3 and 33; 4DLUT code: 2).
    dropout : float, optional
        Probability, training only (4DLUT code: 0.5).
    encoder_norm : str, optional
        "instance" (4DLUT code), "running" or "none", see StainLUTNet.
    predictor_norm : str, optional
        "instance" (4DLUT code) or "none", see StainLUTNet.
    gray : str or (float, float, float), optional
        Weights of the gray image.
    inference : str, optional
        "exact" or "fast", see the class; training does not depend on it.
    color_randomization : bool or dict of str to float, optional
        True for the default ranges, False for none, or a dictionary with any of brightness, contrast, saturation, gain,
        gamma (half widths, see ColorRandomization).
    learning_rates : dict of str to float, optional
        Any of predictor, head, encoder, luts (see Rates).
    smooth_weight, mono_weight : float, optional
        Weights of L_smooth and L_mono (paper: 1e-4 and 10).
    val_fraction : float, optional
        Part of the tiles held out to choose the best checkpoint; with a single tile, or 0, the training tiles serve.

    Raises
    ------
    ParameterError
        Values that make no sense.
    """

    steps: int = 2000
    crop: int | None = 128
    bases: int = 3
    size: int = 33
    context_nodes: int = 2
    dropout: float = 0.5
    encoder_norm: str = "instance"
    predictor_norm: str = "instance"
    gray: str | tuple[float, float, float] = "mean"
    inference: str = "exact"
    color_randomization: bool | dict[str, float] = True
    learning_rates: dict[str, float] | None = None
    smooth_weight: float = 1e-4
    mono_weight: float = 0.1
    val_fraction: float = 0.1

    def check(self) -> None:
        """See :class:`Settings`."""
        self.check_integers(bases=1, size=2, context_nodes=2)
        self.check_choice("encoder_norm", ENCODER_NORMS)
        self.check_choice("predictor_norm", PREDICTOR_NORMS)
        self.check_choice("inference", INFERENCE)
        if self.crop is not None:
            self.check_integers(crop=MIN_CROP)
        for name in ("smooth_weight", "mono_weight"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ParameterError(f"{name} must be a number of at least 0, got {getattr(self, name)}")
        self.check_fractions("dropout", "val_fraction")
        _ = self.randomization, self.rates, self.gray_weights  # each checks what it is made of
        super().check()

    @property
    def gray_weights(self) -> tuple[float, float, float]:
        """Weights of red, green and blue."""
        return gray_weights_of(self.gray)

    @property
    def randomization(self) -> ColorRandomization:
        """The jitter that ``color_randomization`` stands for."""
        if self.color_randomization is True:
            return ColorRandomization()
        off = {field.name: 0.0 for field in fields(ColorRandomization)}
        return _made_of(ColorRandomization, off | (self.color_randomization or {}), "color_randomization")

    @property
    def rates(self) -> Rates:
        """The learning rates that ``learning_rates`` stands for."""
        return _made_of(Rates, self.learning_rates or {}, "learning_rates")


def gray_weights_of(gray: str | tuple[float, float, float]) -> tuple[float, float, float]:
    """Resolve a name or three weights; ParameterError for anything else."""
    if isinstance(gray, str):
        if gray not in GRAYS:
            raise ParameterError(f"gray must be one of {', '.join(GRAYS)} or three weights, got {gray!r}")
        return GRAYS[gray]
    weights = tuple(float(weight) for weight in gray)
    if len(weights) != 3 or min(weights) < 0 or abs(sum(weights) - 1) > 1e-6:
        raise ParameterError(f"gray weights must be three numbers >= 0 that sum to 1, got {gray}")
    return weights


def _made_of(kind: Any, values: Any, name: str) -> Any:
    try:
        return kind(**values)
    except TypeError as error:
        known = ", ".join(kind.__dataclass_fields__)
        raise ParameterError(f"{name} takes a dictionary with any of {known}, got {values!r}") from error
