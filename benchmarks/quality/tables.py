"""Regenerate the comparison with other implementations and the aligned-scanner table, both in docs/, in one command.

    python benchmarks/quality/tables.py ALIGNED GOLDEN [-o runs]

What has been run before is not run again; from nothing it takes about an hour on one core.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("aligned", type=Path, help="folder with aperio/ and hamamatsu/")
    parser.add_argument("golden", type=Path, help="folder with the outputs of other implementations")
    parser.add_argument("-o", "--out", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    for script, *rest in (
        ("golden.py", arguments.golden, "--table", DOCS / "results" / "golden.md"),
        ("aligned_scanners.py", arguments.aligned, "-o", arguments.out / "aligned", "--table", DOCS / "results.md"),
    ):
        subprocess.run([sys.executable, HERE / script, *rest], check=True)


if __name__ == "__main__":
    main()
