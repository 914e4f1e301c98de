"""Slides on a Dask cluster: one task each. Dask only schedules; files are what workers and we share.

A worker does the slide in its own process and thread. When it dies, Dask gives the task to another, which continues the
partial file; the lock on that file ended with the process that held it.
"""

from __future__ import annotations

import secrets
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from stainxform._native.native import available_cpus
from stainxform._optional import require
from stainxform.errors import StainXformError
from stainxform.io.outputs import Job
from stainxform.pipeline.process import Outcome, process
from stainxform.pipeline.recipe import Recipe

__all__ = ["CONNECT_SECONDS", "LOCAL", "run_on_cluster"]

LOCAL = "local"
CONNECT_SECONDS = 10


def run_on_cluster(
    jobs: Sequence[Job],
    recipe: Recipe,
    scheduler: str,
    *,
    strict: bool = False,
    replace: bool = False,
    resources: dict[str, float] | None = None,
) -> Generator[Outcome]:
    """Make the output of every slide on the workers of a cluster; outcomes come as they are ready.

    Parameters
    ----------
    jobs : sequence of Job
        See :func:`stainxform.pipeline.process.process`. Workers must reach sources, model and targets under the same
        paths.
    recipe : Recipe
        See :func:`stainxform.pipeline.process.process`. Workers must reach sources, model and targets under the same
        paths.
    scheduler : str
        Address of a scheduler, such as ``tcp://host:8786``; "local": one process for every ``recipe.threads`` CPUs of
        this machine.
    strict : bool, optional
        See :func:`stainxform.pipeline.process.process`. Workers must reach sources, model and targets under the same
        paths.
    replace : bool, optional
        See :func:`stainxform.pipeline.process.process`.
    resources : dict of str to float, optional
        What each slide takes of a worker, such as ``{"GPU": 1}``.

    Raises
    ------
    StainXformError
        The scheduler cannot be reached.
    MissingDependencyError
        Without dask.distributed.
    """
    distributed = require("distributed", "dask")
    if not jobs:
        return
    with _client(distributed, scheduler, min(len(jobs), max(1, available_cpus() // recipe.threads))) as client:
        name = f"stainxform-{secrets.token_hex(4)}"  # keys are shown and logged: no names of slides
        options = {"strict": strict, "replace": replace}
        futures = {
            client.submit(process, _absolute(job), recipe, key=f"{name}-{n}", resources=resources, **options): job
            for n, job in enumerate(jobs)
        }
        try:
            for future in distributed.as_completed(futures):
                yield _outcome(future, futures[future])
        finally:
            client.cancel([future for future in futures if not future.done()])


def _absolute(job: Job) -> Job:
    return Job(Path(job.source).absolute(), Path(job.target).absolute())


def _outcome(future: Any, job: Job) -> Outcome:
    error = future.exception() if future.status == "error" else None
    if future.status == "finished":
        return replace(future.result(), job=job)
    reason = "its task was cancelled" if error is None else str(error).splitlines()[0] or type(error).__name__
    return Outcome(job, "failed", message=f"{job.source}: {reason}")


@contextmanager
def _client(distributed: Any, scheduler: str, processes: int) -> Iterator[Any]:
    if scheduler == LOCAL:
        with (
            distributed.LocalCluster(n_workers=processes, threads_per_worker=1, dashboard_address=None) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield client
        return
    try:
        client = distributed.Client(scheduler, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise StainXformError(f"no Dask scheduler can be reached at {scheduler} ({error})") from error
    with client:
        yield client
