"""`pedseg export`: a label map as RTSTRUCT, SEG or NIfTI.

Leaves the file. RTSTRUCT and SEG are read back and compared.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from pedseg.cli.arguments import add_ct
from pedseg.dicom.options import CT_REPAIRS, FORMATS


def run(options: argparse.Namespace) -> Iterator[str]:
    """Write contours for a planning system (RTSTRUCT), an archive (SEG) or other programs (NIfTI); read back first."""
    from pedseg.dicom.ct_series import read_ct
    from pedseg.dicom.exporting import export, read_label_map, read_note

    labels, note = read_label_map(options.case), read_note(options.case)
    ct = read_ct(options.ct, wanted=options.series, repairs=options.repair) if options.ct else None
    kind = options.format or ("rtstruct" if ct or options.out.suffix.lower() == ".dcm" else "nnunet")
    lines = export(labels, options.out, kind=kind, ct=ct, name=options.case, description=note)
    yield from (f"    {line}" for line in filter(None, (*lines, note)))
    checked = ", read back and compared" if kind in ("rtstruct", "seg") else ""
    yield f"{kind}: {options.out}{checked}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("case", type=Path, help="a label map (.nii.gz), as `pedseg predict` leaves it")
    ct = "the DICOM folder of the CT; needed for rtstruct and seg"
    parser.add_argument("--ct", type=Path, metavar="FOLDER", help=ct)
    add_ct(parser, CT_REPAIRS, "of the CT, as at its import")
    parser.add_argument("--format", choices=FORMATS, help="default: rtstruct with --ct or for a .dcm, else nnunet")
    parser.add_argument("--out", type=Path, required=True)
