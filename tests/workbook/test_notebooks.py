"""The notebooks: built from their sources, thin, readable, and alive from top to bottom for whoever runs them."""

from __future__ import annotations

import ast
import inspect
import os
import re
import runpy
from pathlib import Path
from statistics import median

import nbformat
import pytest

from pedseg.cli import READING_ROOM
from pedseg.workbook import lesson
from pedseg.workbook.build_notebooks import build_notebooks
from pedseg.workbook.function_checks import FunctionExercise
from pedseg.workbook.quizzes import quiz_cell, read_quiz

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks"
NAMES = sorted(source.stem for source in (FOLDER / "source").glob("[0-9][0-9]_*.py"))
WITH_EXERCISES = [name for name in NAMES if (FOLDER / "exercises" / f"{name}.py").is_file()]


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> dict[str, Path]:
    """Folders of freshly built notebooks: as the student gets them, and solved."""
    folders = {kind: tmp_path_factory.mktemp(kind) for kind in ("student", "solved")}
    for kind, folder in folders.items():
        build_notebooks(FOLDER / "source", folder, solved=kind == "solved")
    return folders


@pytest.fixture(scope="session")
def runs(tmp_path_factory) -> Path:
    """One folder for what all notebooks make, so that the data sets are simulated once."""
    return tmp_path_factory.mktemp("runs")


def read(name: str):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code(name: str, *, exercises: bool = True) -> list[str]:
    cells = [cell for cell in read(name).cells if cell.cell_type == "code"]
    return [cell.source for cell in cells if exercises or "exercise" not in cell.metadata.get("tags", ())]


def prose(name: str) -> list[str]:
    return [cell.source for cell in read(name).cells if cell.cell_type == "markdown"]


def test_the_committed_notebooks_are_those_of_the_sources(built):
    fresh = {file.name: file.read_bytes() for file in built["student"].iterdir()}
    assert {file.name: file.read_bytes() for file in FOLDER.glob("*.ipynb")} == fresh


def test_a_second_build_gives_the_same_bytes(built, tmp_path):
    for file in build_notebooks(FOLDER / "source", tmp_path):
        assert file.read_bytes() == (built["student"] / file.name).read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_file_is_valid_and_bare(name):
    notebook = read(name)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)
    assert "widgets" not in notebook.metadata
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)


@pytest.mark.parametrize("name", NAMES)
def test_the_notebook_is_thin(name):
    cells = code(name)
    lengths = [len([line for line in cell.splitlines() if line.strip()]) for cell in cells]
    assert len(cells) <= 20 and max(lengths) <= 15 and median(lengths) <= 8  # stubs with their descriptions included
    assert sum(cell.count("def ") for cell in code(name, exercises=False)) <= 2
    assert max(len(line) for cell in cells for line in cell.splitlines()) <= 96
    assert len(prose(name)) >= len(cells) * 0.6


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_that_is_made_is_shown(name):
    # A notebook shows the value of a cell's last line; a figure above it would be lost.
    for cell in code(name):
        lines = ast.parse(cell).body
        lost = [line for line in lines[:-1] if ast.unparse(line).startswith(("figures.show(", "scores.shown("))]
        assert lost == [], cell


@pytest.mark.parametrize("name", NAMES)
def test_no_plotting_no_paths_no_installing(name):
    banned = {"matplotlib", "os", "pathlib", "sys", "torch", "subprocess"}
    for cell in code(name, exercises=False):  # a learner writes with torch
        for node in ast.walk(ast.parse(cell)):
            if isinstance(node, ast.Import | ast.ImportFrom):
                modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
                assert not {module.partition(".")[0] for module in modules} & banned
        assert not re.search(r"^[%!]", cell, re.MULTILINE)


@pytest.mark.parametrize("name", NAMES)
def test_the_title_cell_says_how_long_for_whom_and_what_for(name):
    texts = prose(name)
    assert re.match(rf"# {name[:2]} · .+\n\n\*\d+ minutes · .+\*\n\n\*\*You will be able to\*\*\n- ", texts[0])
    headings = [line for text in texts for line in text.splitlines() if re.match(r"#+ ", line)]
    assert [line for line in headings if line.startswith("# ")] == headings[:1]
    assert not any(line.startswith("###") for line in headings)


@pytest.mark.parametrize("name", NAMES)
def test_it_begins_with_the_set_up_and_ends_with_the_bill(name):
    cells = code(name)
    assert "lesson.setup()" in cells[0] and cells[-1] == "lesson.finish()"


@pytest.mark.parametrize("name", WITH_EXERCISES)
def test_there_are_exercises_and_each_is_known(name):
    asked = re.findall(r'lesson\.check\(\s*"([^"]+)"', "\n".join(code(name)))
    assert asked and set(asked) <= set(lesson.exercises())


