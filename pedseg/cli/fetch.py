"""`pedseg fetch`: a few children of the public collection Pediatric-CT-SEG.

Leaves DICOM files, each compared with its size and with the checksum that the archive states.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path


def run(options: argparse.Namespace) -> Iterator[str]:
    """Download a few children of the public collection Pediatric-CT-SEG; says size and license first."""
    from tqdm import tqdm

    from pedseg.importing import download

    series = download.look_up(options.children)
    yield download.summary(series)
    if not options.yes:
        yield "nothing was fetched yet: say --yes"
        return
    bar = tqdm(total=None, unit="B", unit_scale=True, desc="fetch", delay=1)
    for done, total in download.fetch(series, options.to):
        bar.total = total
        bar.update(done - bar.n)
    bar.close()
    yield f"fetched and compared: {options.to}"
    yield f"next: pedseg import {options.to} --to DATASET --center NAME --license 'CC BY 4.0' --origin Pediatric-CT-SEG"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    children = "1 to 5, of other ages; default: 2"
    parser.add_argument("--children", type=int, default=2, choices=range(1, 6), help=children)
    parser.add_argument("--to", type=Path, default=Path("runs/pediatric_ct_seg"), metavar="FOLDER")
    parser.add_argument("--yes", action="store_true", help="start; without it, only size and license are said")
