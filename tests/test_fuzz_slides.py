"""Damaged and hostile TIFF files do no harm: a few of those that benchmarks/fuzz_slides.py makes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")

ROOT = Path(__file__).parents[1]
FOUND = [("91", "auto"), ("17", "openslide"), ("33", "openslide"), ("117", "openslide")]
"""Cases that once did harm, and the reader."""


def fuzz(*arguments):
    command = [sys.executable, str(ROOT / "benchmarks" / "fuzz_slides.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT), "PATH": ""})
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_mutated_slides_are_normalized_or_refused(tmp_path):
    fuzz("--cases", "30", "-o", str(tmp_path / "counts.json"))
    outcomes = json.loads((tmp_path / "counts.json").read_text())["outcomes"]
    assert set(outcomes) == {"normalized", "refused"}
    assert min(outcomes.values()) > 3


@pytest.mark.slow
@pytest.mark.parametrize(("case", "reader"), FOUND)
def test_what_was_found_stays_fixed(case, reader):
    if reader != "auto":
        pytest.importorskip(reader)
    fuzz("--first", case, "--cases", "1", "--reader", reader)
