"""`pedseg notebooks`: the notebooks, built from their percent sources.

Leaves `notebooks/*.ipynb`, without outputs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pedseg.cli import NOTEBOOKS


def run(options: argparse.Namespace) -> int:
    """Make the notebooks from their percent sources."""
    from pedseg.workbook.build_notebooks import build_notebooks

    for notebook in build_notebooks(NOTEBOOKS / "source", options.out, solutions=not options.without_solutions):
        print(notebook)
    return 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pedseg notebooks`."""
    parser.add_argument("--out", type=Path, default=NOTEBOOKS, help="default: notebooks")
    folded = "for lecturers: leave the folded answers out"
    parser.add_argument("--without-solutions", action="store_true", help=folded)
