"""One slide: opened, hashed, made into an output, recorded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from stainxform._optional import torch_threads
from stainxform._version import __version__
from stainxform.errors import OutputBusyError, ResumeError, SlideError
from stainxform.io.lock import lock_output
from stainxform.io.outputs import Job, reason
from stainxform.maps import ImageMap, TileMap
from stainxform.pipeline import record
from stainxform.pipeline.estimate import slide_map
from stainxform.pipeline.output import JobContext, Progress
from stainxform.pipeline.recipe import Recipe
from stainxform.slides import Slide
from stainxform.slides.files import digest, digest_of, stamp

__all__ = ["Outcome", "process"]


@dataclass(frozen=True)
class Outcome:
    """What became of one slide: made now, complete before, or failed for the reason that ``message`` gives.

    ``record`` is what stands in the JSON file beside the output; empty for one that failed.
    """

    job: Job
    status: Literal["written", "complete", "failed"]
    pixels: int = 0
    message: str = ""
    record: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)


def process(
    job: Job, recipe: Recipe, *, strict: bool = False, replace: bool = False, progress: Progress | None = None
) -> Outcome:
    """Make the output of one slide; an error is an outcome, not an exception.

    A complete output of the same source, model, settings and version is left as it is, a partial one is continued.
    No other process works on the output meanwhile.

    Parameters
    ----------
    job : Job
        The slide, and where its output goes.
    recipe : Recipe
        What is done.
    strict : bool, optional
        A partial output of something else is refused; else it is begun anew.
    replace : bool, optional
        A complete output is removed, once all is known that the new one needs.
    progress : callable, optional
        Called with the pixels that are done, and how many there are.

    Raises
    ------
    OutputBusyError
        Another process is writing this output; who began one run twice should know before the next slide.
    """
    try:
        with lock_output(job.target):
            before = stamp(job.source) if job.source.is_file() else []
            with recipe.opened(job.source) as slide:
                return _process(job, recipe, slide, before, strict, replace, progress)
    except OutputBusyError:
        raise
    except Exception as error:  # one bad slide must not end the work on the others
        return Outcome(job, "failed", message=reason(job, error))


def _process(
    job: Job,
    recipe: Recipe,
    slide: Slide,
    before: list[tuple[str, int, int]],
    strict: bool,
    replace: bool,
    progress: Progress | None,
) -> Outcome:
    device = recipe.device_here()
    facts = _facts(job, recipe, slide, device)
    fingerprint = record.fingerprint_of(facts)
    facts |= {"fingerprint": fingerprint, "versions": record.versions()}
    if recipe.names:
        facts["names"] = {"source": job.source.name, "output": job.target.name}
        if recipe.is_calibrated:
            facts["names"]["group"] = recipe.group_of(job.source)
    earlier = record.read(job.target)
    complete = bool(recipe.output.files(job.target))
    if complete and not replace:
        if earlier is None or earlier["fingerprint"] != fingerprint:
            raise ResumeError(
                f"{job.target} was not made from this slide, model and settings by this version; pass force=True to replace it"
            )
        if earlier.get("output") is None:  # the process ended after the output, before its record
            recipe.output.tidy(job.target)
            earlier = _finish(job, recipe, facts)
        return Outcome(job, "complete", record=earlier)

    normalizer = recipe.normalizer_for(job.source, device)

    def map_for(side: int) -> ImageMap | None:
        """The map; once there is one, the record tells what the files that follow are."""
        found = None
        if normalizer is not None:
            by_tile = recipe.statistics == "tile" and not recipe.is_calibrated
            found = TileMap(normalizer, side) if by_tile else slide_map(normalizer, slide)
        if complete:
            recipe.output.remove(job.target)
        record.write(job.target, facts | {"output": None})
        return found

    on = None if device == "cpu" else device
    context = JobContext(slide, job.target, map_for, fingerprint, strict, recipe.threads, on, progress)
    with torch_threads(1):  # one for each of ours, so that no byte depends on their number
        pixels = recipe.output.make(context)
    if stamp(job.source) != before:
        recipe.output.remove(job.target)
        raise SlideError(f"{job.source} was changed while it was read; its output was removed: run it again")
    return Outcome(job, "written", pixels, record=_finish(job, recipe, facts))


def _facts(job: Job, recipe: Recipe, slide: Slide, device: str) -> dict[str, Any]:
    """What decides the output."""
    height, width = slide.levels[0].shape
    model = recipe.model
    return {
        "source": {"sha256": digest(job.source), "width": width, "height": height, **_said(slide)},
        "model": None if model is None else {"sha256": model.sha256, "method": model.method},
        "settings": {
            **recipe.output.settings(),
            "statistics": recipe.statistics,
            "missing": recipe.missing,
            "reader": slide.reader,
            "device": device.partition(":")[0],
            **_group(job, recipe),
        },
        "made_from": recipe.output.about(slide),
        "version": __version__,
    }


def _said(slide: Slide) -> dict[str, Any]:
    """What is said of the slide, and by whom; how many tiles of level 0 it lacks, where that is known."""
    missing = slide.missing_tiles(0)
    return {
        "mpp": None if slide.mpp is None else list(slide.mpp),
        "mpp_from": None if slide.mpp is None else slide.mpp_from,
        "missing_tiles": None if missing is None else int(missing.sum()),
    }


def _group(job: Job, recipe: Recipe) -> dict[str, int | None]:
    """The group as its place among those of the calibration: a name may identify a patient."""
    if not recipe.is_calibrated:
        return {}
    group = recipe.group_of(job.source)
    return {"group": None if group is None else recipe.groups.index(group)}


def _finish(job: Job, recipe: Recipe, facts: dict[str, Any]) -> dict[str, Any]:
    """Write the record of a complete output; returns it."""
    files = recipe.output.files(job.target)
    output = {"sha256": digest_of(files), "bytes": sum(file.stat().st_size for file in files)}
    record.write(job.target, facts | {"output": output})
    return facts | {"output": output}
