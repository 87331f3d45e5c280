"""Write a data set: nnU-Net v2 raw (and MONAI's datalist) plus one table, `cases.tsv`; a crash costs only time.

    Dataset901_Polder/
      dataset.json                        channel, label numbers, number of training cases
      imagesTr/CASE_0000.nii.gz           labelsTr/CASE.nii.gz     training and validation
      imagesTs/CASE_0000.nii.gz           labelsTs/CASE.nii.gz     test
      cases.tsv                           one row a case: patient, split, age, which organs were drawn …
      splits_final.json, datalist.json    the same splits for nnU-Net and for MONAI

nnU-Net and MONAI open such a folder unchanged. Every file appears whole or not at all.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from pedseg.datasets.cases import SPLITS, UNLABELED, folder_suffix
from pedseg.datasets.cases_table import COLUMNS, IMPORTING, ONLY_WITH_MR, PENDING, WORDS, read_table
from pedseg.datasets.loading import LARGEST, describe_grid, organs_present, same_grid
from pedseg.errors import input_error
from pedseg.files import PART, write_atomically
from pedseg.organs import NAMES, ORGANS
from pedseg.scan import Scan, to_ras, write_nifti
from pedseg.tables import read_json


def write_case(
    folder: Path,
    name: str,
    image: Scan,
    labels: Scan | None,
    *,
    patient: str,
    center: str,
    split: str,
    age_months: int | None = None,
    sex: str = "",
    manual: Iterable[str] = NAMES,
    silver: Iterable[str] = (),
    source: str = "",
    license: str = "",
    repairs: Iterable[str] = (),
    tumor: str = "",
    months_since_surgery: float | None = None,
    posture: str = "",
    phase: str = "",
    notes: Iterable[str] = (),
    modality: str = "CT",
    sequence: str = "",
) -> None:
    """Write one case: image (int16; HU if it is a CT), label map (uint8 organ ids), then its row for the table.

    Both are turned to RAS, spacing unchanged. `manual` are the organs drawn by people, `silver`
    those drawn by a program; those of them without a voxel count as annotated and absent. The row
    comes last and marks the case as finished; call `write_index` when all cases are written. A scan
    that nobody contoured has no labels and the split `unlabeled`; an empty split is decided when the data set is read
    (`assign_splits`). `notes` are doubts worth a column.
    """
    folder, image = Path(folder), to_ras(image)
    labels = to_ras(labels) if labels is not None else None
    manual, silver = (tuple(manual), tuple(silver)) if labels is not None else ((), ())
    about = {"sex": sex, "tumor": tumor, "posture": posture, "phase": phase, "modality": modality, "sequence": sequence}
    _check_fields(name, split, labels is None, about, (age_months, months_since_surgery))
    _check_voxels(name, image, labels, [*manual, *silver])
    image_file, label_file = _files(folder, name, split)
    if not (folder / IMPORTING / name).exists():  # an import keeps what the table lists until the table is renewed
        (folder / PENDING / f"{name}.json").unlink(missing_ok=True)  # it is unfinished until it is written anew
        _remove(folder, name)
    write_nifti(image_file, Scan(np.round(image.voxels).astype(np.int16), image.affine))
    present: tuple[str, ...] = ()
    if labels is not None:
        write_nifti(label_file, Scan(labels.voxels.astype(np.uint8), labels.affine))
        present = organs_present(labels)
    row = {
        "case": name,
        "patient": patient,
        "center": center,
        "split": split,
        "age_months": "" if age_months is None else str(int(age_months)),
        "source": source,
        "license": license,
        "manual": ";".join(manual),
        "silver": ";".join(silver),
        "absent": ";".join(organ for organ in NAMES if organ in (*manual, *silver) and organ not in present),
        "spacing_mm": ";".join(f"{mm:.6g}" for mm in image.spacing_mm),
        "shape": ";".join(map(str, image.shape)),
        "orientation": "RAS",
        "repairs": ";".join(repairs),
        "sha256_image": hashlib.sha256(image_file.read_bytes()).hexdigest(),
        "notes": ";".join(notes),
        "months_since_surgery": "" if months_since_surgery is None else str(round(float(months_since_surgery), 2)),
    } | about
    write_atomically(folder / PENDING / f"{name}.json", json.dumps(row).encode())


def _check_fields(
    name: str, split: str, unlabeled: bool, about: Mapping[str, str], months: tuple[int | None, float | None]
) -> None:
    """Refuse what could not be read back from the table or from the name of a file."""
    if not re.fullmatch(r"[A-Za-z0-9-]{1,32}", name):
        problem = "a case name holds 1 to 32 letters, digits or hyphens."
        raise input_error("E-CASE-NAME", name, problem, "Rename the case.")
    splits = (UNLABELED,) if unlabeled else (*SPLITS, "")
    if split not in splits:
        problem = f"this case cannot have the split {split!r}."
        raise input_error("E-SPLIT", name, problem, f"Use {', '.join(filter(None, splits))}.")
    for column, word in about.items():
        if word not in ("", *WORDS[column]):
            remedy = f"Give {', '.join(WORDS[column])} or nothing."
            raise input_error("E-CASES-TABLE", name, f"{column} {word!r}.", remedy)
    if any(number is not None and not 0 <= number < 10_000 for number in months):
        problem = f"age {months[0]} months, {months[1]} months since surgery."
        raise input_error("E-CASES-TABLE", name, problem, "Give months from 0, or None.")


def _check_voxels(name: str, image: Scan, labels: Scan | None, annotated: Sequence[str]) -> None:
    """Refuse, before a byte is written, what the reader would refuse."""
    if labels is not None and not same_grid(image, labels):
        problem = f"image {describe_grid(image)}, labels {describe_grid(labels)}."
        raise input_error("E-GEOMETRY", name, problem, "Bring both on one grid.")
    if not np.all(np.isfinite(image.voxels)) or np.abs(image.voxels).max() > LARGEST:
        problem = "the image holds values that are no gray values of a scan."
        raise input_error("E-NOT-FINITE", name, problem, "Replace NaN, infinite and huge values.")
    ids = np.unique(labels.voxels) if labels is not None else np.zeros(1)
    if ids.min() < 0 or ids.max() > len(ORGANS) or np.any(ids != np.round(ids)):
        problem = f"label values {ids[:8].tolist()} are no organ ids."
        raise input_error("E-LABEL-VALUES", name, problem, "Use the ids of pedseg.organs.")
    if len({*annotated}) < len(annotated):
        problem = f"an organ is listed twice: {', '.join(annotated)}."
        raise input_error("E-CASES-TABLE", name, problem, "List each as manual or as silver.")
    unknown = set(annotated) - set(NAMES)
    if unknown:
        problem = f"the organ table has no {sorted(unknown)}."
        raise input_error("E-ORGAN-UNKNOWN", name, problem, "Use the names of pedseg.organs.")
    unlisted = [NAMES[int(i) - 1] for i in ids if i and NAMES[int(i) - 1] not in annotated]
    if unlisted:
        problem = f"contours of {unlisted}, which nobody drew."
        raise input_error("E-NOT-ANNOTATED", name, problem, "List them as manual or silver.")


def _files(folder: Path, name: str, split: str) -> tuple[Path, Path]:
    """Where the image and the label map of a case lie."""
    tail = folder_suffix(split)
    return folder / f"images{tail}" / f"{name}_0000.nii.gz", folder / f"labels{tail}" / f"{name}.nii.gz"


def _remove(folder: Path, name: str, *, keep: str | None = None) -> None:
    """Remove the files of a case: wherever they lie, but not in the folders of the split `keep`."""
    for split in ("train", "test"):
        if keep is None or folder_suffix(split) != folder_suffix(keep):
            for file in _files(folder, name, split):
                file.unlink(missing_ok=True)


def written_cases(folder: Path) -> dict[str, dict[str, str]]:
    """Rows of the cases that are finished, by name: those in `cases.tsv` and those not yet gathered.

    A case whose files are gone does not count. Use it to resume: write what is not listed.
    """
    folder = Path(folder)
    table = folder / "cases.tsv"
    rows = {row["case"]: row for row in read_table(table)} if table.is_file() else {}
    for file in sorted((folder / PENDING).glob("*.json")):
        rows[file.stem] = json.loads(file.read_text(encoding="utf-8"))

    def complete(name: str) -> bool:
        image, labels = _files(folder, name, rows[name]["split"])
        return image.is_file() and (labels.is_file() or rows[name]["split"] == UNLABELED)

    return {name: rows[name] for name in sorted(rows) if complete(name)}


def write_index(folder: Path, *, center: str, situs_inversus: Iterable[str] = ()) -> None:
    """Gather the finished cases: `cases.tsv`, the lists for nnU-Net and MONAI, last `dataset.json`.

    A folder without `dataset.json` is unfinished. May be called again after more cases. `situs_inversus` are cases
    whose organs are truly mirrored; those that dataset.json names already stay.
    """
    folder = Path(folder)
    rows = list(written_cases(folder).values())
    if not rows:
        raise input_error("E-NO-CASE", folder, "no case is written yet.", "Call write_case first.")
    text = io.StringIO()
    with_mr = any(row.get("modality") == "MR" for row in rows)
    columns = [column for column in COLUMNS if with_mr or column not in ONLY_WITH_MR]
    writer = csv.DictWriter(text, columns, delimiter="\t", lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(folder / "cases.tsv", text.getvalue().encode())
    names = {split: [row["case"] for row in rows if (row["split"] or "train") == split] for split in SPLITS}
    _write_json(folder / "splits_final.json", [{"train": names["train"], "val": names["validation"]}])
    _write_json(folder / "datalist.json", _datalist(folder, rows))
    channel = "+".join(sorted({row.get("modality") or "CT" for row in rows}))
    mirrored = sorted({*situs_inversus, *_situs_inversus(folder / "dataset.json")})
    training = len(names["train"]) + len(names["validation"])
    _write_json(folder / "dataset.json", _dataset_json(center, training, channel, mirrored))
    for row in rows:
        if (folder / IMPORTING / row["case"]).exists():  # it may have moved
            _remove(folder, row["case"], keep=row["split"])
        (folder / PENDING / f"{row['case']}.json").unlink(missing_ok=True)
    for part in [*folder.glob(f".*{PART}"), *folder.glob(f"*/.*{PART}")]:  # of a run that was killed
        part.unlink()
    with contextlib.suppress(OSError):  # not there, or another run has written a case meanwhile
        (folder / PENDING).rmdir()


def _write_json(file: Path, content: object) -> None:
    write_atomically(file, (json.dumps(content, indent=1) + "\n").encode())


def _situs_inversus(file: Path) -> list[str]:
    """The cases that an older dataset.json names as mirrored."""
    try:
        return list(read_json(file)["pedseg"]["situs_inversus"])
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _dataset_json(center: str, training: int, channel: str, mirrored: Sequence[str]) -> dict:
    """`dataset.json` as nnU-Net v2 reads it; its own keys stand under `pedseg`."""
    return {
        "channel_names": {"0": channel},
        "labels": {"background": 0} | {organ.name: organ.id for organ in ORGANS},
        "numTraining": training,
        "file_ending": ".nii.gz",
        "pedseg": {"schema": 1, "center": center} | ({"situs_inversus": list(mirrored)} if mirrored else {}),
    }


def _datalist(folder: Path, rows: Iterable[Mapping[str, str]]) -> dict:
    """The cases as MONAI lists them: validation is fold 0, training fold 1."""
    lists: dict[str, list] = {"training": [], "testing": []}
    for row in rows:
        image, label = (file.relative_to(folder).as_posix() for file in _files(folder, row["case"], row["split"]))
        entry: dict[str, object] = {"image": image}
        if row["split"] != UNLABELED:
            entry["label"] = label
        if row["split"] in ("test", UNLABELED):
            lists["testing"].append(entry)
        else:
            lists["training"].append(entry | {"fold": int(row["split"] != "validation")})
    return lists
