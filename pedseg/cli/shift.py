"""`pedseg shift`: what each difference between two hospitals costs, one factor of the domain shift at a time.

Leaves `shift.csv` and `shift.json` in `--out`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pedseg.cli.arguments import add_evaluated_study, show_scans
from pedseg.evaluation.config import SHIFT


def run(options: argparse.Namespace) -> int:
    """Test a study's models on one factor of domain shift at a time: contrast phase, table, age, orientation …"""
    from pedseg.evaluation import domain_shift

    out = options.out or options.study
    ticks = domain_shift.evaluate_shift(
        options.study, out, names=options.factor, patients=options.patients, seeds=options.seeds
    )
    show_scans(ticks, "one factor at a time")
    print(domain_shift.table(out))
    return 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_evaluated_study(parser, **SHIFT)
    parser.add_argument("--factor", action="append", default=[], help="only this one (may be given more than once)")
    parser.add_argument("--out", type=Path, help="default: the study's folder")
