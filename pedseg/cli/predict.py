"""`pedseg predict`: contours of a trained network on one scan, a folder of scans, or a CT in DICOM.

Leaves label maps on the grids of the scans, or an RTSTRUCT if `--out` ends in `.dcm`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from pedseg.cli import ROBUST
from pedseg.cli.arguments import add_ct
from pedseg.dicom.options import CT_REPAIRS
from pedseg.errors import input_error, raise_problems
from pedseg.scan import is_nifti_name, nifti_stem
from pedseg.tables import one_to_one

FILE_ENDINGS = (".nii.gz", ".nii", ".dcm", ".hdr", ".img", ".nrrd", ".mha", ".mhd", ".gz")


def run(options: argparse.Namespace) -> Iterator[str]:
    """Predict contours on NIfTI scans, or on a CT in DICOM (to RTSTRUCT if --out ends in .dcm)."""
    from pedseg.importing.predict_scans import predict_dicom, predict_nifti
    from pedseg.importing.public_layouts import check_formats
    from pedseg.learning.weights import load_network

    raise_problems(check_formats(options.scan))
    is_dicom = _is_dicom(options.scan)
    out = _checked_output(options.out, is_dicom, several=options.scan.is_dir() and not is_dicom)
    network, plan = load_network(options.model)
    anyway = {"even_if_implausible": options.even_if_implausible}
    if is_dicom:
        out = out if out.name.lower().endswith((".dcm", ".nii.gz")) else out / "contours.nii.gz"
        choices = {"series": options.series, "repairs": options.repair}
        yield from predict_dicom(network, plan, options.scan, out, **choices, **anyway)
    else:
        yield from predict_nifti(network, plan, targets(options.scan, out), **anyway)
    yield f"written: {options.out}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scan", type=Path, help="a NIfTI file, a folder of them, or a folder with a CT in DICOM")
    weights = "weights, a .safetensors file; default: the robust network, which has seen phantoms of all kinds"
    parser.add_argument("--model", type=Path, default=ROBUST, help=weights)
    parser.add_argument("--out", type=Path, required=True, help="label map (.nii.gz), RTSTRUCT (.dcm), or a folder")
    add_ct(parser, CT_REPAIRS, "of a CT in DICOM")
    anyway = "draw on a scan, or write contours, that a check refuses; said in the file"
    parser.add_argument("--even-if-implausible", action="store_true", help=anyway)


def _is_dicom(source: Path) -> bool:
    """A folder without NIfTI files, or a file that is not called .nii: the DICOM reader says what is wrong."""
    if source.is_dir():
        return not any(map(is_nifti_name, source.glob("[!.]*"))) and any(source.iterdir())
    return source.exists() and not is_nifti_name(source)


def _checked_output(out: Path, is_dicom: bool, *, several: bool) -> Path:
    """The file or folder to write; refused if its name promises what is not written: folders hold label maps."""
    ending = next((known for known in FILE_ENDINGS if out.name.lower().endswith(known)), "")
    endings = [".nii.gz"] * (not several) + [".dcm"] * is_dicom
    if ending and ending not in endings:
        remedy = f"Name {' or '.join([*(f'a file that ends in {e}' for e in endings), 'a folder'])}."
        raise input_error("E-OUT-NAME", out, f"no {ending} file can be written of this source.", remedy)
    return out


def targets(source: Path, out: Path) -> list[tuple[Path, Path]]:
    """Which scan becomes which label map; one file may name its own target."""
    scans = [source]
    if source.is_dir():
        scans = sorted(filter(is_nifti_name, source.glob("[!.]*")))
        if not scans:
            remedy = "Give a .nii.gz file, a folder of them, or a DICOM folder."
            raise input_error("E-NO-SCAN", source, "the folder holds no scan.", remedy)
    elif out.name.lower().endswith(".nii.gz"):
        return [(source, out)]
    pairs = [(scan, out / f"{nifti_stem(scan)}.nii.gz") for scan in scans]
    try:
        one_to_one(pairs)
    except ValueError as error:
        raise input_error("E-CASE-TWICE", source, f"{error}.", "Rename one of the scans.") from error
    return pairs
