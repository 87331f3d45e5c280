"""`pedseg failures`: the failures of a finished study, found anew, with their reasons proved by second scans.

Leaves `failures.json`, `causes.csv`, and `rescans.csv` in `--out`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pedseg.cli.arguments import show_scans
from pedseg.evaluation.config import OUT


def run(options: argparse.Namespace) -> int:
    """Find a study's failures, and scan each child again with one cause changed: which failures vanish?"""
    from pedseg.evaluation import failure_study

    out = options.out or options.study
    show_scans(failure_study.find_failures(options.study, out), "failures")
    print(failure_study.table(out))
    return 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--study", type=Path, default=OUT, help="folder of a finished study of the virtual centers")
    parser.add_argument("--out", type=Path, help="default: the study's folder")
