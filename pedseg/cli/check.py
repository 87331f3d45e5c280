"""`pedseg check`: every check of a data set.

Exit code 0 if there are no problems; 1 and a table of them if there are.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pedseg.errors import as_table


def run(options: argparse.Namespace) -> int:
    """Check every byte of a data set, or of a folder of data sets."""
    from pedseg.datasets.reading import center_folders, check_dataset, is_data_set

    several = any(map(is_data_set, options.dataset.glob("*/")))
    problems = check_dataset(*(center_folders(options.dataset) if several else [options.dataset]))
    if problems:
        print(as_table(problems), file=sys.stderr)
        return 1
    print(f"{options.dataset}: no problems")
    return 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", type=Path)
