"""`pedseg evaluate`: a finished study's models on more test patients, or on those of an unseen hospital.

Leaves `cases.csv`, `summary.json`, and `report.html` in `--out`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pedseg.cli.arguments import add_evaluated_study, show_scans
from pedseg.evaluation.config import LARGE_COHORT


def run(options: argparse.Namespace) -> int:
    """Test a study's models on many more patients, which an equivalence test asks for, or in unseen hospitals."""
    from pedseg.evaluation.cohort import evaluate_cohort
    from pedseg.evaluation.cross_site import matrix
    from pedseg.evaluation.results import read_rows
    from pedseg.workbook.report import write_report

    size = {"patients": options.patients, "seeds": options.seeds}
    show_scans(evaluate_cohort(options.study, options.out, centers=options.center, **size), "more patients")
    print(matrix(read_rows(options.out / "cases.csv")).to_string())
    print(f"report: {write_report(options.out)}")
    return 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_evaluated_study(parser, **LARGE_COHORT)
    several = "whose patients; Delta, Fjord: unseen; default: Polder and Neckar"
    names = ["Polder", "Neckar", "Delta", "Fjord"]
    parser.add_argument("--center", action="append", default=[], choices=names, help=several)
    parser.add_argument("--out", type=Path, default=Path("runs/evaluate"))
