"""How far a campaign is: inputs, outcomes and CPU time of each kind, in a file that is replaced whole."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any


class Journal:
    """``journal.json`` of a campaign. Inputs are numbered from 0; those below ``next`` of their kind are done."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "journal.json"
        self._kinds: dict[str, dict[str, Any]] = json.loads(self._path.read_text()) if self._path.exists() else {}

    def of(self, kind: str) -> dict[str, Any]:
        """``next``, ``cpu_seconds``, ``outcomes`` of a kind."""
        return self._kinds.setdefault(kind, {"next": 0, "cpu_seconds": 0.0, "outcomes": {}})

    def add(self, kind: str, upto: int, cpu_seconds: float, outcomes: dict[str, int]) -> None:
        """Note that all inputs below ``upto`` are done, and what became of the newest."""
        entry = self.of(kind)
        entry["next"] = max(entry["next"], upto)
        entry["cpu_seconds"] = round(entry["cpu_seconds"] + cpu_seconds, 3)
        entry["outcomes"] = dict(Counter(entry["outcomes"]) + Counter(outcomes))
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps(self._kinds, indent=1, sort_keys=True) + "\n")
        os.replace(partial, self._path)

    def kinds(self) -> dict[str, dict[str, Any]]:
        """All kinds that were begun."""
        return self._kinds
