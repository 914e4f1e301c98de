"""Run in a process of its own, with the threads of the environment: one measurement, as JSON on the last line.

python benchmarks/speed/measure.py time JOB TARGET.npy IMAGE.npy --threads 1 --rounds 5 --seconds 4
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from threading import Thread
from typing import Any

import numpy as np
from jobs import Job, Run, load
from layouts import as_levels

SAMPLE = 0.1
"""Seconds that one sample lasts at least: a faster function is called several times, as in a loop over tiles. The first
call after another library finds cold caches and memory given back to the system; it counts as one of many."""

FEWEST = 3
"""Samples, even of an implementation that has used up its time."""


def set_threads(threads: int) -> None:
    """Of every library that is loaded; the environment has told the others."""
    import stainxform._native.native

    stainxform._native.native.set_threads(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(threads)


def with_threads(threads: int, after: int, run: Run) -> Run:
    """The same on another number of threads."""

    def changed():
        set_threads(threads)
        try:
            return run()
        finally:
            set_threads(after)

    return changed


def why(error: BaseException) -> str:
    """One line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def make(maker: Callable[[], Run]) -> tuple[Run | None, str]:
    """The function to time, or why there is none."""
    try:
        return maker(), ""
    except ImportError as error:
        return None, f"not installed ({error.name or why(error)})"
    except Exception as error:  # a peer that does not work here is a finding, not an end
        return None, f"fails: {why(error)}"


def checked(run: Run, shape: tuple[int, ...]) -> tuple[np.ndarray | None, str]:
    """The result, or what is wrong with it."""
    try:
        levels = as_levels(run(), shape)
    except Exception as error:
        return None, f"fails: {why(error)}"
    return (levels, "") if levels.std() > 1 else (None, f"fails: the result is blank, {levels.mean():.0f} all over")


def interleave(runs: dict[Any, Run], rounds: int, seconds: float) -> dict[Any, list[float]]:
    """Seconds of calls: one sample of each function after the other, round by round, each round starting with another.

    They are warm: each has been called before. A function that has used more than ``seconds`` is left out after FEWEST samples.
    """
    calls, samples = {}, {}
    for name, run in runs.items():
        first = elapsed(run, 1)
        calls[name] = max(1, int(SAMPLE / max(first, 1e-6)))
        samples[name] = [first] if calls[name] == 1 else []
    names = list(runs)
    gc.collect()
    gc.disable()
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            used = sum(samples[name]) * calls[name]
            if len(samples[name]) < min(rounds, FEWEST) or (len(samples[name]) < rounds and used < seconds):
                samples[name].append(elapsed(runs[name], calls[name]))
    gc.enable()
    return samples


def elapsed(run: Run, calls: int) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - start) / calls


def statistics_of(samples: list[float]) -> dict[str, Any]:
    """Median and interquartile range."""
    low, median, high = statistics.quantiles(samples, n=4, method="inclusive") if samples[1:] else samples * 3
    return {"median": median, "iqr": high - low, "samples": len(samples)}


def time_job(
    job: Job, target: np.ndarray, image: np.ndarray, threads: int, rounds: int, seconds: float, only_ours: bool
) -> dict[str, dict[str, Any]]:
    """Every implementation of a job on one image."""
    makers = job.implementations(target, image)
    if image.ndim == 4:
        makers = {name: maker for name, maker in makers.items() if name in job.batches}
    if only_ours:
        makers = {name: maker for name, maker in makers.items() if job.is_ours(name)}
    found, runs, results = {}, {}, {}
    for name, maker in makers.items():
        set_threads(threads)  # before and after: a peer may set its own
        run, problem = make(maker)
        set_threads(threads)
        if run:
            results[name], problem = checked(run, image.shape)
        if problem:
            found[name] = {"problem": problem}
        else:
            runs[name] = run
    turns = dict(runs)
    if threads > 1:  # beside one thread, in turns: a busy moment hits both
        turns |= {(name, 1): with_threads(1, threads, run) for name, run in runs.items()}
    samples = interleave(turns, rounds, seconds)
    for name in runs:
        found[name] = statistics_of(samples[name])
        if threads > 1:
            found[name]["one_thread"] = statistics_of(samples[name, 1])["median"]
        if results.get(job.ours) is not None and name not in (job.ours, *job.references):
            difference = np.abs(results[name].astype(np.int16) - results[job.ours])
            found[name]["levels"] = float(difference.mean())
            found[name]["agrees"] = name not in job.same or bool(difference.mean() <= job.levels)
    return {name: found[name] for name in makers}


def memory(job: Job, name: str, target: np.ndarray, image: np.ndarray) -> dict[str, Any]:
    """Bytes a pixel that one call takes at most, beyond what the process holds: modules, the model, the input."""
    side = 160
    warm, problem = make(job.implementations(target, image[:side, :side].copy())[name])
    if warm:
        # Imports what is imported on first use. In a thread: what threads keep for themselves ends with it.
        thread = Thread(target=warm)
        thread.start()
        thread.join()
        run, problem = make(job.implementations(target, image)[name])
    if problem:
        return {"problem": problem}
    gc.collect()
    give_back()
    before = resident("VmRSS")
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # forget the peak
    result = run()
    peak = resident("VmHWM") - before
    del result
    return {"bytes_per_pixel": max(peak, 0) / (image.size / 3)}


def give_back() -> None:
    """Free memory that the allocator keeps would hide what a call takes."""
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)


def resident(key: str) -> int:
    """Bytes, from /proc/self/status."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(key))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["time", "memory"])
    parser.add_argument("name", help="of the job")
    parser.add_argument("images", nargs="+", help="the target and one or more images, .npy")
    parser.add_argument("--implementation", default="")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--only-ours", action="store_true")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-options.threads :])
    job, (target, *images) = load(options.name), map(np.load, options.images)
    if options.what == "memory":
        result = memory(job, options.implementation, target, images[0])
    else:
        limits = options.threads, options.rounds, options.seconds, options.only_ours
        result = [time_job(job, target, image, *limits) for image in images]
    print(json.dumps(result))


if __name__ == "__main__":
    main()
