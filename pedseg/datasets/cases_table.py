"""The table of a data set, `cases.tsv`: one row a case, tab separated, lists joined by `;`.

Only the column `case` is required, so that a table can be written by hand to name patients and
splits; a column that is not known is refused, because a misspelt `patient` would mix train and test.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pedseg import tables
from pedseg.datasets import cases
from pedseg.datasets.cases import MODALITIES, SPLITS, UNLABELED, Case, DataSetListing, center_name
from pedseg.errors import PedsegInputError, input_error
from pedseg.organs import NAMES, suggest

COLUMNS = tuple(
    "case patient center split age_months sex source license manual silver absent spacing_mm shape orientation repairs "
    "sha256_image tumor months_since_surgery posture phase notes modality sequence".split()
)
ONLY_WITH_MR = ("modality", "sequence")  # a table of CT scans alone does without
WORDS = {  # what a column may say
    "sex": ("F", "M"),
    "tumor": cases.TUMORS,
    "posture": cases.POSTURES,
    "phase": cases.PHASES,
    "modality": MODALITIES,
    "sequence": cases.SEQUENCES,
}
PENDING = ".rows"  # folder with one small JSON a finished case, until write_index gathers them in cases.tsv
IMPORTING = ".importing"  # folder with one file a case that is being imported
Files = tuple[Path, Path | None, bool]  # image, label map, whether they lie in the test folders
Organs = tuple[str, ...]
Row = dict[str, str]


def read_table(file: Path) -> list[Row]:
    """The rows of a `cases.tsv`; refused if it is no such table."""
    remedy = f"Write a tab-separated table in UTF-8 with columns of: {' '.join(COLUMNS)}."
    try:
        rows = tables.read_rows(file, "case")
    except (OSError, ValueError) as error:
        raise input_error("E-CASES-TABLE", file, f"it cannot be read ({error}).", remedy) from error
    unknown = sorted({column for row in rows for column in row} - {*COLUMNS})
    if unknown:
        raise input_error("E-CASES-TABLE", file, f"the table has unknown columns: {', '.join(unknown)}.", remedy)
    try:
        tables.unique((row["case"], f"the patient {row.get('patient')}") for row in rows)
    except ValueError as error:
        raise input_error("E-CASE-TWICE", file, f"{error}.", "Keep one; a case is in one split.") from error
    return rows


def listed_splits(folder: Path) -> dict[str, str]:
    """Case -> split as `cases.tsv` says, empty without one; what is wrong with it is for `read_rows` to say."""
    table = folder / "cases.tsv"
    try:
        return {row["case"]: row.get("split") or "" for row in read_table(table)} if table.is_file() else {}
    except PedsegInputError:
        return {}


def cases_being_imported(folder: Path) -> set[str]:
    """Cases that an import has marked and not yet finished.

    It marks a case before it writes the first of its files: until the table is renewed, the data set is what it was.
    """
    return {file.name for file in (folder / IMPORTING).glob("[!.]*")}


def read_rows(file: Path, images: Mapping[str, Path], listing: DataSetListing) -> dict[str, Row]:
    """The rows of cases.tsv by case; empty if there is no such table. Only `case` is required."""
    if not file.is_file():
        return {}
    try:
        rows = read_table(file)
    except PedsegInputError as error:
        listing.problems += error.problems
        return {}
    for name in (row["case"] for row in rows):
        if name not in images:
            problem = f"the case {name} has no image."
            listing.add_problem("E-IMAGE-MISSING", file, problem, "Restore the files or remove the row.")
    for name in sorted(images.keys() - {row["case"] for row in rows}):
        problem = "cases.tsv has no row for this image."
        listing.add_problem("E-CASE-UNLISTED", images[name], problem, "Add the row, or remove the image.")
    return {row["case"]: row for row in rows}


def read_case(
    table: Path, name: str, files: Files, fields: Row, labeled: Organs, modality: str, listing: DataSetListing
) -> Case:
    """One case from its files and its row; `labeled` and `modality` ("": each case says) stand in dataset.json."""
    image, label, held_out = files
    row = _Fields(name, fields, table, listing)
    annotated = labeled
    if fields.get("manual") is not None or fields.get("silver") is not None:
        annotated = row.organs("manual", "silver")
    return Case(
        name=name,
        patient=row.text("patient") or name,
        center=row.text("center") or center_name(table.parent),
        split=row.split(label is not None, held_out),
        image_file=image,
        label_file=label,
        annotated=annotated if label else (),
        absent=row.organs("absent"),
        age_months=row.age_months(),
        sex=row.word("sex"),
        tumor=row.word("tumor"),
        months_since_surgery=row.months_since_surgery(),
        posture=row.word("posture"),
        phase=row.word("phase"),
        silver=tuple(organ for organ in NAMES if label and organ in row.text("silver").split(";")),
        modality=row.modality(modality),
        sequence=row.word("sequence"),
    )


@dataclass(frozen=True)
class _Fields:
    """The row of one case; what is wrong with a field becomes a problem of the data set."""

    case: str
    row: Row
    table: Path
    listing: DataSetListing

    def add_problem(self, code: str, problem: str, remedy: str) -> None:
        self.listing.add_problem(code, self.table, f"the case {self.case} {problem}", remedy)

    def text(self, column: str) -> str:
        return self.row.get(column) or ""

    def word(self, column: str) -> str:
        """One of the words that a column may say, or nothing."""
        word = self.text(column)
        if word not in ("", *WORDS[column]):
            remedy = f"Write {', '.join(WORDS[column])} or nothing."
            self.add_problem("E-CASES-TABLE", f"has {column} {word!r}.", remedy)
        return word

    def organs(self, *columns: str) -> Organs:
        """Organ names of some fields, in the order of the organ table."""
        names = [name for column in columns for name in self.text(column).split(";") if name]
        for name in sorted({name for name in names if names.count(name) > 1}):
            self.add_problem("E-CASES-TABLE", f"lists {name} twice as {' or '.join(columns)}.", "Keep one of the two.")
        for name in names:
            if name not in NAMES:
                remedy = f"Use the names of the table, as {suggest(name) or NAMES[0]}."
                self.add_problem("E-ORGAN-UNKNOWN", f"lists {name!r}.", remedy)
        return tuple(organ for organ in NAMES if organ in names)

    def age_months(self) -> int | None:
        age = self.text("age_months")
        if age and not age.isdecimal():
            self.add_problem("E-CASES-TABLE", f"has age_months {age!r}.", "Write whole months, or nothing.")
        return int(age) if age.isdecimal() else None

    def months_since_surgery(self) -> float | None:
        months = self.text("months_since_surgery")
        if re.fullmatch(r"\d{1,4}(\.\d+)?", months, re.ASCII):
            return float(months)
        if months:
            problem = f"has months_since_surgery {months!r}."
            self.add_problem("E-CASES-TABLE", problem, "Write months as 7 or 7.5, or nothing.")
        return None

    def modality(self, of_all: str) -> str:
        """CT or MR: as the row says, or dataset.json for all; both must agree, and one must say."""
        stated = self.word("modality")
        if of_all and stated not in ("", of_all):
            problem = f"is {stated}, but the channel of dataset.json is {of_all}."
            self.add_problem("E-MODALITY", problem, 'Correct one of them; for both kinds write {"0": "CT+MR"} there.')
        elif not of_all and not stated:
            remedy = f"Fill the column modality: {' or '.join(MODALITIES)}."
            self.add_problem("E-MODALITY", "is CT or MR, and nobody says which.", remedy)
        return stated or of_all

    def split(self, labeled: bool, held_out: bool) -> str:
        """The split: as the row states, or as the folder tells; "" is to be assigned."""
        stated = self.text("split")
        if stated and stated not in (SPLITS if labeled else (*SPLITS, UNLABELED)):
            self.add_problem("E-SPLIT", f"has the split {stated!r}.", f"Write one of {', '.join(SPLITS)}.")
        if held_out and stated in ("train", "validation"):
            problem, remedy = f"is {stated}, but lies in imagesTs.", "Move its files to imagesTr and labelsTr."
            self.add_problem("E-SPLIT", problem, remedy)
        return (stated or ("test" if held_out else "")) if labeled else UNLABELED
