"""`pedseg notebooks`: the notebooks, built from their percent sources, or slides of them for a lecture.

Leaves `notebooks/*.ipynb`, without outputs; with `--lecture`, `runs/slides/*.html`, each with all that it shows.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pedseg.cli import NOTEBOOKS

SLIDES = Path("runs/slides")


def run(options: argparse.Namespace) -> int:
    """Make the notebooks from their percent sources, or the slides of some."""
    from pedseg.workbook.build_notebooks import build_notebooks

    source, out = NOTEBOOKS / "source", options.out
    if options.lecture is not None:
        from pedseg.workbook.slides import lectured_chapters, write_slides

        for file in write_slides(source, options.lecture or lectured_chapters(source), out or SLIDES):
            print(file, flush=True)
        return 0
    for notebook in build_notebooks(source, out or NOTEBOOKS, solutions=not options.without_solutions):
        print(notebook)
    return 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, help=f"default: notebooks; with --lecture, {SLIDES}")
    slides = "run these chapters (as in 05; without one, all that have slides) and make slides of them"
    parser.add_argument("--lecture", nargs="*", metavar="NN", help=slides)
    folded = "for lecturers: leave the folded answers out"
    parser.add_argument("--without-solutions", action="store_true", help=folded)
