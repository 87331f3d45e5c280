"""`pedseg import`: scans and contours from any source into the data set of a center.

Leaves the cases and a row for each in `cases.tsv`: all of them or none, unless `--skip-refused` is given. Contours
that come later join their scan.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pedseg.cli.arguments import add_contour_reading, contour_reading
from pedseg.errors import InputProblem

if TYPE_CHECKING:
    from pedseg.importing.import_scans import ImportResult


def run(options: argparse.Namespace) -> Iterator[str]:
    """Import scans and contours (DICOM, NIfTI, public layouts) into a center's data set, without names."""
    from pedseg.importing.import_scans import import_scans

    key = options.key or Path("keys") / f"{options.center}.case-key"
    reading = replace(contour_reading(options), empty_means_absent=options.empty_means_absent)
    count = 0
    for result in import_scans(
        options.source, options.to, center=options.center, key=key, options=reading, skip_refused=options.skip_refused,
        license=options.license, origin=options.origin, split=options.split, situs_inversus=options.situs_inversus,
    ):  # fmt: skip
        count += not isinstance(result, InputProblem) and not result.already_imported
        yield from describe(result)
    yield f"{count} scan(s) imported into {options.to}; the key of their names: {key}"


def describe(result: ImportResult | InputProblem) -> Iterator[str]:
    """What became of one scan, in lines to print."""
    if isinstance(result, InputProblem):
        yield str(result)
        return
    organs = f"{len(result.organs)} organs: {', '.join(result.organs)}" if result.organs else "no contours"
    yield f"{result.case}  {'is there already' if result.already_imported else organs}  ({result.source})"
    yield from (f"    {line}" for line in result.messages)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    source = "folder of DICOM files, a NIfTI file, a public data set or its list"
    parser.add_argument("source", type=Path, help=source)
    to = "folder of the data set; made or added to"
    parser.add_argument("--to", type=Path, required=True, metavar="DATASET", help=to)
    parser.add_argument("--center", required=True, metavar="NAME")
    add_contour_reading(parser, "may be given more than once")
    empty = "an empty ROI says that the organ was removed"
    parser.add_argument("--empty-means-absent", action="store_true", help=empty)
    mirrored = "organs of these scans are truly mirrored"
    parser.add_argument("--situs-inversus", action="store_true", help=mirrored)
    skip = "import the valid scans, list the others"
    parser.add_argument("--skip-refused", action="store_true", help=skip)
    parser.add_argument("--split", choices=["train", "validation", "test"], default="", help="of contoured scans")
    origin = "where the scans come from, for cases.tsv"
    parser.add_argument("--origin", default="", metavar="TEXT", help=origin)
    parser.add_argument("--license", default="", metavar="TEXT", help="their license, for cases.tsv")
    key = "the center's secret; default: keys/NAME.case-key"
    parser.add_argument("--key", type=Path, metavar="FILE", help=key)
