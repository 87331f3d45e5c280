"""pedseg's own table of a data set, `cases.tsv`: one row a case, tab separated, lists joined by `;`.

Only the column `case` is required, so that a table can be written by hand to name patients and
splits; a column that is not known is refused, because a misspelt `patient` would mix train and test.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from pedseg.datasets.cases import (
    MODALITIES,
    PHASES,
    POSTURES,
    SEQUENCES,
    SPLITS,
    TUMORS,
    UNLABELED,
    Case,
)  # fmt: skip
from pedseg.datasets.survey import Survey, center_name
from pedseg.errors import PedsegInputError, input_error
from pedseg.organs import NAMES, suggest

COLUMNS = (
    "case",
    "patient",
    "center",
    "split",
    "age_months",
    "sex",
    "source",
    "license",
    "manual",
    "silver",
    "absent",
    "spacing_mm",
    "shape",
    "orientation",
    "repairs",
    "sha256_image",
    "tumor",
    "months_since_surgery",
    "posture",
    "phase",
    "notes",
    "modality",
    "sequence",
)
ONLY_WITH_MR = ("modality", "sequence")  # a table of CT scans alone does without
WORDS = {  # what a column may say
    "sex": ("F", "M"),
    "tumor": TUMORS,
    "posture": POSTURES,
    "phase": PHASES,
    "modality": MODALITIES,
    "sequence": SEQUENCES,
}
PENDING = ".rows"  # one small JSON a finished case, until write_index gathers them in cases.tsv
COMING = ".coming"  # one file a case that is being imported
Files = tuple[Path, Path | None, bool]  # image, label map, whether they lie in the test folders
Organs = tuple[str, ...]
Rows = dict[str, dict[str, str]]


def read_table(file: Path) -> list[dict[str, str]]:
    """The rows of a `cases.tsv`; refused if it is no such table."""
    remedy = f"Write a tab-separated table in UTF-8 with columns of: {' '.join(COLUMNS)}."
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            header, *rows = [row for row in csv.reader(stream, delimiter="\t") if row] or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise input_error("E-CASES-TABLE", file, f"it cannot be read ({error}).", remedy) from error
    odd = sorted(set(header) - set(COLUMNS))
    if "case" not in header or odd or len(set(header)) < len(header):
        wrong = f"unknown columns: {', '.join(odd)}" if odd else "no column `case`, or a column twice"
        raise input_error("E-CASES-TABLE", file, f"the table has {wrong}.", remedy)
    uneven = [row[0] for row in rows if len(row) != len(header)]
    if uneven:
        problem = f"the row of {uneven[0]} has another number of fields than the header."
        raise input_error("E-CASES-TABLE", file, problem, remedy)
    return [dict(zip(header, row, strict=True)) for row in rows]


def unfinished(folder: Path) -> tuple[dict[str, str], set[str]]:
    """Cases on their way in, each with the split that the table lists ("" if none yet), and cases nobody contoured.

    An import marks a case before it writes the first of its files: until the table is renewed, the data set is
    what it was.
    """
    listed = _peek(folder / "cases.tsv")
    marked = {name: listed.get(name, "") for name in coming(folder)}
    return marked, {name for name, split in listed.items() if split == UNLABELED}


def coming(folder: Path) -> set[str]:
    """Cases that an import has marked and not yet finished."""
    return {file.name for file in (folder / COMING).glob("[!.]*")}


def _peek(file: Path) -> dict[str, str]:
    """Case -> split of a table, or nothing; what is wrong with it is for `read_rows` to say."""
    try:
        return {row["case"]: row.get("split") or "" for row in read_table(file)} if file.is_file() else {}
    except PedsegInputError:
        return {}


def read_rows(file: Path, images: Mapping[str, Path], found: Survey) -> Rows:
    """The rows of cases.tsv by case; empty if there is no such table. Only `case` is required."""
    if not file.is_file():
        return {}
    try:
        listed = read_table(file)
    except PedsegInputError as error:
        found.problems += error.problems
        return {}
    for name, times in Counter(row["case"] for row in listed).items():
        if times > 1:
            found.note("E-CASE-TWICE", file, f"the case {name} has {times} rows.", "Keep one; a case is in one split.")
        if name not in images:
            found.note(
                "E-IMAGE-MISSING", file, f"the case {name} has no image.", "Restore the files or remove the row."
            )
    for name in sorted(images.keys() - {row["case"] for row in listed}):
        found.note(
            "E-CASE-UNLISTED",
            images[name],
            "cases.tsv has no row for this image.",
            "Add the row, or remove the image.",
        )
    return {row["case"]: row for row in listed}


def read_case(
    folder: Path, name: str, files: Files, row: dict[str, str], drawn: Organs, found: Survey, modality: str = "CT"
) -> Case:
    """One case from its files and its row; `drawn` and `modality` are what dataset.json says ("" if each case says)."""
    image, label, held_out = files
    table = folder / "cases.tsv"
    annotated = drawn
    if row.get("manual") is not None or row.get("silver") is not None:
        annotated = _organs(f"{row.get('manual') or ''};{row.get('silver') or ''}", name, table, found)
    age = row.get("age_months") or None
    if age and not age.isdecimal():
        found.note(
            "E-CASES-TABLE", table, f"the case {name} has age_months {age!r}.", "Write whole months, or nothing."
        )
    for column, known in WORDS.items():
        word = row.get(column) or ""
        if word not in ("", *known):
            remedy = f"Write {', '.join(known)} or nothing."
            found.note("E-CASES-TABLE", table, f"the case {name} has {column} {word!r}.", remedy)
    return Case(
        name=name,
        patient=row.get("patient") or name,
        center=row.get("center") or center_name(folder),
        split=_split(row.get("split") or "", name, label is None, held_out, table, found),
        image_file=image,
        label_file=label,
        annotated=annotated if label else (),
        absent=_organs(row.get("absent") or "", name, table, found),
        age_months=int(age) if age and age.isdecimal() else None,
        sex=row.get("sex") or "",
        tumor=row.get("tumor") or "",
        months_since_surgery=_months(row.get("months_since_surgery") or "", name, table, found),
        posture=row.get("posture") or "",
        phase=row.get("phase") or "",
        silver=tuple(o for o in NAMES if label and o in (row.get("silver") or "").split(";")),
        modality=_modality(row.get("modality") or "", modality, name, table, found),
        sequence=row.get("sequence") or "",
    )


def _modality(stated: str, of_all: str, name: str, table: Path, found: Survey) -> str:
    """CT or MR: as the row of the case says, or dataset.json for all; both must agree, and one must say."""
    if of_all and stated not in ("", of_all):
        problem = f"the case {name} is {stated}, but the channel of dataset.json is {of_all}."
        found.note("E-MODALITY", table, problem, 'Correct one of them; for both kinds write {"0": "CT+MR"} there.')
    elif not of_all and not stated:
        remedy = f"Fill the column modality: {' or '.join(MODALITIES)}."
        found.note("E-MODALITY", table, f"nobody says whether the case {name} is CT or MR.", remedy)
    return stated or of_all


def _months(stated: str, name: str, table: Path, found: Survey) -> float | None:
    """Months since surgery, whole or with a decimal point."""
    if not stated:
        return None
    if re.fullmatch(r"\d{1,4}(\.\d+)?", stated, re.ASCII):
        return float(stated)
    problem = f"the case {name} has months_since_surgery {stated!r}."
    found.note("E-CASES-TABLE", table, problem, "Write months as 7 or 7.5, or nothing.")
    return None


def _split(stated: str, name: str, no_label: bool, held_out: bool, table: Path, found: Survey) -> str:
    """The split of a case: as its row states, or as its folder tells; "" is to be assigned."""
    if stated and stated not in (SPLITS if not no_label else (*SPLITS, UNLABELED)):
        found.note("E-SPLIT", table, f"the case {name} has the split {stated!r}.", f"Write one of {', '.join(SPLITS)}.")
    if held_out and stated in ("train", "validation"):
        found.note(
            "E-SPLIT",
            table,
            f"the case {name} is {stated}, but lies in imagesTs.",
            "Move its files to imagesTr and labelsTr.",
        )
    if no_label:
        return UNLABELED
    return stated or ("test" if held_out else "")


def _organs(listed: str, name: str, table: Path, found: Survey) -> Organs:
    """Organ names of one field, joined by `;`, in the order of the organ table."""
    named = [part for part in listed.split(";") if part]
    for part in named:
        if part not in NAMES:
            found.note(
                "E-ORGAN-UNKNOWN",
                table,
                f"the case {name} lists {part!r}.",
                f"Use the names of the table, as {suggest(part) or NAMES[0]}.",
            )
    return tuple(organ for organ in NAMES if organ in named)
