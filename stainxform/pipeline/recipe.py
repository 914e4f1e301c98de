"""What is done with every slide: one recipe for all of them."""

from __future__ import annotations

from dataclasses import dataclass

from stainxform.errors import ParameterError
from stainxform.pipeline.model import ModelFile, resolve_device
from stainxform.pipeline.output import OutputKind
from stainxform.slides.readers.registry import check_reader

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
        The record also holds the names of the files, which may identify patients.

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

    def __post_init__(self) -> None:
        if self.statistics not in STATISTICS:
            raise ParameterError(f"statistics must be one of: {', '.join(STATISTICS)}; got {self.statistics!r}")
        check_reader(self.reader)
        if self.threads < 1:
            raise ParameterError(f"threads must be at least 1, got {self.threads}")

    def device_here(self) -> str:
        """What ``device`` stands for on this machine; ParameterError if it has no such device."""
        return resolve_device(self.device, self.model.method if self.model else "")
