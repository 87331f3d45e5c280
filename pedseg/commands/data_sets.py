"""The verb about data sets: `check`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pedseg.findings import as_table


def check(options: argparse.Namespace) -> int:
    """Check every byte of a data set, or of a folder of data sets."""
    from pedseg.patients.datasets import check_dataset

    findings = check_dataset(options.dataset)
    if findings:
        print(as_table(findings), file=sys.stderr)
        return 1
    print(f"{options.dataset}: nothing to complain about")
    return 0


def _check(own: argparse.ArgumentParser) -> None:
    own.add_argument("dataset", type=Path)


VERBS = {check: _check}
