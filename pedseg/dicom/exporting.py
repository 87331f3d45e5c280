"""Export a label map as RTSTRUCT or SEG on the CT that it was drawn for, or as NIfTI (nnU-Net, TotalSegmentator)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from pedseg.datasets.loading import describe_grid, organs_present, same_grid, whole_numbers
from pedseg.dicom.ct_series import CtScan
from pedseg.dicom.rtstruct_writing import Masks, write_rtstruct
from pedseg.dicom.seg import write_seg
from pedseg.errors import input_error
from pedseg.files import PART, refuse_overwriting, write_atomically
from pedseg.organ_names import MASK_OF
from pedseg.organs import ORGANS, organ
from pedseg.scan import Scan, read_nifti, restore_axes, to_ras, write_nifti
from pedseg.tables import LazyMapping

IMPLAUSIBLE = "IMPLAUSIBLE: "  # how the note of a prediction begins that the user asked for all the same


def read_label_map(file: Path) -> Scan:
    """A map of organ ids; other numbers are refused."""
    scan = read_nifti(file)
    numbers = whole_numbers(scan.voxels, file)
    if numbers.max() > len(ORGANS):
        problem = f"it holds the label {numbers.max()}, the organ table ends at {len(ORGANS)}."
        raise input_error("E-LABEL-VALUES", file, problem, "Give a label map that pedseg has written.")
    return Scan(numbers.astype(np.uint8), scan.affine)


def read_note(file: Path) -> str:
    """What `predict` has noted in a label map that is implausible; else empty."""
    import nibabel

    header: Any = nibabel.load(file).header
    note = header["descrip"].item().decode("ascii", "replace")
    return note if note.startswith(IMPLAUSIBLE) else ""


def organ_masks(labels: Scan) -> Masks:
    """The masks of a label map by organ name."""
    return LazyMapping(organs_present(labels), lambda name: labels.voxels == organ(name).id)


def masks_on_ct(labels: Scan, ct: CtScan, file: Path | str) -> Masks:
    """A label map as masks by organ name on the grid of a CT, (column, row, slice); exact, nothing is resampled."""
    ras, ct_ras = to_ras(labels), to_ras(ct.scan)
    if not same_grid(ras, ct_ras):
        problem = f"it lies on the grid {describe_grid(ras)}, this CT on {describe_grid(ct_ras)}."
        raise input_error("E-GEOMETRY", file, problem, "Give the CT that these contours were drawn for.")
    return organ_masks(restore_axes(ras.voxels, ct.scan))


def export(
    labels: Scan, out: Path, *, kind: str, ct: CtScan | None = None, name: str | Path = "", description: str = "",
    drawn_by: str = "AUTOMATIC",
) -> list[str]:  # fmt: skip
    """Write a label map as one of `options.FORMATS`; gives back what a person should look at.

    `rtstruct` and `seg` need the CT and are read back before they are kept; `nnunet` is one map of ids with its table
    beside it, `totalsegmentator` a folder with a mask an organ. Raises `PedsegInputError` for a name that promises
    another format. Each ROI, segment or file bears the `description`; `drawn_by` is DICOM's word for who drew it.
    """
    ending = next((ending for ending in (".nii.gz", ".nii", ".dcm") if out.name.lower().endswith(ending)), "")
    usual = {"nnunet": ".nii.gz", "totalsegmentator": ""}.get(kind, ".dcm")
    if ending != usual and (ending or kind == "nnunet"):
        remedy = f"Name {'a file that ends in ' + usual if usual else 'a folder'}, or another --format."
        raise input_error("E-OUT-NAME", out, f"{kind} is not written under such a name.", remedy)
    if kind == "nnunet":
        _write_label_map(labels, out, description)
        return []
    if kind == "totalsegmentator":
        _write_masks(labels, out, description)
        return []
    if ct is None:
        problem = f"a {kind} needs the CT that it was drawn on."
        raise input_error("E-NO-CT", name, problem, "Name its folder with --ct.")
    refuse_overwriting([out], (file.path for file in ct.series.files))
    masks = masks_on_ct(labels, ct, name)
    if not masks:
        raise input_error("E-LABEL-EMPTY", name, "nothing is drawn on this scan.", "There is nothing to export.")
    if kind == "rtstruct":
        return write_rtstruct(out, masks, ct, description=description, drawn_by=drawn_by)
    write_seg(out, masks, ct, description=description, drawn_by=drawn_by)
    return []


def _write_label_map(labels: Scan, out: Path, note: str) -> None:
    """A map of organ ids, and beside it the table of their names."""
    table = out.with_name(f"{out.name.removesuffix('.nii.gz')}.tsv")
    content = "\n".join(["name\tlabel", *(f"{entry.name}\t{entry.id}" for entry in ORGANS)]) + "\n"
    if table.exists() and table.read_bytes() != content.encode():
        raise input_error("E-OUT-NAME", table, "another table lies there, and would be lost.", "Give another name.")
    write_nifti(out, labels, note=note)
    write_atomically(table, content.encode())


def _write_masks(labels: Scan, out: Path, note: str) -> None:
    """One file an organ, named as TotalSegmentator does where its structure is the same; the folder appears whole."""
    if out.exists():
        raise input_error("E-FILE", out, "this folder exists already.", "Name another one.")
    part = out.with_name(f".{out.name}.{os.getpid()}{PART}")
    try:
        for name, mask in organ_masks(labels).items():
            write_nifti(part / f"{MASK_OF[name]}.nii.gz", Scan(mask.astype(np.uint8), labels.affine), note=note)
        part.mkdir(parents=True, exist_ok=True)
        os.replace(part, out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