def test_every_exercise_is_asked():
    asked = {q for name in NAMES for q in re.findall(r'lesson\.check\(\s*"([^"]+)"', "\n".join(code(name)))}
    assert asked == set(lesson.exercises())


def test_every_file_of_exercises_belongs_to_a_chapter_that_asks_them():
    for file in (FOLDER / "exercises").iterdir():
        if file.suffix == ".py":
            asked = set(re.findall(r'lesson\.check\(\s*"([^"]+)"', "\n".join(code(file.stem))))
            assert set(runpy.run_path(str(file))["EXERCISES"]) <= asked


@pytest.mark.parametrize("name", NAMES)
def test_a_function_comes_with_its_description_and_a_stretch_goal(name):
    asked = {q: cell for cell in code(name) for q in re.findall(r'lesson\.check\(\s*"([^"]+)"', cell)}
    functions = {q: cell for q, cell in asked.items() if isinstance(lesson.exercises()[q], FunctionExercise)}
    defined = [
        node for cell in functions.values() for node in ast.parse(cell).body if isinstance(node, ast.FunctionDef)
    ]
    assert [function.name for function in defined if ast.get_docstring(function)] == list(functions)
    for function in defined:  # the reference has the same signature, and the body is open
        reference = lesson.exercises()[function.name].reference
        assert [a.arg for a in function.args.args] == list(inspect.signature(reference).parameters)
        assert ast.unparse(function.body[1:]) == "..."
    assert "\n".join(prose(name)).count("*Stretch goal:*") == len(functions)


@pytest.mark.parametrize("name", NAMES)
def test_a_solution_is_short_enough_to_be_written(name, built):
    notebook = nbformat.read(built["solved"] / f"{name}.ipynb", as_version=4)
    for cell in (c for c in notebook.cells if c.cell_type == "code" and "exercise" in c.metadata.get("tags", ())):
        assert len([line for line in cell.source.splitlines() if line.strip()]) <= 25


@pytest.mark.parametrize("name", NAMES)
def test_each_chapter_has_a_quiz_that_goes_back_to_earlier_ones(name):
    questions = read_quiz(FOLDER / "quizzes" / f"{name}.toml")
    back = [question.chapter for question in questions if question.chapter is not None]
    assert len(questions) == 5 and all(chapter < int(name[:2]) for chapter in back)
    assert back or name.startswith(("00", "01"))
    (cell,) = (cell for cell in read(name).cells if "quiz" in cell.metadata.get("tags", ()))
    assert cell.source == quiz_cell(questions)


@pytest.mark.parametrize("name", NAMES)
def test_the_last_cell_leads_to_the_neighbors_and_the_glossary(name):
    place, last = NAMES.index(name), read(name).cells[-1].source
    neighbors = NAMES[max(place - 1, 0) : place] + NAMES[place + 1 : place + 2]
    assert re.findall(r"\]\(([^)]+)\.ipynb\)", last) == neighbors
    assert "(../docs/glossary.md)" in last and (FOLDER / "../docs/glossary.md").is_file()


@pytest.mark.parametrize("name", NAMES)
def test_links_between_notebooks_lead_somewhere(name):
    for target in re.findall(r"\]\(([^)]+\.ipynb)\)", "\n".join(prose(name))):
        assert (FOLDER / target).is_file()


def test_the_reading_room_shows_no_code():
    cells = [cell for cell in read(READING_ROOM.stem).cells if cell.cell_type == "code"]
    assert all(cell.metadata["jupyter"]["source_hidden"] for cell in cells)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["student", "solved"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning")
def test_it_runs_from_top_to_bottom(name, kind, built, runs, monkeypatch):
    """Solved: strictly, every answer must be right. As a student gets it: open answers must not stop "Run All"."""
    from nbclient import NotebookClient

    monkeypatch.setenv("PEDSEG_BUDGET", "test")
    monkeypatch.setenv("PEDSEG_RUNS", str(runs))
    monkeypatch.setenv("PEDSEG_STRICT", "1" if kind == "solved" else "0")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(built[kind] / f"{name}.ipynb", as_version=4)
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}
    ).execute()
    outputs = [out for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs]
    said = "".join(out.text for out in outputs if out.output_type == "stream" and out.name == "stdout")
    exercises_here = "\n".join(code(name)).count("lesson.check(")
    assert said.count("Still open") == (exercises_here if kind == "student" else 0)
    assert "Not quite" not in said and "Hint" not in said
    assert "Kernel → Shut Down" in said
    pictures = [out for out in outputs if "image/png" in out.get("data", {})]
    assert all('<img alt="' in out.data["text/html"] for out in pictures)
    assert all(out.metadata["image/png"]["alt"] for out in pictures) and (pictures or name.startswith("04"))
