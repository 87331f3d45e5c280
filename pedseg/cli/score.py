"""`pedseg score`: how good trained models are on one's own test patients, or on those of several centers.

Leaves `cases.csv`, `summary.json`, and `report.html` in `--out`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from pedseg.cli.arguments import show_scans


def run(options: argparse.Namespace) -> Iterator[str]:
    """Score trained models, such as the federated one beside one's own, on the test cases of data sets."""
    from pedseg.evaluation.cross_site import matrix, score_models
    from pedseg.evaluation.results import read_rows
    from pedseg.workbook.report import write_report

    show_scans(score_models(options.model, options.data, options.out), "test cases")
    yield matrix(read_rows(options.out / "cases.csv")).to_string()
    yield f"report: {write_report(options.out)}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    several = "a .safetensors file; again for each further model"
    parser.add_argument("--model", type=Path, action="append", required=True, metavar="WEIGHTS", help=several)
    parser.add_argument("--data", type=Path, required=True, help="a data set, or a folder of one for each center")
    parser.add_argument("--out", type=Path, default=Path("runs/score"))
