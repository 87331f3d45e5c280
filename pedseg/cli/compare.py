"""`pedseg compare`: two contour sets of one CT, organ by organ.

Leaves the table as CSV or as a page if `--out` ends in `.csv` or `.html`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from pedseg.cli.arguments import add_contours
from pedseg.dicom.options import CT_REPAIRS, REPAIRS
from pedseg.errors import input_error


def run(options: argparse.Namespace) -> Iterator[str]:
    """Compare two contour sets (RTSTRUCT, SEG, NIfTI): DSC, HD95, MSD, NSD, added path length, volumes."""
    from pedseg.dicom.ct_series import read_ct
    from pedseg.evaluation.contour_comparison import compare_contours, text_table, write
    from pedseg.importing.contour_sets import read_contours
    from pedseg.importing.scan_sources import ImportOptions
    from pedseg.organ_names import read_names
    from pedseg.scan import is_nifti_name, read_nifti

    _check_outputs(options.out)
    reading = ImportOptions(
        options.series, read_names(options.names), tuple(options.repair), options.ignore_frame_of_reference
    )
    repairs = [word for word in options.repair if word in CT_REPAIRS]
    is_nifti = is_nifti_name(options.ct)
    ct = read_nifti(options.ct) if is_nifti else read_ct(options.ct, wanted=options.series, repairs=repairs)
    sets = [read_contours(file, ct, reading) for file in (options.a, options.b)]
    rows = compare_contours(*(contours.labels for contours in sets))
    if not rows:
        problem = "neither of the two holds an organ of the table."
        raise input_error("E-LABEL-EMPTY", options.a, problem, "Name them with --names, or give other files.")
    yield text_table(rows)
    notes = [f"{label}: {line}" for label, contours in zip("AB", sets, strict=True) for line in contours.messages]
    yield from notes
    for out in options.out:
        write(out, rows, options.a.name, options.b.name, notes)
        yield f"written: {out}"


def _check_outputs(files: list[Path]) -> None:
    for out in files:
        if out.suffix.lower() not in (".csv", ".html"):
            remedy = "Name a file that ends in .csv or .html."
            raise input_error("E-OUT-NAME", out, "a comparison is not written under such a name.", remedy)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pedseg compare`."""
    parser.add_argument("a", type=Path, metavar="A", help="an RTSTRUCT, a SEG, or a label map (.nii.gz)")
    parser.add_argument("b", type=Path, metavar="B", help="another one, on the same CT")
    ct = "the DICOM folder of the CT, or its NIfTI file for two label maps"
    parser.add_argument("--ct", type=Path, required=True, metavar="FOLDER", help=ct)
    add_contours(parser, REPAIRS, "as at an import")
    out = "also write it here, as .csv or .html; may be given twice"
    parser.add_argument("--out", type=Path, action="append", default=[], metavar="FILE", help=out)
