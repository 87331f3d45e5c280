"""`pedseg status`: what a federation does at the moment, from the folder of a coordinator or a center.

With `--html` it leaves one self-contained page with curves and a table of all rounds.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path


def run(options: argparse.Namespace) -> Iterator[str]:
    """Show a federation that runs or has ended: rounds, losses, scores, and who is waited for."""
    from pedseg.federation.run_folder import lines_of

    yield from lines_of(options.folder)
    if options.html:
        from pedseg.workbook.federation_page import write_page

        yield f"page: {write_page(options.folder, options.html)}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="the coordinator's --out, or a center's --state")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page of the run, too")
