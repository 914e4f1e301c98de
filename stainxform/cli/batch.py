"""Many files through one normalizer: what is read and written, decided first; then the work, on several processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Literal

from stainxform.errors import NotEnoughTissueError, ParameterError, StainXformError
from stainxform.files import SUFFIXES, read_image, write_image
from stainxform.modelfile import ModelState
from stainxform.normalizers.base import Normalizer
from stainxform.sources import files_of

MAX_WORKERS = 16
"""Processes started unless told otherwise: each holds its own copy of the libraries and the model."""


@dataclass(frozen=True)
class Job:
    """One file to read and the file to write."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Outcome:
    """What became of one job."""

    job: Job
    status: Literal["normalized", "blank", "failed"]
    pixels: int = 0
    message: str = ""


# ---------------------------------------------------------------- what is read and written


def plan(inputs: Sequence[str], folder: Path, suffix: str = "") -> list[Job]:
    """Decide the output file of every input, without writing anything.

    Parameters
    ----------
    inputs : folders, whose structure is kept below ``folder``, files and glob patterns, which go right into it.
    folder : where the outputs go. What it holds already is no input.
    suffix : of the outputs; empty: that of the input, ``.png`` for types that are only read.

    Raises
    ------
    InvalidImageError : an input matches nothing.
    ParameterError : two inputs have the same output, an output lies outside ``folder`` or would replace an input.
    """
    root = folder.resolve()
    jobs: dict[tuple[Path, Path], Job] = {}
    for where in inputs:
        for source, relative in _sources(where):
            if not _is_own_output(source, where, root):
                job = Job(source, folder / _renamed(relative, suffix))
                jobs.setdefault((source.resolve(), job.target), job)
    if not jobs:
        raise ParameterError(f"every input lies in the output folder {folder}; choose another one")
    _check_targets(list(jobs.values()), root)
    return list(jobs.values())


def _sources(where: str) -> Iterator[tuple[Path, Path]]:
    for file in files_of(where):
        yield file, file.relative_to(where) if Path(where).is_dir() else Path(file.name)


def _is_own_output(source: Path, where: str, root: Path) -> bool:
    """Whether a search through a folder came upon the outputs of an earlier run."""
    return Path(where).resolve() in root.parents and root in source.resolve().parents


def _renamed(relative: Path, suffix: str) -> Path:
    known = relative.suffix.lower() in SUFFIXES
    if not suffix and known and relative.suffix.lower() != ".bmp":
        return relative
    return relative.with_name((relative.stem if known else relative.name) + (suffix or ".png"))


def _check_targets(jobs: Sequence[Job], root: Path) -> None:
    inputs = {job.source.resolve() for job in jobs}
    taken: dict[str, Job] = {}
    for job in jobs:
        other = taken.setdefault(os.path.normcase(job.target), job)
        if other is not job:
            raise ParameterError(
                f"{other.source} and {job.source} would both be written to {job.target}; "
                "rename one, pass their common folder, or use two output folders"
            )
        target = job.target.resolve()
        if root not in target.parents:
            raise ParameterError(f"{job.target} leads out of the output folder through a link; remove the link")
        if target in inputs:
            raise ParameterError(f"{job.target} is itself an input; choose another output folder")


# ---------------------------------------------------------------- the work


def run(jobs: Sequence[Job], state: ModelState, workers: int, *, strict: bool = False) -> Generator[Outcome]:
    """Normalize files, in this process if ``workers`` is 1; outcomes come as they are ready.

    Each worker computes on one thread, so that results do not depend on their number. A file that fails is an
    outcome, not an exception.

    Parameters
    ----------
    jobs : from :func:`plan`.
    state : of the model.
    workers : number of processes.
    strict : a blank tile fails instead of being written unchanged.
    """
    normalizer = Normalizer.from_state(state)  # also checks, before processes are started, that it can be built
    if workers > 1:
        yield from _run_parallel(jobs, state, workers, strict)
        return
    threads = _use_threads(1)
    try:
        for job in jobs:
            yield process(job, normalizer, strict)
    finally:
        _use_threads(threads)


def process(job: Job, normalizer: Normalizer, strict: bool) -> Outcome:
    """Read, normalize and write one file."""
    try:
        image = read_image(job.source)
        pixels = image.shape[0] * image.shape[1]
        try:
            outcome, result = Outcome(job, "normalized", pixels), normalizer(image, on_blank="raise")
        except NotEnoughTissueError as error:
            if strict:
                raise
            outcome, result = Outcome(job, "blank", pixels, f"{job.source}: {error}"), image
        job.target.parent.mkdir(parents=True, exist_ok=True)
        write_image(job.target, result)
        return outcome
    except Exception as error:  # one bad file must not end the work on thousands of others
        return Outcome(job, "failed", 0, _reason(job, error))


def _reason(job: Job, error: Exception) -> str:
    known = isinstance(error, StainXformError | OSError)
    message = str(error) if known else f"{type(error).__name__}: {error}"
    return message if str(job.source) in message else f"{job.source}: {message}"


def _run_parallel(jobs: Sequence[Job], state: ModelState, workers: int, strict: bool) -> Generator[Outcome]:
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    done: Counter[str] = Counter()
    with ProcessPoolExecutor(workers, context, _Worker.start, (state, strict, stop)) as pool:
        try:
            with _deaf_children():
                futures = [pool.submit(_Worker.work, job) for job in jobs]
            for future in as_completed(futures):
                outcome = future.result()
                done[outcome.status] += 1
                yield outcome
        except BrokenProcessPool as error:
            raise StainXformError(
                f"a worker process died after {done.total()} of {len(jobs)} files, perhaps for lack of memory; "
                "the written files are complete, go on with fewer --workers"
            ) from error
        finally:
            stop.set()  # after Ctrl-C: files already handed to a worker, which the pool cannot take back
            pool.shutdown(cancel_futures=True)


class _Worker:
    """The state of a worker process."""

    normalizer: Normalizer
    strict: bool
    stop: Event
    busy = threading.Lock()

    @classmethod
    def start(cls, state: ModelState, strict: bool, stop: Event) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the parent decides
        threading.Thread(target=cls._end_with_parent, daemon=True).start()
        cls.normalizer, cls.strict, cls.stop = Normalizer.from_state(state), strict, stop
        _use_threads(1)

    @classmethod
    def work(cls, job: Job) -> Outcome:
        with cls.busy:
            if cls.stop.is_set():
                return Outcome(job, "failed", message=f"{job.source}: interrupted")
            return process(job, cls.normalizer, cls.strict)

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


def _use_threads(count: int) -> int:
    """Set the number of threads of torch, if a method loaded it; what it was before."""
    torch = sys.modules.get("torch")
    if torch is None:
        return count
    before: int = torch.get_num_threads()
    torch.set_num_threads(count)
    return before
