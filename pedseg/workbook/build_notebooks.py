"""Build Jupyter notebooks without outputs from Python sources in percent format, reproducible to the byte.

Header lines cut a source `notebooks/source/NN_title.py` into cells:

    # %% [markdown]            prose; every line starts with `# `
    # %%                       code
    # %% exercise              code with a line to fill in
    # %% [markdown] answer     the explanation below an exercise; folded
    # %% [markdown] solutions  prose about the folded answers; left out where they are
    # %% hidden                code whose input is collapsed (the reading room)
    # %% slide                 code whose output is on the slide of the lecture
    # %% [markdown] lecture    title, sentence and question of a slide; in no notebook (`slides.py`)

Further words in a header become tags; what is tagged `rubric` stands on the page of feedback, too. In prose,
`[[growing_bodies]]` is the number of that chapter, with a link to it: nothing else knows a chapter by its number. The
solution of an exercise is written once, marked at the end of its lines:

    fat_hu = -100  # answer                 ->  fat_hu = ...
    mean = mean + share * weights  # answer ->  mean = ...   (marked lines right below are left out)

    return shared / total  # answer        ->  ...          (a function's body: marked lines that end in a `return`)

The student's notebook shows `...`, the solved one the answer. The folded cell below repeats the marked lines, so that
exercise and solution cannot diverge. The quiz of a chapter (`quizzes`) comes before its last cell; behind that come
links to the chapters before and after it and to the glossary.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pedseg.errors import InputProblem, input_error, raise_problems
from pedseg.files import write_atomically
from pedseg.workbook.quizzes import quiz_cell, read_quiz

SOURCES = "[0-9][0-9]_*.py"
CHAPTER = re.compile(r"\[\[(\w+)\]\]")
HEADER = re.compile(r"# %%(?P<markdown> \[markdown\])?(?P<tags>(?: [\w-]+)*)\s*")
TITLE = re.compile(r"^# # (.+)$", re.MULTILINE)
ANSWER = re.compile(r"^(?P<code>.*?)\s*# answer$", re.MULTILINE)
ANSWERS = re.compile(r"(?:^.*# answer$\n?)+", re.MULTILINE)  # marked lines that follow each other
BODY = re.compile(r"(?P<indent> +)(?:.*\n)*? +return .*# answer\n?")
ASSIGNMENT = re.compile(r"(?P<target>\s*[\w, ]+?)\s*[-+*/]?=(?!=)")
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


@dataclass(frozen=True)
class Cell:
    """A cell of a notebook: prose or code, the tags in its header, its text."""

    markdown: bool
    tags: tuple[str, ...]
    text: str


def build_notebooks(
    source_folder: Path, out_folder: Path, *, solved: bool = False, solutions: bool = True
) -> list[Path]:
    """Write one notebook for every source; a second call writes the same bytes.

    `solved` fills in the answers (for automatic runs); `solutions=False` leaves out the folded answers (for a class).
    Raises `PedsegInputError` for a source that breaks the rules above, and where a notebook that lies there was edited.
    """
    sources = sorted(Path(source_folder).glob(SOURCES))
    if not sources:
        raise _source_error(source_folder, "there is no source NN_title.py.", "Name the folder that holds the sources.")
    texts = {source.stem: read_chapter(source) for source in sources}
    links, notebooks = chapter_links(texts), [Path(out_folder) / f"{source.stem}.ipynb" for source in sources]
    _refuse_edited(notebooks)
    for source, notebook in zip(sources, notebooks, strict=True):
        quiz_file = source_folder.parent / "quizzes" / f"{source.stem}.toml"
        quiz = quiz_cell(read_quiz(quiz_file), solutions=solutions) if quiz_file.is_file() else ""
        text = build_notebook(
            source.stem, texts[source.stem], solved=solved, solutions=solutions, quiz=quiz, links=links[source.stem]
        )
        write_atomically(notebook, text.encode())
    return notebooks


def _refuse_edited(notebooks: Iterable[Path]) -> None:
    """Refuse to write over answers: a cell that was built has an id that follows from its place and its text."""
    edited = []
    for file in filter(Path.exists, notebooks):
        try:
            cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
            built = all(cell["id"] == _id(file.stem, i, "".join(cell["source"])) for i, cell in enumerate(cells))
        except (ValueError, KeyError, TypeError):
            built = False
        if not built:
            remedy = "Move or rename it, or build into another folder (--out)."
            edited.append(InputProblem("E-EDITED", str(file), "somebody has worked in it: it is not replaced.", remedy))
    raise_problems(edited)


def read_chapter(source: Path) -> str:
    """The source of a chapter; in its prose, `[[growing_bodies]]` has become `[02](02_growing_bodies.ipynb)`.

    Raises `PedsegInputError` for a name that no source in the same folder has.
    """
    names = {file.stem[3:]: file.stem for file in source.parent.glob(SOURCES)}

    def link(reference: re.Match[str]) -> str:
        if reference[1] not in names:
            raise _source_error(source.stem, f"there is no chapter {reference[1]!r}.", f"Name one of {[*names]}.")
        return f"[{names[reference[1]][:2]}]({names[reference[1]]}.ipynb)"

    text = source.read_text(encoding="utf-8")
    return re.sub(r"^#.*", lambda line: CHAPTER.sub(link, line[0]), text, flags=re.MULTILINE)


def chapter_links(texts: Mapping[str, str]) -> dict[str, str]:
    """For each chapter (name -> source), links to the chapter before it, the glossary and the chapter after it."""
    names = list(texts)
    titles = {name: heading[1] if (heading := TITLE.search(texts[name])) else name for name in names}
    links = {}
    for before, name, after in zip(["", *names], names, [*names[1:], ""], strict=False):
        parts = [f"← [{titles[before]}]({before}.ipynb)"] if before else []
        parts.append("[Glossary](../docs/glossary.md)")
        parts += [f"[{titles[after]}]({after}.ipynb) →"] if after else []
        links[name] = " | ".join(parts)
    return links


def build_notebook(
    name: str,
    source: str,
    *,
    solved: bool = False,
    solutions: bool = True,
    quiz: str = "",
    links: str = "",
    lecture: bool = False,
) -> str:
    """The notebook of one source, as the text of its file; `quiz` and `links` are markdown for its end.

    `lecture` keeps the cells that are for slides only.
    """
    cells = _prepare_exercises(name, _split_cells(name, source), solved=solved, solutions=solutions)
    cells = [cell for cell in cells if lecture or "lecture" not in cell.tags]
    cells[-1:-1] = [Cell(True, ("quiz",), quiz)] if quiz else []
    cells += [Cell(True, ("links",), links)] if links else []
    notebook = {
        "cells": [_as_json(name, index, cell) for index, cell in enumerate(cells)],
        "metadata": METADATA,
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _source_error(name: str | Path, problem: str, remedy: str) -> Exception:
    return input_error("E-NOTEBOOK", name, problem, remedy)


def _split_cells(name: str, source: str) -> list[Cell]:
    """Cut a source into cells; markdown loses its comment signs, empty lines around a cell are dropped."""
    before, *parts = re.split(r"^(# %%.*)$", source, flags=re.MULTILINE)
    if before.strip():
        raise _source_error(name, "there is text before the first cell.", "Start the source with `# %% [markdown]`.")
    return [_cell(name, header, text.strip("\n")) for header, text in zip(parts[::2], parts[1::2], strict=True)]


def _cell(name: str, header_line: str, text: str) -> Cell:
    header = HEADER.fullmatch(header_line)
    if not header:
        remedy = "Write `# %% [markdown] tag` or `# %% tag`."
        raise _source_error(name, f"the header {header_line!r} is not understood.", remedy)
    if header["markdown"]:
        if bare := [line for line in text.splitlines() if line.strip() and not line.startswith("#")]:
            raise _source_error(name, f"prose without a comment sign: {bare[0]!r}.", "Start the line with `# `.")
        text = "\n".join(line[1:].removeprefix(" ").rstrip() for line in text.splitlines())
    if not text.strip():
        raise _source_error(name, "there is an empty cell.", "Fill it or remove its header.")
    return Cell(bool(header["markdown"]), tuple(header["tags"].split()), text)


def _prepare_exercises(name: str, cells: list[Cell], *, solved: bool, solutions: bool) -> list[Cell]:
    """Blank out or solve the exercises and fold the answers below them."""
    prepared = []
    for index, (cell, following) in enumerate(zip(cells, [*cells[1:], Cell(True, (), "")], strict=True)):
        if ("exercise" in cell.tags) != ("answer" in following.tags):
            remedy = "Let `[markdown] answer` follow each `exercise`."
            raise _source_error(name, f"cell {index} has no partner.", remedy)
        if "exercise" in cell.tags:
            text = ANSWER.sub(r"\g<code>", cell.text) if solved else _blank_answers(name, cell.text)
            prepared.append(replace(cell, text=text))
        elif "answer" in cell.tags:
            if solutions:
                code = "\n".join(ANSWER.findall(cells[index - 1].text))
                folded = f"<details><summary>Answer</summary>\n\n```python\n{code}\n```\n\n{cell.text}\n\n</details>"
                prepared.append(replace(cell, text=folded))
        elif "solutions" in cell.tags and not solutions:
            continue
        elif ANSWER.search(cell.text):
            raise _source_error(name, f"cell {index} holds an answer.", "Tag its header with `exercise`.")
        else:
            prepared.append(cell)
    return prepared


def _blank_answers(name: str, text: str) -> str:
    """The exercise as the student gets it: `name = ...`, or a function's `...`, in place of lines that are marked."""

    def blank(answer: re.Match[str]) -> str:
        if body := BODY.fullmatch(answer[0]):
            return f"{body['indent']}...\n"
        assignment = ASSIGNMENT.match(answer[0])
        if not assignment:
            line = answer[0].splitlines()[0]
            raise _source_error(
                name, f"the answer {line!r} fills no name.", "Let it begin with `name = `, or end with `return`."
            )
        return f"{assignment['target']} = ...\n"

    blanked, count = ANSWERS.subn(blank, text)
    if not count:
        raise _source_error(name, "an exercise has nothing to fill in.", "End its solution line with `# answer`.")
    return blanked.rstrip("\n")


def _as_json(name: str, index: int, cell: Cell) -> dict:
    """A cell in the notebook format, with an id that depends on nothing but its place and content."""
    metadata: dict = {"tags": list(cell.tags)} if cell.tags else {}
    if "hidden" in cell.tags:
        metadata["jupyter"] = {"source_hidden": True}
    common = {
        "id": _id(name, index, cell.text),
        "metadata": metadata,
        "source": cell.text.splitlines(keepends=True),
    }
    if cell.markdown:
        return {"cell_type": "markdown", **common}
    return {"cell_type": "code", "execution_count": None, "outputs": [], **common}


def _id(name: str, index: int, text: str) -> str:
    return hashlib.sha256(f"{name}/{index}/{text}".encode()).hexdigest()[:8]
