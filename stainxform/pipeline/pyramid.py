"""A normalized pyramid of each slide."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stainxform.errors import ResumeError
from stainxform.pipeline.output import JobContext, OutputKind
from stainxform.slides import PyramidOptions, write_slide
from stainxform.slides.mapped import keeps_glass

__all__ = ["STATISTICS_TILE", "SUFFIX_OF_LAYOUT", "Pyramid"]

STATISTICS_TILE = 512
"""Side of the tiles that are normalized by their own statistics, where that is asked for."""

SUFFIX_OF_LAYOUT = {"dual": ".ome.tif", "ome": ".ome.tif", "generic": ".tif", "svs": ".svs"}


@dataclass(frozen=True)
class Pyramid(OutputKind):
    """A normalized pyramid, see :func:`stainxform.slides.write_slide`."""

    options: PyramidOptions = PyramidOptions()
    background: str = "normalize"

    def __post_init__(self) -> None:
        keeps_glass(self.background)  # checks it

    @property
    def suffix(self) -> str:
        """By layout."""
        return SUFFIX_OF_LAYOUT[self.options.layout]

    def settings(self) -> dict[str, Any]:
        """Those of the pyramid, and what is done with glass."""
        return {"product": "pyramid", **asdict(self.options), "background": self.background}

    def make(self, context: JobContext) -> int:
        """Write the pyramid."""
        image_map = context.map_for(STATISTICS_TILE)
        try:
            self._write(context, image_map, resume=True)
        except ResumeError:
            if context.strict:
                raise
            self._write(context, image_map, resume=False)
        height, width = context.slide.levels[0].shape
        return height * width

    def _write(self, context: JobContext, image_map: Any, resume: bool) -> None:
        write_slide(
            context.slide,
            context.target,
            image_map,
            self.options,
            background=self.background,
            threads=context.threads,
            device=context.device,
            resume=resume,
            fingerprint=context.fingerprint,
            progress=context.progress,
        )

    def files(self, target: Path) -> list[Path]:
        """The file."""
        return [target] if os.path.lexists(target) else []

    def tidy(self, target: Path) -> None:
        """Remove the journal."""
        target.with_name(target.name + ".journal").unlink(missing_ok=True)

    def remove(self, target: Path) -> None:
        """Remove the file."""
        target.unlink()
