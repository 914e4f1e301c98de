"""One process that does numbered inputs of one kind, one after the other, and the class that watches it.

    python benchmarks/fuzz/worker.py KIND FIRST STATE FOLDER      # not called by hand

The process writes which input it is at into STATE, a file both sides map; what it found it prints, a line of JSON each.
So a process that dies or hangs leaves the number of the guilty input behind, and its successor goes on after it.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import select
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
sys.path[:0] = [str(_HERE), str(_HERE.parents[1])]

_FORMAT = "<qdd"
"""Number of the input in work, when it was begun (monotonic clock), and the CPU seconds of the process by then."""

WAITING = 10
"""A case hangs when it has used its seconds on a CPU, or so many times as long has passed: other programs may be busy."""

START_SECONDS = 300
REPORT_SECONDS = 1.0


# ---------------------------------------------------------------- within the process


def work(kind_name: str, first: int, state_path: Path, folder: Path) -> None:
    """Do inputs from ``first`` on until stopped."""
    import faulthandler

    from faults import place_of
    from kinds import KINDS

    faulthandler.enable()
    _end_with_parent()
    folder.mkdir(parents=True, exist_ok=True)
    kind = KINDS[kind_name](folder)
    kind.case(0)  # what is imported and compiled at first use belongs to the start
    limit_memory(kind.memory)
    answers, sys.stdout = sys.stdout, sys.stderr

    def tell(**answer: Any) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    with state_path.open("r+b") as file:
        state = mmap.mmap(file.fileno(), struct.calcsize(_FORMAT))
    outcomes: Counter[str] = Counter()
    told, number = time.monotonic(), first
    tell(ready=True)
    while True:
        struct.pack_into(_FORMAT, state, 0, number, time.monotonic(), time.process_time())
        try:
            outcomes[kind.case(number)] += 1
        except BaseException as error:  # an exit is a fault, too
            outcomes["fault"] += 1
            tell(fault=place_of(error), message=_short(error), number=number)
        number += 1
        if time.monotonic() - told > REPORT_SECONDS:
            told = time.monotonic()
            tell(upto=number, outcomes=outcomes, cpu=_cpu_seconds())
            outcomes.clear()


def _short(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))[-3000:]


def _cpu_seconds() -> float:
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def _end_with_parent() -> None:
    """Linux kills this process when the thread that started it ends."""
    import ctypes
    import signal

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def limit_memory(more: int) -> None:
    """Let the process have so many bytes of address space beyond what its libraries took."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


# ---------------------------------------------------------------- outside


@dataclass
class Report:
    """What happened since the last one."""

    upto: int
    cpu_seconds: float
    outcomes: dict[str, int]
    faults: list[dict[str, Any]]


class Worker:
    """Watches a process; starts another one, after the guilty input, when it died or took too long over it."""

    def __init__(self, kind: str, first: int, folder: Path, seconds: float):
        self._kind, self._folder, self._seconds = kind, folder, seconds
        self._next = first
        with tempfile.NamedTemporaryFile(delete=False) as file:
            file.write(bytes(struct.calcsize(_FORMAT)))
        self._state = Path(file.name)
        folder.mkdir(parents=True, exist_ok=True)
        self._log_path = folder / "log"
        self._log = self._log_path.open("ab")
        self.started = False
        """Whether it does inputs already."""
        self._start()

    def _start(self) -> None:
        self._state.write_bytes(struct.pack(_FORMAT, self._next, time.monotonic() + START_SECONDS, START_SECONDS))
        self._log.truncate(0)
        command = [sys.executable, __file__, self._kind, str(self._next), str(self._state), str(self._folder)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._log, text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "NO_ALBUMENTATIONS_UPDATE": "1"},
        )  # fmt: skip
        self._cpu, self._ready = 0.0, False

    def poll(self, seconds: float = 0.5) -> Report:
        """Wait for news."""
        report = Report(self._next, 0.0, {}, [])
        assert self._process.stdout is not None
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if not select.select([self._process.stdout], [], [], left)[0]:
                break
            line = self._process.stdout.readline()
            if not line:
                self._died(report)
                break
            self._take(json.loads(line), report)
        self._check_time(report)
        report.upto = self._next
        return report

    def _take(self, answer: dict[str, Any], report: Report) -> None:
        self._ready = self.started = True
        if "fault" in answer:
            report.faults.append(answer)
        elif "upto" in answer:
            report.cpu_seconds += answer["cpu"] - self._cpu
            self._cpu, self._next = answer["cpu"], answer["upto"]
            for name, count in answer["outcomes"].items():
                report.outcomes[name] = report.outcomes.get(name, 0) + count

    def _at(self) -> tuple[int, float, float]:
        number, began, cpu = struct.unpack(_FORMAT, self._state.read_bytes())
        return number, began, cpu

    def _died(self, report: Report) -> None:
        self._process.communicate()
        code = self._process.returncode
        if not self._ready:
            raise RuntimeError(f"the worker for {self._kind} does not start; see {self._log_path}")
        log = self._log_path.read_text(errors="replace")[-3000:]
        self._go_on(report, f"the process died: {_how(code, log)}", log)

    def _check_time(self, report: Report) -> None:
        _, began, cpu = self._at()
        waited = time.monotonic() - began
        if waited > self._seconds and (self._used() - cpu > self._seconds or waited > WAITING * self._seconds):
            self._process.kill()
            self._process.communicate()
            self._go_on(report, "hang", f"more than {self._seconds} s")

    def _used(self) -> float:
        """CPU seconds of the process."""
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _go_on(self, report: Report, place: str, message: str) -> None:
        number, _, _ = self._at()
        report.faults.append({"fault": place, "message": message, "number": number})
        self._next = number + 1
        self._start()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._log.close()
        self._state.unlink(missing_ok=True)


def _how(code: int, log: str) -> str:
    """Signal or exit code, and the first function of ours in what faulthandler printed."""
    frames = [line.strip() for line in log.splitlines() if 'File "' in line and "stainxform/" in line]
    where = frames[0].rpartition("/")[2].replace('"', "") if frames else "outside of stainxform"
    return f"{f'signal {-code}' if code < 0 else f'exit code {code}'}, {where}"


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]))
