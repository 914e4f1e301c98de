"""Nuclei across four data sets: what a calibration does for networks of another data set, beside what training does.

    python benchmarks/quality/calibration_nuclei.py DATA -o runs/calibration --table docs/results/calibration_nuclei.md

``DATA`` holds, as ``nuclei.py`` says, ``tnbc_curie`` and ``consep_patches``, and ``nuclei_more`` with ``monuseg``,
``nuinsseg`` (``images`` and ``masks`` of one name, at 0.5 um a pixel) and ``tiles.csv`` (lab, file, group). What is in
the output folder is not made again; ``--no-teaching`` scores the networks that are there, ``--no-scoring`` writes the
tables of what is there.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

import torch
from calibration_nuclei_nets import KINDS
from calibration_nuclei_study import Study
from calibration_nuclei_table import LENGTHS_SEEDS, page
from calibration_nuclei_treatments import FOR_ALL, FOR_PLAIN, NONE, PRIMARY

from stainxform.errors import StainXformWarning

sys.path.append(str(Path(__file__).parents[1]))
from pages import write_between_marks

MARKS = "<!-- calibration, nuclei: begin -->", "<!-- calibration, nuclei: end -->"
TITLE = "Calibration: nuclei across four data sets"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=500, help="of a network")
    parser.add_argument("--lengths", nargs="*", type=int, default=[250, 500, 1000], help="steps that are compared")
    parser.add_argument("--no-teaching", action="store_true", help="score the networks that are there")
    parser.add_argument("--no-scoring", action="store_true", help="write the tables of the scores that are there")
    parser.add_argument("--table", type=Path, help="put the tables between the marks of this page")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", StainXformWarning)  # another organ is the subject here
    study = Study(given.data, given.out, seeds=given.seeds, steps=given.steps, teach=not given.no_teaching)
    lengths = {steps: study.of(LENGTHS_SEEDS, steps) for steps in given.lengths}
    if not given.no_scoring:
        if study.teach:
            study.teach_all()
        study.score_reference()
        for treatment in FOR_ALL:
            study.score(treatment, list(KINDS))
        for treatment in FOR_PLAIN:
            study.score(treatment, ["plain"])
        for each in lengths.values():
            each.score_reference()
            for treatment in (NONE, PRIMARY):
                each.score(treatment, ["plain", "hed"])
    lines = page(study, lengths)
    print("\n".join(lines))
    if given.table:
        write_between_marks(given.table, MARKS, TITLE, lines)


if __name__ == "__main__":
    main()
