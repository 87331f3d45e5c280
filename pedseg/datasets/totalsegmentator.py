"""The layout of TotalSegmentator v2: a folder a patient, with one CT or MR scan and one mask per structure."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

from pedseg.datasets.cases import Case, DataSet, assign_splits
from pedseg.datasets.survey import Survey, center_name
from pedseg.organ_names import PARTS_OF, TOTALSEGMENTATOR_PARTS
from pedseg.organs import NAMES, ORGANS

SCANS = {"ct.nii.gz": "CT", "mri.nii.gz": "MR"}


def is_totalsegmentator(folder: Path) -> bool:
    """Whether a folder is laid out so."""
    return any(any(folder.glob(f"*/{name}")) for name in SCANS)


def survey_totalsegmentator(folder: Path, found: Survey) -> None:
    """Subfolders s0000 with ct.nii.gz or mri.nii.gz and segmentations/NAME.nii.gz; meta.csv tells age, sex and split.

    Lobes join to lungs; stomach, duodenum, small bowel and colon to Bowel^Stomach, if all four are
    there. SpinalCanal and VBs stay "not annotated": the masks spinal_cord and vertebrae_* are other
    structures (a thinner one and larger ones). Masks that the organ table does not need are ignored.
    """
    meta = _read_meta(folder / "meta.csv", found)
    cases = []
    for place in sorted(path for path in folder.glob("[!.]*") if path.is_dir()):
        scans, masks = [name for name in SCANS if (place / name).is_file()], place / "segmentations"
        if not scans:
            found.note(
                "E-IMAGE-MISSING",
                place,
                "there is no ct.nii.gz and no mri.nii.gz.",
                "Add the scan, or remove this folder.",
            )
            continue
        modality = SCANS[scans[0]]
        parts, there = PARTS_OF[modality], {file.name.removesuffix(".nii.gz") for file in masks.glob("[!.]*.nii.gz")}
        annotated = tuple(name for name in NAMES if name in parts and there.issuperset(parts[name]))
        if not annotated:
            found.note(
                "E-LABEL-MISSING",
                place,
                "segmentations holds no complete organ of the table.",
                "Add the masks, or remove this folder.",
            )
            continue
        age, sex, split = meta.get(place.name, (None, "", ""))
        case = Case(
            place.name, place.name, center_name(folder), split, place / scans[0], masks, annotated, (), age, sex
        )
        cases.append(replace(case, modality=modality))
    labels = {organ.id: organ.name for organ in ORGANS if organ.name in TOTALSEGMENTATOR_PARTS}
    found.dataset = DataSet(folder, center_name(folder), tuple(assign_splits(cases)), labels)


def _read_meta(file: Path, found: Survey) -> dict[str, tuple[int | None, str, str]]:
    """Age in months, sex and split by image, from TotalSegmentator's meta.csv (separator `;`)."""
    if not file.is_file():
        return {}
    with file.open(newline="", encoding="utf-8-sig") as stream:
        rows = list(csv.DictReader(stream, delimiter=";"))
    if rows and "image_id" not in rows[0]:
        found.note(
            "E-CASES-TABLE", file, "the table has no column image_id.", "Take the meta.csv of TotalSegmentator v2."
        )
        return {}
    splits = {"train": "train", "val": "validation", "test": "test"}
    return {
        row["image_id"]: (
            _months(row.get("age") or ""),
            {"f": "F", "m": "M"}.get(row.get("gender") or "", ""),
            splits.get(row.get("split") or "", ""),
        )
        for row in rows
    }


def _months(years: str) -> int | None:
    return round(float(years) * 12) if re.fullmatch(r"\d+(\.\d+)?", years) else None
