"""Many slides: which output each has, and the work on them, here or on a cluster."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Generator, Sequence
from functools import partial
from pathlib import Path

from stainxform.errors import OutputBusyError, ParameterError, StainXformWarning
from stainxform.io.lock import is_locked
from stainxform.io.outputs import Job, plan
from stainxform.pipeline.model import ModelFile
from stainxform.pipeline.output import OutputKind
from stainxform.pipeline.process import Outcome, process
from stainxform.pipeline.pyramid import Pyramid
from stainxform.pipeline.recipe import Recipe
from stainxform.slides import SUFFIXES, PyramidOptions
from stainxform.slides.files import first_of_series

__all__ = ["JobProgress", "normalize_slides", "plan_slides", "run"]

JobProgress = Callable[[Job, int, int], None]
"""Called with a job, the pixels of it that are done, and how many there are."""


def normalize_slides(
    inputs: str | Path | Sequence[str | Path],
    output: str | Path,
    model: str | Path,
    *,
    options: PyramidOptions | None = None,
    background: str = "normalize",
    statistics: str = "slide",
    reader: str = "auto",
    device: str = "auto",
    threads: int = 2,
    names: bool = False,
    group: str | None = None,
    resume: bool = False,
    force: bool = False,
    shard: str = "1/1",
    scheduler: str = "",
    resources: dict[str, float] | None = None,
    progress: JobProgress | None = None,
    mpp_of_slide: float | None = None,
    missing: str = "fail",
) -> list[Outcome]:
    """Write a normalized pyramid of every slide, and a JSON record beside each.

    Parameters
    ----------
    inputs : str, Path or sequence of (str or Path)
        Slides, folders (searched for them; their structure is kept) and glob patterns.
    output : str or Path
        Folder for the pyramids.
    model : str or Path
        Path of a model file.
    options : PyramidOptions, optional
        Layout and compression, see :class:`stainxform.slides.PyramidOptions`.
    background : str, optional
        "normalize": every pixel is mapped. "keep": tiles without tissue keep their pixels.
    statistics : str, optional
        "slide": one map for each slide, no seams. "tile": each tile of 512 pixels has its own. A calibration has its map
        already.
    reader : str, optional
        See :func:`stainxform.open_slide`.
    device : str, optional
        Device for networks: "cpu", "cuda"; "auto": CUDA where torch has it.
    threads : int, optional
        How many read, map and write one slide. No byte depends on it.
    names : bool, optional
        The records hold the names of the files, and of a calibration's group, which may identify patients.
    group : str, optional
        The group of a calibration that all slides are from. None: each slide is of the group named after its file, if
        the calibration knows it, else of the center.
    resume : bool, optional
        Outputs that are complete are left as they are, partial ones of something else refused.
    force : bool, optional
        Complete outputs are removed and made again. Without either an existing output is a failure.
    shard : str, optional
        "i/n": only every n-th slide, beginning with the i-th, for one of n jobs.
    scheduler : str, optional
        Address of a Dask scheduler; "local": processes on this machine; empty: this process.
    resources : dict of str to float, optional
        What each slide takes of a Dask worker, such as ``{"GPU": 1}``.
    progress : callable, optional
        Called with the slide's job and its pixels done and in all; not on a cluster.
    mpp_of_slide : float, optional
        Micrometers per pixel of all slides, where the files do not say, or are wrong; the outputs and their records
        carry it, and say that it is from the user.
    missing : str, optional
        Tiles of level 0 that a file does not hold: "fail": the slide fails. "white": they are glass, counted in the
        record. A damaged tile always fails.

    Returns
    -------
    list of Outcome
        What became of each slide; one that failed says why, and does not keep the others from being done. Interrupted
        work is continued, by default too: the files are the same as if it had not been interrupted.

    Raises
    ------
    ParameterError, InvalidImageError
        Nothing found, two slides with one output, an output outside of the folder, or an argument that makes no sense.
    ModelFileError
        No model. Nothing has been written then.
    OutputBusyError
        Another process is writing one of the outputs. At the beginning: nothing has been written, or removed.
    """
    chosen = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    kind = Pyramid(options or PyramidOptions(), background)
    recipe = Recipe(kind, ModelFile.at(model), statistics, reader, device, threads, names, group, mpp_of_slide, missing)
    jobs = plan_slides(chosen, Path(output), kind, shard)
    outcomes = run(
        jobs, recipe, resume=resume, force=force, scheduler=scheduler, resources=resources, progress=progress
    )
    return list(outcomes)


def plan_slides(inputs: Sequence[str | Path], folder: Path, kind: OutputKind, shard: str = "1/1") -> list[Job]:
    """The slides among the inputs, in order of their outputs; see :func:`stainxform.io.outputs.plan`.

    A DICOM slide of several files is one. ``shard`` "i/n": every n-th, beginning with the i-th.
    """
    number, count = _shard(shard)
    jobs = plan(inputs, folder, partial(_renamed, suffix=kind.suffix), SUFFIXES)
    kept = set(first_of_series(job.source for job in jobs))
    return sorted((job for job in jobs if job.source in kept), key=lambda job: str(job.target))[number - 1 :: count]


def run(
    jobs: Sequence[Job],
    recipe: Recipe,
    *,
    resume: bool = False,
    force: bool = False,
    scheduler: str = "",
    resources: dict[str, float] | None = None,
    progress: JobProgress | None = None,
) -> Generator[Outcome]:
    """Make the output of every slide; outcomes come as they are ready. See :func:`normalize_slides`."""
    if resume and force:
        raise ParameterError("resume keeps complete outputs, force makes them again: give one of them")
    if recipe.group is not None and recipe.group not in recipe.groups:
        warnings.warn(
            f"the calibration holds no map of the group {recipe.group!r}: the center's is used",
            StainXformWarning,
            stacklevel=2,
        )
    if resources and not scheduler:
        raise ParameterError("resources are those of Dask workers: give a scheduler, too")
    if not scheduler:
        recipe.device_here()
    for job in jobs:
        if is_locked(job.target):
            raise OutputBusyError(f"another process is writing {job.target}; wait for it, or choose another output")
    todo = []
    for job in jobs:
        existing = None if resume or force else _existing(job, recipe.output)
        if existing:
            yield existing
        else:
            todo.append(job)
    if scheduler:
        from stainxform.pipeline.cluster import run_on_cluster

        yield from run_on_cluster(todo, recipe, scheduler, strict=resume, replace=force, resources=resources)
        return
    for job in todo:
        told = partial(progress, job) if progress else None
        yield process(job, recipe, strict=resume, replace=force, progress=told)


def _existing(job: Job, kind: OutputKind) -> Outcome | None:
    """The failure that an existing output is."""
    if not kind.files(job.target):
        return None
    return Outcome(
        job,
        "failed",
        message=f"{job.target} exists; pass resume=True to keep what is complete, force=True to replace it",
    )


def _renamed(relative: Path, suffix: str) -> Path:
    stem = relative.stem if relative.suffix.lower() in SUFFIXES else relative.name
    return relative.with_name((stem[:-4] if stem.lower().endswith(".ome") else stem) + suffix)


def _shard(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    number, count = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= number <= count:
        raise ParameterError(f"shard must be i/n with i from 1 to n, got {text!r}")
    return number, count
