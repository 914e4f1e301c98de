"""A fuzz campaign that can be stopped and resumed.

    python benchmarks/fuzz/run.py -o runs/fuzz                                  # up to the aims
    python benchmarks/fuzz/run.py -o runs/fuzz --kinds images slides --minutes 10
    python benchmarks/fuzz/run.py -o runs/fuzz --kinds models --only 1234       # one input again
    python benchmarks/fuzz/run.py -o runs/fuzz --count 0 --table docs/results/reliability.md

README.md says what each kind tries and what counts as a fault. Exit code 1 if there is a fault.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from pathlib import Path

_HERE = Path(__file__).parent
sys.path[:0] = [str(_HERE), str(_HERE.parent), str(_HERE.parents[1])]

import page  # noqa: E402
from faults import Faults  # noqa: E402
from guided import GUIDED  # noqa: E402
from journal import Journal  # noqa: E402
from kinds import KINDS  # noqa: E402
from worker import Worker, limit_memory  # noqa: E402

HOUR = 3600.0

AIMS: dict[str, int] = {
    "images": 100_000, "pipelines": 20_000, "slides": 20_000, "models": 20_000, "commands": 5_000, "files": 5_000,
}  # fmt: skip
"""Inputs of each kind."""

GUIDED_AIMS: dict[str, float] = {"kernels": 0.5 * HOUR, "index": 0.5 * HOUR}
"""CPU seconds of coverage-guided kinds: as many inputs as they make."""


class Campaign:
    """What all kinds share."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.journal = Journal(folder)
        self.faults = Faults(folder / "faults")
        self._lock = threading.Lock()

    def note(self, kind: str, upto: int, cpu: float, outcomes: dict[str, int], faults: list[dict]) -> None:
        """Write down what a kind did."""
        with self._lock:
            for fault in faults:
                example = {"number": fault["number"]} if "number" in fault else fault.get("example")
                if self.faults.add(kind, fault["fault"], fault["message"], example, fault.get("data")):
                    print(f"{kind}: new fault: {fault['fault']} ({example})", flush=True)
            self.journal.add(kind, upto, cpu, outcomes)

    def run_numbered(self, kind: str, count: int | None, minutes: float | None) -> None:
        """Inputs by number, until ``count`` are done in all, or for some minutes."""
        wanted = count if count is not None else AIMS[kind] if minutes is None else sys.maxsize
        first = self.journal.of(kind)["next"]
        if first >= wanted:
            return
        worker = Worker(kind, first, self.folder / "work" / kind, KINDS[kind].seconds)
        until = float("inf")
        try:
            while self.journal.of(kind)["next"] < wanted and time.monotonic() < until:
                report = worker.poll()
                if minutes is not None and worker.started and until == float("inf"):
                    until = time.monotonic() + 60 * minutes
                self.note(kind, report.upto, report.cpu_seconds, report.outcomes, report.faults)
        finally:
            worker.close()

    def run_guided(self, kind: str, count: int | None, minutes: float | None) -> None:
        """Inputs made by libFuzzer, in rounds of some minutes, so that little is lost when it is stopped."""
        fuzzer = GUIDED[kind](self.folder / "work" / kind)
        until = time.monotonic() + 60 * minutes if minutes is not None else float("inf")
        while time.monotonic() < until:
            entry = self.journal.of(kind)
            done = entry["next"]
            if minutes is None and (done >= count if count is not None else entry["cpu_seconds"] >= GUIDED_AIMS[kind]):
                return
            seconds = min(fuzzer.round_seconds, max(until - time.monotonic(), 1.0))
            found = fuzzer.run(seconds, None if count is None else count - done)
            self.note(kind, done + found.inputs, found.cpu_seconds, found.outcomes, found.faults)

    def run(self, kind: str, count: int | None, minutes: float | None) -> None:
        """Do inputs of one kind."""
        (self.run_guided if kind in GUIDED else self.run_numbered)(kind, count, minutes)


def again(kind: str, number: int, folder: Path) -> None:
    """One numbered input, in this process and within its limit of memory: what is wrong is raised."""
    folder.mkdir(parents=True, exist_ok=True)
    made = KINDS[kind](folder)
    made.case(0)
    limit_memory(made.memory)
    print(made.case(number))


def main(arguments: list[str] | None = None) -> int:
    """Run; 1 if there are faults."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = [*KINDS, *GUIDED]
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the campaign: journal and faults")
    parser.add_argument("--kinds", nargs="+", choices=known, default=known)
    parser.add_argument("--count", type=int, help="until so many inputs of each kind are done, earlier ones included")
    parser.add_argument("--minutes", type=float, help="so long for each kind, whatever was done before")
    parser.add_argument("--jobs", type=int, default=1, help="kinds at a time")
    parser.add_argument("--only", type=int, help="one numbered input of one kind, in this process")
    parser.add_argument("--table", type=Path, help="page to write the figures of the campaign into")
    chosen = parser.parse_args(arguments)
    if chosen.only is not None:
        again(chosen.kinds[0], chosen.only, chosen.output / "work" / "again")
        return 0
    campaign = Campaign(chosen.output)
    waiting = list(chosen.kinds)
    failed: list[str] = []

    def take_turns() -> None:
        while waiting:
            kind = waiting.pop(0)
            try:
                campaign.run(kind, chosen.count, chosen.minutes)
            except Exception as error:
                failed.append(f"{kind}: {error}")

    threads = [threading.Thread(target=take_turns, daemon=True) for _ in range(chosen.jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = page.table(campaign.journal, campaign.faults)
    print("\n".join(lines))
    if chosen.table:
        page.write_campaign(chosen.table, lines)
    if failed:
        print("\n".join(failed), file=sys.stderr)
    return int(bool(failed or campaign.faults.all()))


if __name__ == "__main__":
    sys.exit(main())
