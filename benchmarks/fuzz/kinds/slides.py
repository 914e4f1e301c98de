"""Slides whose TIFF structure or OME-XML was damaged: opened, read, and written normalized."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from checks import attempt
from damage import mutate, mutate_xml, ome_seeds, seeds
from faults import Fault

import stainxform as sx
from stainxform.errors import StainXformError
from stainxform.pipeline.estimate import slide_map
from stainxform.samples import pair
from stainxform.slides import write_slide

READERS = ("auto", "tifffile", "openslide")
"""Every file is tried with each of them in turn."""


class Slides:
    """Inputs 2k have a damaged structure, inputs 2k + 1 damaged XML."""

    seconds = 10.0
    memory = 512 << 20

    def __init__(self, folder: Path):
        self._folder = folder
        self._whole, self._ome = seeds(folder), ome_seeds(folder)
        self._target = sx.fit_center(pair(2, 96, seed=1)[0], "macenko", qc="off")
        self._case, self._out = folder / "case.tif", folder / "out.ome.tif"

    def case(self, number: int) -> str:
        """One file with one reader."""
        file, of_xml = number // 2 // len(READERS), number % 2
        reader = READERS[number // 2 % len(READERS)]
        rng = np.random.default_rng((7, file))
        whole = self._ome if of_xml else self._whole
        data = (mutate_xml if of_xml else mutate)(whole[file % len(whole)], rng)
        self._case.write_bytes(data)
        return self.normalize(reader)

    def normalize(self, reader: str) -> str:
        """Open, look at, read and write what stands in the file of the case."""
        try:
            _, error = attempt(lambda: self._normalize(reader))
            left = [path for path in self._folder.glob("out*") if path != self._out]
            if error is not None and self._out.exists():
                raise Fault("an output is left of a slide that failed", str(error))
            if error is None and left:
                raise Fault("partial files are left", str(left))
            if error is None and not self._out.exists():
                raise Fault("no output, and no error")
            if self._case.stat().st_size == 0 and error is None:
                raise Fault("an empty file was taken")
            return "normalized" if error is None else "refused"
        finally:
            for path in self._folder.glob("out*"):
                path.unlink()

    def _normalize(self, reader: str) -> None:
        with sx.open_slide(self._case, reader) as slide:
            self._look_at(slide)
            write_slide(slide, self._out, slide_map(self._target, slide), threads=1)
        with sx.open_slide(self._out) as written:
            if written.levels[0].shape != slide.levels[0].shape:
                raise Fault("the output has another size", f"{slide.levels[0].shape} -> {written.levels[0].shape}")

    @staticmethod
    def _look_at(slide: Any) -> None:
        """Whatever a slide says of itself makes sense."""
        for name, numbers in (
            ("mpp", slide.mpp or ()),
            ("magnification", (slide.magnification,) if slide.magnification else ()),
        ):
            if not all(np.isfinite(value) and value > 0 for value in numbers):
                raise Fault(f"{name} makes no sense", str(numbers))
        for level in range(len(slide.levels)):
            try:
                region = slide.read(level, 0, 0, 16, 16)
            except StainXformError:
                continue
            if region.shape != (16, 16, 3) or region.dtype != np.uint8:
                raise Fault("a region of another size", f"{region.shape} {region.dtype}")
