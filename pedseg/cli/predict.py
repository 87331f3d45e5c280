"""`pedseg predict`: contours of a trained network on one scan, a folder of scans, or a CT in DICOM.

Leaves label maps on the grids of the scans, or an RTSTRUCT if `--out` ends in `.dcm`.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from pedseg.cli.arguments import add_ct
from pedseg.dicom.options import CT_REPAIRS
from pedseg.errors import input_error, raise_problems

NIFTI = re.compile(r"\.nii(\.gz)?$", re.IGNORECASE)


def run(options: argparse.Namespace) -> Iterator[str]:
    """Predict contours on NIfTI scans, or on a CT in DICOM (to RTSTRUCT if --out ends in .dcm)."""
    from pedseg.importing.predict_scans import predict_dicom, predict_nifti
    from pedseg.importing.public_layouts import check_formats
    from pedseg.learning.weights import load_network

    raise_problems(check_formats(options.scan))
    network, plan = load_network(options.model)
    if _is_dicom(options.scan):
        choices = {"series": options.series, "repairs": options.repair}
        yield from predict_dicom(network, plan, options.scan, options.out, **choices)
    else:
        yield from predict_nifti(network, plan, targets(options.scan, options.out))
    yield f"contours of {len(plan.organs)} organs: {options.out}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pedseg predict`."""
    parser.add_argument("scan", type=Path, help="a NIfTI file, a folder of them, or a folder with a CT in DICOM")
    parser.add_argument("--model", type=Path, required=True, help="weights, a .safetensors file")
    parser.add_argument("--out", type=Path, required=True, help="label map (.nii.gz), RTSTRUCT (.dcm), or a folder")
    add_ct(parser, CT_REPAIRS, "of a CT in DICOM")


def _is_dicom(source: Path) -> bool:
    """A folder without NIfTI files, or a file that is not called .nii: the DICOM reader says what is wrong."""
    if source.is_dir():
        return not any(NIFTI.search(file.name) for file in source.iterdir()) and any(source.iterdir())
    return source.exists() and not NIFTI.search(source.name)


def targets(source: Path, out: Path) -> list[tuple[Path, Path]]:
    """Which scan becomes which label map; one file may name its own target."""
    scans = [source]
    if source.is_dir():
        scans = sorted(file for file in source.iterdir() if NIFTI.search(file.name))
        if not scans:
            remedy = "Give a .nii.gz file, a folder of them, or a DICOM folder."
            raise input_error("E-NO-SCAN", source, "the folder holds no scan.", remedy)
    elif out.name.endswith(".nii.gz"):
        return [(source, out)]
    return [(scan, out / f"{NIFTI.sub('', scan.name)}.nii.gz") for scan in scans]
