"""What the scripts of this folder share: their tables between marks of a page, and the name of the CPU."""

from __future__ import annotations

import platform
from pathlib import Path

_CPU = Path("/proc/cpuinfo")


def write_between_marks(path: Path, marks: tuple[str, str], title: str, lines: list[str]) -> None:
    """Replace what stands between the marks of a page; a page that is not there begins with ``title``."""
    begin, end = marks
    text = path.read_text() if path.exists() else f"# {title}\n\n{begin}\n{end}\n"
    head, _, rest = text.partition(begin)
    path.write_text("\n".join([head + begin, "", *lines, "", end + rest.partition(end)[2]]))


def cpu_name() -> str:
    """As Linux tells it, else the architecture."""
    lines = _CPU.read_text().splitlines() if _CPU.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if "model name" in line), "") or platform.machine()
