"""`pedseg phantoms`: sheets of synthetic children, for the eye of a radiologist.

Leaves a picture for each age and contrast phase in `--out`, slices of 1 x 1 x 2 mm in three planes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pedseg.phantoms.ct_scanner import Phase

AGES = (1.0, 5.0, 10.0, 15.0)
PHASES: tuple[Phase, ...] = ("none", "portal venous")


def run(options: argparse.Namespace) -> Iterator[str]:
    """Draw sheets of synthetic children: axial, coronal and sagittal slices by age and contrast phase."""
    from pedseg.errors import input_error
    from pedseg.files import write_atomically
    from pedseg.phantoms.child import Child
    from pedseg.workbook.figures import png
    from pedseg.workbook.phantom_sheets import sheet

    for age in options.age or AGES:
        for phase in options.phase or PHASES:
            child = Child(age, options.sex, seed=options.seed, adiposity=options.adiposity, variant=options.variant)
            try:
                child.validate()
            except ValueError as error:
                problem, remedy = "nobody is like this.", "Ages reach from 0 to 90 years, fat from -2 to 3."
                raise input_error("E-NO-CHILD", f"{age:g} years", problem, remedy) from error
            figure, alt = sheet(child, phase, window=options.window)
            file = options.out / f"{age:g}_years_{phase.replace(' ', '_')}.png"
            write_atomically(file, png(figure))
            yield f"{file}  {alt}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from typing import get_args

    from pedseg.phantoms.child import Variant
    from pedseg.scan import WINDOWS

    ages = f"again for each further age; default: {', '.join(f'{age:g}' for age in AGES)}"
    parser.add_argument("--age", type=float, action="append", metavar="YEARS", help=ages)
    parser.add_argument("--phase", action="append", choices=[*PHASES, "arterial"], help="default: both of the study")
    parser.add_argument("--sex", choices=["F", "M"], default="F")
    parser.add_argument("--seed", type=int, default=1, help="which child")
    build = "fat in standard deviations, -2 (lean) to 3 (obese)"
    parser.add_argument("--adiposity", type=float, default=0.0, metavar="SD", help=build)
    parser.add_argument(
        "--variant", choices=[name for name in get_args(Variant) if name], default="", help="of the anatomy"
    )
    parser.add_argument("--window", choices=list(WINDOWS), default="soft tissue")
    parser.add_argument("--out", type=Path, default=Path("runs/phantoms"))
