"""What is done with every slide: one recipe for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from stainxform.errors import ParameterError
from stainxform.normalizers.base import Normalizer
from stainxform.normalizers.calibration import Calibration
from stainxform.normalizers.calibration.groups import of_paths
from stainxform.pipeline.model import ModelFile, resolve_device
from stainxform.pipeline.output import OutputKind
from stainxform.slides.base import Slide, check_missing, check_mpp
from stainxform.slides.readers.registry import check_reader, open_slide

__all__ = ["STATISTICS", "Recipe"]

STATISTICS = ("slide", "tile")


@dataclass(frozen=True)
class Recipe:
    """What is done with every slide; small and picklable, the model by path and hash.

    Parameters
    ----------
    output : OutputKind
        The kind of output that is made.
    model : ModelFile, optional
        None: the pixels stay as they are.
    statistics : str, optional
        "slide": one map for the slide, no seams. "tile": each tile has its own, as most papers do it.
    reader : str, optional
        See :func:`stainxform.open_slide`.
    device : str, optional
        Device of networks and pixels: "cpu", "cuda", ...; "auto": CUDA where torch has it.
    threads : int, optional
        How many read, map and write one slide. Nothing written depends on it.
    names : bool, optional
        The record also holds the names of the files, and of a calibration's group, which may identify patients.
    group : str, optional
        The group of a calibration that every slide is from; None: the one named after the slide's file, if there is one.
        A group that is not known: the center.
    mpp_of_slide : float, optional
        Micrometers per pixel of all slides, where the files do not say, or are wrong.
    missing : str, optional
        Tiles that a file does not hold: "fail", or "white": they are glass.

    Raises
    ------
    ParameterError
        Values that make no sense.
    """

    output: OutputKind
    model: ModelFile | None = None
    statistics: str = "slide"
    reader: str = "auto"
    device: str = "auto"
    threads: int = 2
    names: bool = False
    group: str | None = None
    mpp_of_slide: float | None = None
    missing: str = "fail"

    def __post_init__(self) -> None:
        if self.statistics not in STATISTICS:
            raise ParameterError(f"statistics must be one of: {', '.join(STATISTICS)}; got {self.statistics!r}")
        check_reader(self.reader)
        check_missing(self.missing)
        if self.mpp_of_slide is not None:
            check_mpp(self.mpp_of_slide)
        if self.threads < 1:
            raise ParameterError(f"threads must be at least 1, got {self.threads}")
        if self.group is not None and not self.is_calibrated:
            raise ParameterError(f"group={self.group!r} needs a calibration; make one with calibrate")

    @property
    def is_calibrated(self) -> bool:
        """Whether the model is a calibration, whose maps do not depend on the slide's pixels."""
        return self.model is not None and self.model.method == Calibration.method

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that the calibration has maps of; none of any other model."""
        if self.model is None or not self.is_calibrated:
            return ()
        return cast(Calibration, self.model.normalizer()).groups

    def group_of(self, source: Path) -> str | None:
        """The group that a slide is mapped as; None: the center, or no calibration."""
        name = of_paths([source], "file")[0] if self.group is None else self.group
        return name if name in self.groups else None

    def normalizer_for(self, source: Path, device: str) -> Normalizer | None:
        """What maps a slide: the model, and of a calibration that of the slide's group."""
        if self.model is None:
            return None
        normalizer = self.model.normalizer(device)
        if isinstance(normalizer, Calibration) and (group := self.group_of(source)) is not None:
            return normalizer.for_group(group)
        return normalizer

    def opened(self, source: Path) -> Slide:
        """A slide, opened as the recipe says."""
        return open_slide(source, self.reader, mpp=self.mpp_of_slide, missing=self.missing)

    def device_here(self) -> str:
        """What ``device`` stands for on this machine; ParameterError if it has no such device."""
        return resolve_device(self.device, self.model.method if self.model else "")
