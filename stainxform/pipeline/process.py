"""One slide: opened, hashed, made into a product, recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from stainxform._optional import use_torch_threads
from stainxform._version import __version__
from stainxform.errors import ParameterError, ResumeError
from stainxform.io.outputs import Job, reason
from stainxform.maps import ImageMap, TileMap
from stainxform.pipeline import record
from stainxform.pipeline.estimate import slide_map
from stainxform.pipeline.model import ModelFile, resolve_device
from stainxform.pipeline.product import Order, Product, Progress
from stainxform.slides import Slide, open_slide
from stainxform.slides.files import digest, digest_of

STATISTICS = ("slide", "tile")


@dataclass(frozen=True)
class Work:
    """What is done with every slide; small and picklable, the model by path and hash.

    Parameters
    ----------
    product : what is made.
    model : None: the pixels stay as they are.
    statistics : "slide": one map for the slide, no seams. "tile": each tile has its own, as papers do it.
    reader : see :func:`stainxform.open_slide`.
    device : of networks and pixels: "cpu", "cuda", ...; "auto": CUDA where torch has it.
    threads : how many read, map and write one slide. Nothing written depends on it.
    names : the record also holds the names of the files, which may identify patients.
    """

    product: Product
    model: ModelFile | None = None
    statistics: str = "slide"
    reader: str = "auto"
    device: str = "auto"
    threads: int = 2
    names: bool = False

    def __post_init__(self) -> None:
        if self.statistics not in STATISTICS:
            raise ParameterError(f"statistics must be one of: {', '.join(STATISTICS)}; got {self.statistics!r}")
        if self.threads < 1:
            raise ParameterError(f"threads must be at least 1, got {self.threads}")

    def device_here(self) -> str:
        """What ``device`` stands for on this machine; ParameterError if it has no such device."""
        return resolve_device(self.device, self.model.method if self.model else "")


@dataclass(frozen=True)
class Outcome:
    """What became of one slide: made now, complete before, or failed for the reason that ``message`` gives."""

    job: Job
    status: Literal["written", "complete", "failed"]
    pixels: int = 0
    message: str = ""


def process(job: Job, work: Work, *, strict: bool = False, progress: Progress | None = None) -> Outcome:
    """Make the product of one slide; an error is an outcome, not an exception.

    A complete product of the same source, model, settings and version is left as it is, a partial one is gone on with.

    Parameters
    ----------
    job : the slide, and the product.
    work : what is done.
    strict : a partial product of something else is refused; else it is begun anew.
    progress : called with the pixels that are done, and how many there are.
    """
    try:
        with open_slide(job.source, work.reader) as slide:
            return _process(job, work, slide, strict, progress)
    except Exception as error:  # one bad slide must not end the work on the others
        return Outcome(job, "failed", message=reason(job, error))


def _process(job: Job, work: Work, slide: Slide, strict: bool, progress: Progress | None) -> Outcome:
    device = work.device_here()
    facts = _facts(job, work, slide, device)
    fingerprint = record.fingerprint_of(facts)
    facts |= {"fingerprint": fingerprint, "versions": record.versions()}
    if work.names:
        facts["names"] = {"source": job.source.name, "output": job.target.name}
    earlier = record.read(job.target)
    if work.product.files(job.target):
        if earlier is None or earlier["fingerprint"] != fingerprint:
            raise ResumeError(
                f"{job.target} was not made from this slide, model and settings by this version; pass --force to replace it"
            )
        if earlier.get("output") is None:  # the process ended after the product, before its record
            _finish(job, work, facts)
        return Outcome(job, "complete")

    normalizer = None if work.model is None else work.model.normalizer(device)

    def map_for(side: int) -> ImageMap | None:
        """The map; once there is one, the record tells what the files that follow are."""
        found = None
        if normalizer is not None:
            found = TileMap(normalizer, side) if work.statistics == "tile" else slide_map(normalizer, slide)
        job.target.parent.mkdir(parents=True, exist_ok=True)
        record.write(job.target, facts | {"output": None})
        return found

    on = None if device == "cpu" else device
    order = Order(slide, job.target, map_for, fingerprint, strict, work.threads, on, progress)
    before = use_torch_threads(1)  # one for each of ours, so that no byte depends on their number
    try:
        pixels = work.product.make(order)
    finally:
        use_torch_threads(before)
    _finish(job, work, facts)
    return Outcome(job, "written", pixels)


def _facts(job: Job, work: Work, slide: Slide, device: str) -> dict[str, Any]:
    """What decides the product."""
    height, width = slide.levels[0].shape
    model = work.model
    return {
        "source": {"sha256": digest(job.source), "width": width, "height": height},
        "model": None if model is None else {"sha256": model.sha256, "method": model.method},
        "settings": {
            **work.product.settings(),
            "statistics": work.statistics,
            "reader": slide.reader,
            "device": device.partition(":")[0],
        },
        "version": __version__,
    }


def _finish(job: Job, work: Work, facts: dict[str, Any]) -> None:
    files = work.product.files(job.target)
    output = {"sha256": digest_of(files), "bytes": sum(file.stat().st_size for file in files)}
    record.write(job.target, facts | {"output": output})
