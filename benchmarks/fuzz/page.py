"""The page docs/results/reliability.md: what was run, and what was found."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from faults import Faults
from journal import Journal
from pages import cpu_name, write_between_marks

TITLE = "Reliability"
CAMPAIGN = ("<!-- campaign: begin -->", "<!-- campaign: end -->")
MEMORY = ("<!-- memory: begin -->", "<!-- memory: end -->")

NAMES = {
    "images": "images through hosts",
    "pipelines": "pipelines of hosts",
    "slides": "slides: TIFF structure and OME-XML",
    "models": "model, calibration and LUT files",
    "commands": "command lines",
    "files": "image files",
    "kernels": "compiled kernels, coverage-guided",
    "index": "TIFF index, coverage-guided",
}


def table(journal: Journal, faults: Faults) -> list[str]:
    """Inputs, faults and CPU time of each kind, as Markdown."""
    found = Counter(fault["kind"] for fault in faults.all())
    rows = [
        f"| {NAMES[kind]} | {entry['next']:,} | {found[kind]} | {_time(entry['cpu_seconds'])} | {_shares(entry['outcomes'])} |"
        for kind, entry in journal.kinds().items()
    ]
    entries = journal.kinds().values()
    total = sum(entry["next"] for entry in entries)
    cpu = sum(entry["cpu_seconds"] for entry in entries)
    return [
        f"{cpu_name()}.",
        "",
        "| kind | inputs | faults found | CPU time | what became of them |",
        "|---|---|---|---|---|",
        *sorted(rows),
        f"| **all** | {total:,} | {found.total()} | {_time(cpu)} | |",
    ]


def write_campaign(path: Path, lines: list[str]) -> None:
    """Put the table of the campaign into the page."""
    write_between_marks(path, CAMPAIGN, TITLE, lines)


def write_memory(path: Path, lines: list[str]) -> None:
    """Put the table of memory into the page."""
    write_between_marks(path, MEMORY, TITLE, lines)


def _time(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"


def _shares(outcomes: dict[str, int]) -> str:
    total = sum(outcomes.values())
    return ", ".join(f"{count / total:.0%} {name}" for name, count in sorted(outcomes.items(), key=lambda x: -x[1]))
