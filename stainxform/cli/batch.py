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
from dataclasses import dataclass
from functools import partial
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, Literal

from stainxform._optional import use_torch_threads
from stainxform.errors import NotEnoughTissueError, StainXformError
from stainxform.image.blank import OnBlank
from stainxform.io.images import SUFFIXES, WRITTEN, read_image, write_image
from stainxform.io.modelfile import ModelState
from stainxform.io.outputs import Job, plan, reason
from stainxform.normalizers.base import Normalizer

__all__ = ["MAX_WORKERS", "FileOutcome", "normalize_file", "normalize_files", "plan_images"]

MAX_WORKERS = 16
"""Processes started unless told otherwise: each holds its own copy of the libraries and the model."""


@dataclass(frozen=True)
class FileOutcome:
    """What became of one job."""

    job: Job
    status: Literal["normalized", "blank", "failed"]
    pixels: int = 0
    message: str = ""


def plan_images(inputs: Sequence[str], folder: Path, suffix: str = "") -> list[Job]:
    """Decide the output file of every input, without writing anything: :func:`stainxform.io.outputs.plan` for images.

    ``suffix`` is that of the outputs; empty: that of the input, ``.png`` for types that are only read.
    """
    hint = "normalize whole slides with: stainxform slide"
    return plan(inputs, folder, partial(_renamed, suffix=suffix), hint=hint)


def _renamed(relative: Path, suffix: str) -> Path:
    known = relative.suffix.lower() in SUFFIXES
    if not suffix and relative.suffix.lower() in WRITTEN:
        return relative
    return relative.with_name((relative.stem if known else relative.name) + (suffix or ".png"))


def normalize_files(
    jobs: Sequence[Job],
    state: ModelState,
    workers: int,
    *,
    on_blank: OnBlank = "keep",
    groups: Mapping[Job, str] | None = None,
) -> Generator[FileOutcome]:
    """Normalize files, in this process if ``workers`` is 1; outcomes come as they are ready.

    Each worker computes on one thread, so that results do not depend on their number. A file that fails is an
    outcome, not an exception.

    Parameters
    ----------
    jobs : sequence of Job
        Jobs from :func:`plan_images`.
    state : ModelState
        State of the model.
    workers : int
        Number of processes.
    on_blank : {"keep", "warn", "raise"}, optional
        A blank tile is written unchanged, which is an outcome of its own, or fails ("raise"). A calibration, unless it is
        asked to look for blank tiles ("warn"), maps them like any other.
    groups : mapping of Job to str, optional
        The group of a file, for a calibration; a file without one gets the center's map.
    """
    normalizer = Normalizer.from_state(state)  # also checks, before processes are started, that it can be built
    groups = groups or {}
    if workers > 1:
        yield from _run_parallel(jobs, state, workers, on_blank, groups)
        return
    threads = use_torch_threads(1)
    try:
        for job in jobs:
            yield normalize_file(job, normalizer, on_blank, groups.get(job))
    finally:
        use_torch_threads(threads)


def normalize_file(job: Job, normalizer: Normalizer, on_blank: OnBlank, group: str | None = None) -> FileOutcome:
    """Read, normalize and write one file."""
    told: dict[str, Any] = {} if group is None else {"group": group}
    told["on_blank"] = "raise" if normalizer.keeps_blank or on_blank != "keep" else "keep"
    try:
        image = read_image(job.source)
        pixels = image.shape[0] * image.shape[1]
        try:
            outcome, result = FileOutcome(job, "normalized", pixels), normalizer(image, **told)
        except NotEnoughTissueError as error:
            if on_blank == "raise":
                raise
            outcome, result = FileOutcome(job, "blank", pixels, f"{job.source}: {error}"), image
        job.target.parent.mkdir(parents=True, exist_ok=True)
        write_image(job.target, result)
        return outcome
    except Exception as error:  # one bad file must not end the work on thousands of others
        return FileOutcome(job, "failed", 0, reason(job, error))


def _run_parallel(
    jobs: Sequence[Job], state: ModelState, workers: int, on_blank: OnBlank, groups: Mapping[Job, str]
) -> Generator[FileOutcome]:
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    done: Counter[str] = Counter()
    with ProcessPoolExecutor(workers, context, _Worker.start, (state, on_blank, stop)) as pool:
        try:
            with _deaf_children():
                futures = [pool.submit(_Worker.work, job, groups.get(job)) for job in jobs]
            for future in as_completed(futures):
                outcome = future.result()
                done[outcome.status] += 1
                yield outcome
        except BrokenProcessPool as error:
            raise StainXformError(
                f"a worker process died after {done.total()} of {len(jobs)} files, perhaps for lack of memory; "
                "the written files are complete, do the rest with fewer --workers"
            ) from error
        finally:
            stop.set()  # after Ctrl-C: files already handed to a worker, which the pool cannot take back
            pool.shutdown(cancel_futures=True)


class _Worker:
    """The state of a worker process."""

    normalizer: Normalizer
    on_blank: OnBlank
    stop: Event
    busy = threading.Lock()

    @classmethod
    def start(cls, state: ModelState, on_blank: OnBlank, stop: Event) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the parent decides
        threading.Thread(target=cls._end_with_parent, daemon=True).start()
        cls.normalizer, cls.on_blank, cls.stop = Normalizer.from_state(state), on_blank, stop
        use_torch_threads(1)

    @classmethod
    def work(cls, job: Job, group: str | None = None) -> FileOutcome:
        with cls.busy:
            if cls.stop.is_set():
                return FileOutcome(job, "failed", message=f"{job.source}: interrupted")
            return normalize_file(job, cls.normalizer, cls.on_blank, group)

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
