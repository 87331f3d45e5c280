"""Handed-in notebooks: which chapter one is, and its exercises put back among the chapter's own cells.

The learner's exercise cells and own cells run; the chapter's other cells run as the chapter has them. So a line that
was deleted by accident costs one exercise at most, and nobody changes a question.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pedseg.errors import input_error
from pedseg.workbook.build_notebooks import SOURCES, build_notebook, read_chapter
from pedseg.workbook.grading.execution import Step

CHECK = re.compile(r"""lesson\.check\w*\(\s*["'](?P<name>[^"']+)["']""")
MAX_FILE_MIB = 50


@dataclass(frozen=True)
class ChapterCell:
    """A code cell of a chapter: as the learner gets it, solved, and the exercise that it asks ("" for none)."""

    id: str
    source: str
    solved: str
    exercise: str


@dataclass(frozen=True)
class Chapter:
    """A chapter's code cells in order; `rubric` is the table, line by line, by which a person judges its page."""

    name: str
    cells: tuple[ChapterCell, ...]
    rubric: tuple[tuple[str, ...], ...] = ()

    @property
    def exercises(self) -> list[str]:
        """The names of its exercises in order."""
        return [cell.exercise for cell in self.cells if cell.exercise]


@dataclass(frozen=True)
class Submission:
    """One handed-in notebook: its name (its path in the folder, without ending), chapter, and cells as (id, code)."""

    name: str
    chapter: Chapter | None
    cells: tuple[tuple[str, str], ...]
    problem: str = ""

    def answers(self) -> dict[str, str]:
        """The learner's cell for each exercise that is there."""
        assert self.chapter is not None
        ids = {cell.exercise: cell.id for cell in self.chapter.cells if cell.exercise}
        cells: dict[str, str] = {}
        for cell_id, code in self.cells:
            for name in CHECK.findall(code):
                if name in ids and (name not in cells or cell_id == ids[name]):
                    cells[name] = code
        return cells

    def steps(self) -> list[Step]:
        """What is run: the chapter's cells with the learner's answers, and the learner's own cells where they stood."""
        assert self.chapter is not None
        answers, own = self.answers(), self._own_cells()
        steps = [Step(code) for code in own[""]]
        for cell in self.chapter.cells:
            if not cell.exercise:
                steps.append(Step(cell.source))
            elif cell.exercise in answers:
                steps.append(Step(answers[cell.exercise], cell.exercise, cell.solved))
            else:
                steps.append(Step(cell.solved))  # deleted: the cells below need its result
            steps += [Step(code) for code in own[cell.id]]
        return steps

    def _own_cells(self) -> dict[str, list[str]]:
        """Cells that the learner added, by the id of the chapter's cell that they follow ("" for the top)."""
        assert self.chapter is not None
        by_source = {_bare(cell.source): cell.id for cell in self.chapter.cells}
        ids = {cell.id for cell in self.chapter.cells} | set(by_source.values())
        of_exercise = {cell.exercise: cell.id for cell in self.chapter.cells if cell.exercise}
        own, place = defaultdict(list), ""
        for cell_id, code in self.cells:
            asked = [of_exercise[name] for name in CHECK.findall(code) if name in of_exercise]
            known = cell_id if cell_id in ids else next(iter(asked), by_source.get(_bare(code), ""))
            if known:
                place = known
            else:
                own[place].append(code)
        return own


def _bare(code: str) -> str:
    """Code without white space: Colab gives cells ids of its own, so the text must tell which cell it is."""
    return "".join(code.split())


def load_chapters(source_folder: Path) -> dict[str, Chapter]:
    """The chapters that have exercises, by the name of their source."""
    chapters = {}
    for source in sorted(source_folder.glob(SOURCES)):
        text = read_chapter(source)
        versions = [json.loads(build_notebook(source.stem, text, solved=solved))["cells"] for solved in (False, True)]
        cells = tuple(
            ChapterCell(cell["id"], "".join(cell["source"]), "".join(solved["source"]), _asked("".join(cell["source"])))
            for cell, solved in zip(*versions, strict=True)
            if cell["cell_type"] == "code"
        )
        if any(cell.exercise for cell in cells):
            rubric = (cell for cell in versions[0] if "rubric" in cell["metadata"].get("tags", ()))
            lines = tuple(line for cell in rubric for line in table_lines("".join(cell["source"])))
            chapters[source.stem] = Chapter(source.stem, cells, lines)
    return chapters


def table_lines(markdown: str) -> list[tuple[str, ...]]:
    """The lines of a table in markdown, its head first."""
    lines = [line.strip("| ").split(" | ") for line in markdown.splitlines() if line.startswith("| ")]
    return [tuple(cell.strip() for cell in line) for line in lines]


def _asked(source: str) -> str:
    match = CHECK.search(source)
    return match["name"] if match else ""


def read_submissions(folder: Path, chapters: Mapping[str, Chapter]) -> list[Submission]:
    """All notebooks in a folder and its subfolders, in the order of their names.

    One that cannot be read, or is of no chapter, says so in `problem`. Raises `PedsegInputError` for a folder without
    notebooks.
    """
    files = sorted(file for file in folder.rglob("*.ipynb") if ".ipynb_checkpoints" not in file.parts)
    if not files:
        remedy = "Name the folder that holds what the class handed in (*.ipynb; subfolders are read, too)."
        raise input_error("E-NO-NOTEBOOKS", folder, "there is no notebook in it.", remedy)
    return [_submission(file, file.relative_to(folder).with_suffix("").as_posix(), chapters) for file in files]


def _submission(file: Path, name: str, chapters: Mapping[str, Chapter]) -> Submission:
    try:
        if file.is_symlink() or file.stat().st_size > MAX_FILE_MIB << 20:
            return Submission(name, None, (), f"It is a link, or larger than {MAX_FILE_MIB} MiB.")
        cells = tuple(_code_cells(json.loads(file.read_text(encoding="utf-8"))))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return Submission(name, None, (), "It is not a notebook: the file is empty, cut off, or of another kind.")
    chapter = _chapter_of(file.name, cells, chapters)
    return Submission(name, chapter, cells, "" if chapter else "It is none of the chapters that have exercises.")


def _code_cells(notebook: Any) -> Iterator[tuple[str, str]]:
    """Ids and code of a notebook's cells; of nbformat 4 only, of which the others are converted by any Jupyter."""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            source = cell["source"]
            yield str(cell.get("id", "")), source if isinstance(source, str) else "".join(source)


def _chapter_of(file_name: str, cells: tuple[tuple[str, str], ...], chapters: Mapping[str, Chapter]) -> Chapter | None:
    """The chapter that shares most with a notebook: ids or exercises of cells; else the one of its number."""
    marks = {mark for cell_id, code in cells for mark in (cell_id, *CHECK.findall(code))}
    votes = Counter(
        {
            name: len(marks & {mark for cell in chapter.cells for mark in (cell.id, cell.exercise)} - {""})
            for name, chapter in chapters.items()
        }
    )
    if votes and votes.most_common(1)[0][1]:
        return chapters[votes.most_common(1)[0][0]]
    number = re.search(r"(?<!\d)(\d\d)_", file_name)
    return next((c for c in chapters.values() if number and c.name.startswith(number[0])), None)
