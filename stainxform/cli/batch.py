"""Many files through one normalizer: what is read and written, decided first; then the work, on several processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing.synchronize import Event
from pathlib import Path

from stainxform._optional import torch_threads, use_torch_threads
from stainxform.cli.file_work import FileOutcome, FileWork
from stainxform.cli.kinds import refuse_slides
from stainxform.errors import StainXformError
from stainxform.io.images import SUFFIXES, WRITTEN
from stainxform.io.outputs import Job, plan

__all__ = ["MAX_WORKERS", "normalize_files", "plan_images"]

MAX_WORKERS = 16
"""Processes started unless told otherwise: each holds its own copy of the libraries and the model."""


def plan_images(inputs: Sequence[str], folder: Path, suffix: str = "") -> list[Job]:
    """Decide the output file of every input, without writing anything: :func:`stainxform.io.outputs.plan` for images.

    ``suffix`` is that of the outputs; empty: that of the input, ``.png`` for types that are only read. ParameterError
    where an input is a whole slide.
    """
    hint = "normalize whole slides with: stainxform slide"
    jobs = plan(inputs, folder, partial(_renamed, suffix=suffix), hint=hint)
    refuse_slides((job.source for job in jobs), hint)
    return jobs


def _renamed(relative: Path, suffix: str) -> Path:
    own = relative.suffix.lower()
    if not suffix and own in WRITTEN:
        return relative
    return relative.with_name((relative.stem if own in SUFFIXES else relative.name) + (suffix or ".png"))


def normalize_files(
    jobs: Sequence[Job], work: FileWork, workers: int, groups: Mapping[Job, str] | None = None
) -> Generator[FileOutcome]:
    """Normalize files, in this process if ``workers`` is 1; outcomes come as they are ready.

    Each worker computes on one thread, so that results do not depend on their number. A file that fails is an
    outcome, not an exception.

    Parameters
    ----------
    jobs : sequence of Job
        Jobs from :func:`plan_images`.
    work : FileWork
        What is done to each.
    workers : int
        Number of processes.
    groups : mapping of Job to str, optional
        The group of a file, for a calibration; a file without one gets the center's map.

    Raises
    ------
    StainXformError
        A worker process died.
    """
    groups = groups or {}
    _ = work.normalizer  # checks, before processes are started, that it can be built
    if workers > 1:
        yield from _run_parallel(jobs, work, workers, groups)
        return
    with torch_threads(1):
        for job in jobs:
            yield work(job, groups.get(job))


def _run_parallel(
    jobs: Sequence[Job], work: FileWork, workers: int, groups: Mapping[Job, str]
) -> Generator[FileOutcome]:
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    done: Counter[str] = Counter()
    with ProcessPoolExecutor(workers, context, _Worker.start, (work, stop)) as pool:
        try:
            with _deaf_children():
                futures = [pool.submit(_Worker.run, job, groups.get(job)) for job in jobs]
            for future in as_completed(futures):
                outcome = future.result()
                done[outcome.status] += 1
                yield outcome
        except BrokenProcessPool as error:
            raise StainXformError(
                f"a worker process died after {done.total()} of {len(jobs)} files, perhaps for lack of memory; "
                "the written files are complete, do the rest with --resume and fewer --workers"
            ) from error
        finally:
            stop.set()  # after Ctrl-C: files already handed to a worker, which the pool cannot take back
            pool.shutdown(cancel_futures=True)


class _Worker:
    """The state of a worker process."""

    work: FileWork
    stop: Event
    busy = threading.Lock()

    @classmethod
    def start(cls, work: FileWork, stop: Event) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the parent decides
        threading.Thread(target=cls._end_with_parent, daemon=True).start()
        cls.work, cls.stop, _ = work, stop, work.normalizer
        use_torch_threads(1)

    @classmethod
    def run(cls, job: Job, group: str | None = None) -> FileOutcome:
        with cls.busy:
            if cls.stop.is_set():
                return FileOutcome(job, "failed", message=f"{job.source}: interrupted")
            return cls.work(job, group)

    @classmethod
    def _end_with_parent(cls) -> None:
        """A pool whose parent was killed would wait for work forever."""
        parent = multiprocessing.parent_process()
        assert parent is not None
        parent.join()
        with cls.busy:
            os._exit(1)


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Processes started here ignore Ctrl-C from their first moment on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
