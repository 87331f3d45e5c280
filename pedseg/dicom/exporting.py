"""Contours out: a label map to RTSTRUCT or SEG on the CT that it was drawn for, or to NIfTI as others keep it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pedseg.datasets.loading import describe_grid, same_grid, whole_numbers
from pedseg.dicom.ct_series import CtScan
from pedseg.dicom.rtstruct_writing import write_rtstruct
from pedseg.dicom.seg import write_seg
from pedseg.errors import input_error
from pedseg.files import write_atomically
from pedseg.organ_names import TOTALSEGMENTATOR_PARTS
from pedseg.organs import NAMES, ORGANS, organ
from pedseg.scan import Scan, read_nifti, restore_axes, to_ras, write_nifti


def read_label_map(file: Path) -> Scan:
    """A map of organ ids; other numbers are refused."""
    scan = read_nifti(file)
    numbers = whole_numbers(scan.voxels, file)
    if numbers.max() > len(ORGANS):
        found = f"it holds the label {numbers.max()}, the organ table ends at {len(ORGANS)}."
        raise input_error("E-LABEL-VALUES", file, found, "Give a label map that pedseg has written.")
    return Scan(numbers.astype(np.uint8), scan.affine)


def onto(labels: Scan, ct: CtScan, file: Path | str) -> dict[str, NDArray[np.bool_]]:
    """A label map as masks by organ name on the grid of a CT, (column, row, slice); exact, nothing is resampled."""
    if not same_grid(to_ras(labels), to_ras(ct.scan)):
        found = f"it lies on the grid {describe_grid(to_ras(labels))}, this CT on {describe_grid(to_ras(ct.scan))}."
        raise input_error("E-GEOMETRY", file, found, "Give the CT that these contours were drawn for.")
    voxels = restore_axes(to_ras(labels).voxels, ct.scan).voxels
    return {NAMES[i - 1]: voxels == i for i in np.flatnonzero(np.bincount(voxels.ravel())) if i}


def export(labels: Scan, out: Path, *, kind: str, ct: CtScan | None = None, name: str | Path = "") -> list[str]:
    """Write a label map as one of `words.FORMATS`; gives back what a person should look at.

    `rtstruct` and `seg` need the CT and are read back before they are kept; `nnunet` is one map of ids with its table
    beside it, `totalsegmentator` a folder with a mask an organ.
    """
    if kind in ("rtstruct", "seg"):
        if ct is None:
            raise input_error(
                "E-NO-CT", name, f"a {kind} needs the CT that it was drawn on.", "Name its folder with --ct."
            )
        masks = onto(labels, ct, name)
        if not masks:
            raise input_error("E-LABEL-EMPTY", name, "nothing is drawn on this scan.", "There is nothing to export.")
        if kind == "rtstruct":
            return write_rtstruct(out, masks, ct)
        write_seg(out, masks, ct)
        return []
    if kind == "nnunet":
        names = ["name\tlabel", *(f"{one.name}\t{one.id}" for one in ORGANS)]
        write_nifti(out, labels)
        write_atomically(out.with_name(f"{out.name.removesuffix('.nii.gz')}.tsv"), ("\n".join(names) + "\n").encode())
        return []
    return _masks(labels, out)


def _masks(labels: Scan, out: Path) -> list[str]:
    """One file an organ, named as TotalSegmentator does where its structure is the same; the folder appears whole."""
    if out.exists():
        raise input_error("E-FILE", out, "this folder exists already.", "Name another one.")
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        for i in np.flatnonzero(np.bincount(labels.voxels.ravel())):
            if i:
                parts = TOTALSEGMENTATOR_PARTS.get(NAMES[i - 1], ())
                file = parts[0] if len(parts) == 1 else organ(NAMES[i - 1]).plain.replace(" ", "_")
                write_nifti(part / f"{file}.nii.gz", Scan((labels.voxels == i).astype(np.uint8), labels.affine))
        part.mkdir(parents=True, exist_ok=True)
        os.replace(part, out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return []
