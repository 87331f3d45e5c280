"""`pedseg evaluate`: a finished study's models on more test patients.

Leaves `cases.csv`, `summary.json`, and `report.html` in `--out`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pedseg.cli.arguments import add_evaluated_study, show_scans
from pedseg.evaluation.config import LARGE_COHORT


def run(options: argparse.Namespace) -> int:
    """Test a study's models on many more patients, which an equivalence test asks for."""
    from pedseg.evaluation import reporting
    from pedseg.evaluation.cohort import evaluate_cohort
    from pedseg.workbook.report import write_report

    ticks = evaluate_cohort(options.study, options.out, patients=options.patients, seeds=options.seeds)
    show_scans(ticks, "more patients")
    print(reporting.table(options.out))
    print(f"report: {write_report(options.out)}")
    return 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_evaluated_study(parser, **LARGE_COHORT)
    parser.add_argument("--out", type=Path, default=Path("runs/evaluate"))
