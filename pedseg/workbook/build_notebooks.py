"""Notebooks come from plain Python files: one source, woven one way, the same bytes every time.

A source `notebooks/source/NN_title.py` is cut into cells by header lines:

    # %% [markdown]            prose; every line starts with `# `
    # %%                       code
    # %% exercise              code with a line to fill in
    # %% [markdown] answer     what to say once the reader has tried; folded away
    # %% hidden                code whose input stays closed (the reading room)

Further words in a header become tags (`slide`). In an exercise the solution is written once,
marked at the end of its lines:

    fat_hu = -100  # answer                ->  fat_hu = ...
    mean = mean + share * weights  # answer -> mean = ...   (any further marked line is left out)

The student's notebook shows `...`, the solved one the answer; the folded cell beneath repeats the
marked lines, so that question and answer cannot drift apart.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from pedseg.errors import input_error
from pedseg.files import write_atomically

HEADER = re.compile(r"^# %%(?P<markdown> \[markdown\])?(?P<words>(?: [\w-]+)*)\s*$")
ANSWER = re.compile(r"^(?P<code>.*?)\s*# answer$")
ASSIGNMENT = re.compile(r"^(?P<left>\s*[\w, ]+?)\s*[-+*/]?=(?!=)")
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


@dataclass(frozen=True)
class Cell:
    """A piece of a source: prose or code, the words of its header, its lines."""

    markdown: bool
    words: tuple[str, ...]
    lines: tuple[str, ...]


def build_notebooks(
    source_folder: Path, out_folder: Path, *, solved: bool = False, solutions: bool = True
) -> list[Path]:
    """Write one notebook for every source; a second call writes the same bytes.

    `solved` fills the answers in (for the automatic run); `solutions=False` leaves the folded
    answers out (for a class). Raises `PedsegInputError` for a source that breaks the rules above.
    """
    written = []
    for source in sorted(Path(source_folder).glob("[0-9][0-9]_*.py")):
        notebook = build_notebook(source.stem, source.read_text(encoding="utf-8"), solved=solved, solutions=solutions)
        file = Path(out_folder) / f"{source.stem}.ipynb"
        write_atomically(file, notebook.encode())
        written.append(file)
    if not written:
        raise input_error(
            "E-WEAVE", source_folder, "there is no source NN_title.py.", "Name the folder that holds the sources."
        )
    return written


def build_notebook(name: str, source: str, *, solved: bool = False, solutions: bool = True) -> str:
    """The notebook of one source, as the text of its file."""
    cells = finish_cells(parse(name, source), name, solved=solved, solutions=solutions)
    notebook = {
        "cells": [_as_json(name, index, cell) for index, cell in enumerate(cells)],
        "metadata": METADATA,
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def parse(name: str, source: str) -> list[Cell]:
    """Cut a source into cells; markdown loses its comment signs, empty rims are dropped."""
    cells: list[Cell] = []
    header: re.Match[str] | None = None
    lines: list[str] = []
    for line in [*source.splitlines(), "# %%"]:
        if not line.startswith("# %%"):
            lines.append(line)
            continue
        if header:
            cells.append(_cell(name, header, lines))
        elif "".join(lines).strip():
            raise input_error(
                "E-WEAVE", name, "there is text before the first cell.", "Start the source with `# %% [markdown]`."
            )
        header, lines = HEADER.match(line), []
        if not header:
            raise input_error(
                "E-WEAVE",
                name,
                f"the header {line!r} is not understood.",
                "Write `# %% [markdown] word` or `# %% word`.",
            )
    return cells


def _cell(name: str, header: re.Match[str], lines: list[str]) -> Cell:
    """One cell from its header and its raw lines."""
    text = "\n".join(lines).strip("\n").splitlines()
    if header["markdown"]:
        bare = [line for line in text if line.strip() and not line.startswith("#")]
        if bare:
            raise input_error(
                "E-WEAVE", name, f"prose without a comment sign: {bare[0]!r}.", "Start the line with `# `."
            )
        text = [line[1:].removeprefix(" ").rstrip() for line in text]
    if not "".join(text).strip():
        raise input_error("E-WEAVE", name, "there is an empty cell.", "Fill it or take its header away.")
    return Cell(bool(header["markdown"]), tuple(header["words"].split()), tuple(text))


def finish_cells(cells: list[Cell], name: str, *, solved: bool, solutions: bool) -> list[Cell]:
    """Open or fill the exercises and fold their answers beneath them."""
    finished = []
    for index, cell in enumerate(cells):
        following = cells[index + 1].words if index + 1 < len(cells) else ()
        if ("exercise" in cell.words) != ("answer" in following):
            raise input_error(
                "E-WEAVE", name, f"cell {index} has no partner.", "Let `[markdown] answer` follow each `exercise`."
            )
        if "exercise" in cell.words:
            finished.append(Cell(False, cell.words, fill(cell.lines) if solved else blank(name, cell.lines)))
        elif "answer" in cell.words:
            if solutions:
                finished.append(fold(cell, answers(cells[index - 1].lines)))
        elif answers(cell.lines):
            raise input_error(
                "E-WEAVE", name, f"cell {index} holds an answer.", "Mark its header with the word `exercise`."
            )
        else:
            finished.append(cell)
    return finished


def answers(lines: tuple[str, ...]) -> list[str]:
    """The marked lines of an exercise, without their mark."""
    return [found["code"] for line in lines if (found := ANSWER.match(line))]


def fill(lines: tuple[str, ...]) -> tuple[str, ...]:
    """The exercise with its answers in place."""
    return tuple(found["code"] if (found := ANSWER.match(line)) else line for line in lines)


def blank(name: str, lines: tuple[str, ...]) -> tuple[str, ...]:
    """The exercise as the student gets it: `name = ...` for the first marked line of each run."""
    blanked: list[str] = []
    in_answer = False
    for line in lines:
        found = ANSWER.match(line)
        if found and not in_answer:
            assignment = ASSIGNMENT.match(found["code"])
            if not assignment:
                raise input_error(
                    "E-WEAVE",
                    name,
                    f"the answer {found['code']!r} fills no name.",
                    "Let an answer begin with `name = `.",
                )
            blanked.append(f"{assignment['left']} = ...")
        elif not found:
            blanked.append(line)
        in_answer = bool(found)
    if len(blanked) == len(lines) and not any(ANSWER.match(line) for line in lines):
        raise input_error(
            "E-WEAVE", name, "an exercise has nothing to fill in.", "End its solution line with `# answer`."
        )
    return tuple(blanked)


def fold(cell: Cell, code: list[str]) -> Cell:
    """A markdown cell that opens on a click: the answer's lines, then what there is to say."""
    lines = ("<details><summary>Answer</summary>", "", "```python", *code, "```", "", *cell.lines, "", "</details>")
    return Cell(True, cell.words, lines)


def _as_json(name: str, index: int, cell: Cell) -> dict:
    """A cell as notebook files hold it, with an id that depends on nothing but its content."""
    text = "\n".join(cell.lines)
    metadata: dict = {"tags": list(cell.words)} if cell.words else {}
    if "hidden" in cell.words:
        metadata["jupyter"] = {"source_hidden": True}
    out: dict = {"cell_type": "markdown" if cell.markdown else "code"}
    if not cell.markdown:
        out["execution_count"] = None
    out["id"] = hashlib.sha256(f"{name}/{index}/{text}".encode()).hexdigest()[:8]
    out["metadata"] = metadata
    if not cell.markdown:
        out["outputs"] = []
    out["source"] = text.splitlines(keepends=True)
    return out
