"""The layout of TotalSegmentator v2: a folder a patient, with one CT or MR scan and one mask per structure."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from pedseg import tables
from pedseg.datasets.cases import Case, DataSet, DataSetListing, assign_splits, center_name
from pedseg.datasets.loading import mask_names
from pedseg.organ_names import masks_of
from pedseg.organs import NAMES, ORGANS
from pedseg.scan import is_nifti_name

SCANS = {"ct.nii.gz": "CT", "mri.nii.gz": "MR"}


def is_totalsegmentator(folder: Path) -> bool:
    """Whether a folder has this layout."""
    return any(any(folder.glob(f"*/{name}")) for name in SCANS)


def list_totalsegmentator(folder: Path, listing: DataSetListing) -> None:
    """Subfolders s0000 with ct.nii.gz or mri.nii.gz and segmentations/NAME.nii.gz; meta.csv tells age, sex and split.

    Lobes join to lungs; stomach, duodenum, small bowel and colon to Bowel^Stomach, if all four are
    there. SpinalCanal and VBs stay "not annotated": the masks spinal_cord and vertebrae_* are other
    structures (a thinner one and larger ones). Masks that the organ table does not need are ignored.
    """
    meta, center = _read_meta(folder / "meta.csv", listing), center_name(folder)
    cases = []
    for place in sorted(path for path in folder.glob("[!.]*") if path.is_dir()):
        scans, masks = [name for name in SCANS if (place / name).is_file()], place / "segmentations"
        if len(scans) != 1:
            code, problem = "E-IMAGE-MISSING", "there is no ct.nii.gz and no mri.nii.gz."
            if scans:
                code, problem = "E-CASE-TWICE", f"its masks could belong to {' or '.join(scans)}."
            listing.add_problem(code, place, problem, "Leave one scan in this folder, or remove the folder.")
            continue
        for file in masks.glob("[!.]*"):
            if is_nifti_name(file) and not file.name.endswith(".nii.gz"):
                listing.add_problem("E-CASE-NAME", file, "this mask is not called .nii.gz.", "Compress and rename it.")
        structures, modality = mask_names(masks), SCANS[scans[0]]
        annotated = tuple(name for name in NAMES if masks_of(name, modality, structures))
        if not annotated:
            problem = "segmentations holds no complete organ of the table."
            listing.add_problem("E-LABEL-MISSING", place, problem, "Add the masks, or remove this folder.")
            continue
        age, sex, split = meta.get(place.name, (None, "", ""))
        case = Case(place.name, place.name, center, split, place / scans[0], masks, annotated, (), age, sex)
        cases.append(replace(case, modality=modality))
    labels = {organ.id: organ.name for organ in ORGANS}
    listing.dataset = DataSet(folder, center, tuple(assign_splits(cases)), labels)


def _read_meta(file: Path, listing: DataSetListing) -> dict[str, tuple[int | None, str, str]]:
    """Age in months, sex and split by image, from TotalSegmentator's meta.csv (separator `;`)."""
    if not file.is_file():
        return {}
    try:
        rows = tables.unique((row["image_id"], row) for row in tables.read_rows(file, "image_id", ";"))
    except (OSError, ValueError) as error:
        problem, remedy = f"it cannot be read ({error}).", "Take the meta.csv of TotalSegmentator v2."
        listing.add_problem("E-CASES-TABLE", file, problem, remedy)
        return {}
    splits = {"train": "train", "val": "validation", "test": "test"}
    for word in sorted({row.get("split") or "train" for row in rows.values()} - splits.keys()):
        listing.add_problem("E-SPLIT", file, f"an image has the split {word!r}.", f"Write one of {', '.join(splits)}.")
    sexes = {"f": "F", "m": "M"}
    return {
        image: (
            _months(row.get("age") or ""),
            sexes.get(row.get("gender") or "", ""),
            splits.get(row.get("split") or "", ""),
        )
        for image, row in rows.items()
    }


def _months(years: str) -> int | None:
    return round(float(years) * 12) if re.fullmatch(r"\d+(\.\d+)?", years) else None
