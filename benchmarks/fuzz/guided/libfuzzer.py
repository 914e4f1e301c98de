"""A process with libFuzzer in it, for a while: how many inputs it tried, and what stopped it."""

from __future__ import annotations

import os
import re
import resource
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_STOPPED = re.compile(r"(?:SUMMARY: |ERROR: |runtime error: |FAULT: )(.*)")
_DONE = re.compile(r"^stat::number_of_executed_units:\s*(\d+)", re.MULTILINE)
_LAST = re.compile(r"^#(\d+)\t", re.MULTILINE)


@dataclass
class Found:
    """What a run did."""

    inputs: int = 0
    cpu_seconds: float = 0.0
    outcomes: dict[str, int] = field(default_factory=dict)
    faults: list[dict[str, Any]] = field(default_factory=list)


def run(
    command: list[str], folder: Path, seconds: float, runs: int | None, options: list[str], env: dict[str, str]
) -> tuple[Found, str]:
    """Run ``command`` on the corpus in ``folder``; what it printed comes, too.

    libFuzzer stops at the first input that does harm, and leaves it in ``folder/stopped``.
    """
    corpus, stopped = folder / "corpus", folder / "stopped"
    for each in (corpus, stopped):
        each.mkdir(parents=True, exist_ok=True)
    for old in stopped.iterdir():
        old.unlink()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [
            *command, str(corpus), f"-artifact_prefix={stopped}/", f"-max_total_time={max(1, round(seconds))}",
            *([] if runs is None else [f"-runs={runs}"]), "-timeout=10", "-print_final_stats=1", *options,
        ],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        env=os.environ | env, check=False,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    text = done.stdout
    counted = _DONE.findall(text) or _LAST.findall(text)
    found = Found(
        int(counted[-1]) if counted else 0, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    )
    for artifact in stopped.iterdir():
        place = _place(text)
        found.faults.append(
            {"fault": place, "message": text[-3000:], "example": artifact.name, "data": artifact.read_bytes()}
        )
    if done.returncode and not found.faults:
        raise RuntimeError(f"libFuzzer does not run: {text[-2000:]}")
    return found, text


def _place(text: str) -> str:
    """What stopped it, in words that do not depend on the input."""
    said = [match[1] for match in _STOPPED.finditer(text)]
    words = said[-1] if said else "stopped"
    return re.sub(r"0x[0-9a-f]+|/\S*/", "", words)[:160]
