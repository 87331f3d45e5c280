"""What grading leaves: a CSV of the class, and one HTML page of feedback for each copy.

Everything that a learner wrote is escaped, and no output of a notebook is shown: a page runs no script.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pedseg.files import write_atomically
from pedseg.workbook.grading.grade import GradedCopy
from pedseg.workbook.grading.verdicts import ENDINGS
from pedseg.workbook.report import html_environment

GRADES = "grades.csv"
COLUMNS = ("copy", "chapter", "right", "exercises", "status", "seconds", "memory_mib")
COLOR_CODES = re.compile(r"\x1b\[[0-9;]*m")


def write_grades(copies: Sequence[GradedCopy], out: Path) -> list[Path]:
    """Write `grades.csv` and `feedback/COPY.html`; returns the files."""
    copies = _by_name(copies)
    files = [out / GRADES, *(out / "feedback" / f"{copy.submission.name}.html" for copy in copies)]
    write_atomically(files[0], grades_csv(copies).encode("utf-8-sig"))  # spreadsheets ask for the mark
    for file, copy in zip(files[1:], copies, strict=True):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, feedback_page(copy).encode())
    return files


def grades_csv(copies: Sequence[GradedCopy]) -> str:
    """One line a copy; behind the fixed columns one for each exercise, with its state."""
    copies = _by_name(copies)
    exercises = list(dict.fromkeys(verdict.exercise for copy in copies for verdict in copy.verdicts))
    lines = []
    for copy in copies:
        chapter = copy.submission.chapter.name if copy.submission.chapter else ""
        states = {verdict.exercise: verdict.state for verdict in copy.verdicts}
        fixed = [copy.submission.name, chapter, copy.right, len(copy.verdicts), copy.status]
        fixed += [f"{copy.seconds:.1f}", f"{copy.peak_mib:.0f}"]
        lines.append([_no_formula(str(cell)) for cell in [*fixed, *(states.get(name, "") for name in exercises)]])
    return pd.DataFrame(lines, columns=[*COLUMNS, *exercises]).to_csv(index=False, lineterminator="\r\n")


def _by_name(copies: Sequence[GradedCopy]) -> list[GradedCopy]:
    """Copies in the order of their names, however soon each was done."""
    return sorted(copies, key=lambda copy: copy.submission.name)


def _no_formula(cell: str) -> str:
    """A file name is no formula, whatever a spreadsheet makes of its first letter."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def feedback_page(copy: GradedCopy) -> str:
    """The page of one copy, as text."""
    answers = copy.submission.answers() if copy.submission.chapter else {}
    other_error = (copy.errors or {}).get("", "")
    template = html_environment().get_template("grading/feedback.html.j2")
    return template.render(
        copy=copy,
        answers=answers,
        ending="" if copy.ended in ("", "finished") else ENDINGS[copy.ended],
        other_error=COLOR_CODES.sub("", other_error) if copy.ended == "finished" else "",
    )
