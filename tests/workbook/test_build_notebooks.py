"""One source, woven one way: the student's and the solved notebook, the same bytes each time."""

from __future__ import annotations

import json

import nbformat
import pytest

from pedseg.errors import PedsegInputError
from pedseg.workbook.build_notebooks import build_notebook, build_notebooks, chapter_links, read_chapter

SOURCE = """# %% [markdown]
# # A title
#
# *5 minutes*

# %%
patients = 3

# %% exercise
# How many kidneys do three children have?
kidneys = 2 * patients  # answer
kidneys = kidneys - 0  # answer
print(kidneys)

# %% [markdown] answer
# Two each.

# %% hidden slide
print("room")
"""


def cells(**options) -> list[dict]:
    return json.loads(build_notebook("05_test", SOURCE, **options))["cells"]


def text(cell: dict) -> str:
    return "".join(cell["source"])


def test_the_notebook_is_valid_and_has_no_outputs():
    notebook = nbformat.reads(build_notebook("05_test", SOURCE), as_version=4)
    nbformat.validate(notebook)
    assert [cell.cell_type for cell in notebook.cells] == ["markdown", "code", "code", "markdown", "code"]
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}


def test_prose_loses_its_comment_signs():
    assert text(cells()[0]) == "# A title\n\n*5 minutes*"


def test_the_student_finds_dots_and_the_solved_notebook_the_answer():
    assert text(cells()[2]) == "# How many kidneys do three children have?\nkidneys = ...\nprint(kidneys)"
    assert "kidneys = 2 * patients\nkidneys = kidneys - 0\nprint" in text(cells(solved=True)[2])


FUNCTION = """# %% exercise
import numpy as np


def half(x):
    \"\"\"Half of a number.\"\"\"
    if not x:  # answer
        return 0  # answer
    return x / 2  # answer


half = lesson.check("half", half)
y = half(3)  # answer

# %% [markdown] answer
# Divide.

# %%
lesson.finish()
"""


def test_the_student_finds_dots_in_the_body_of_a_function():
    student, solved = (
        "".join(json.loads(build_notebook("05_test", FUNCTION, solved=solved))["cells"][0]["source"])
        for solved in (False, True)
    )
    before, after = (
        'import numpy as np\n\n\ndef half(x):\n    """Half of a number."""\n',
        '\n\n\nhalf = lesson.check("half", half)\n',
    )
    assert student == f"{before}    ...{after}y = ..."
    assert solved == f"{before}    if not x:\n        return 0\n    return x / 2{after}y = half(3)"


def test_the_quiz_comes_before_the_last_cell_and_the_links_after_it():
    notebook = json.loads(build_notebook("05_test", FUNCTION, quiz="## Quiz", links="[a](b.ipynb)"))
    assert ["".join(cell["source"]) for cell in notebook["cells"][2:]] == ["## Quiz", "lesson.finish()", "[a](b.ipynb)"]


def test_links_lead_to_the_chapters_before_and_after():
    links = chapter_links({"00_a": "# %% [markdown]\n# # 00 · A\n", "01_b": "# # 01 · B", "02_c": "no title"})
    assert links == {
        "00_a": "[Glossary](../docs/glossary.md) | [01 · B](01_b.ipynb) →",
        "01_b": "← [00 · A](00_a.ipynb) | [Glossary](../docs/glossary.md) | [02_c](02_c.ipynb) →",
        "02_c": "← [01 · B](01_b.ipynb) | [Glossary](../docs/glossary.md)",
    }


def test_a_chapter_that_is_named_in_prose_becomes_its_number_with_a_link(tmp_path):
    (tmp_path / "07_later.py").touch()
    source = tmp_path / "05_test.py"
    source.write_text("# %% [markdown]\n# See chapter [[later]].\n# %%\nlater = 0\na = [[later]]\n")
    named = read_chapter(source).splitlines()
    assert named[1] == "# See chapter [07](07_later.ipynb)." and named[-1] == "a = [[later]]"
    source.write_text("# %% [markdown]\n# See chapter [[latter]].\n")
    with pytest.raises(PedsegInputError, match="no chapter 'latter'"):
        read_chapter(source)


def test_the_answer_is_folded_beneath_and_can_be_left_out():
    folded = text(cells()[3])
    assert folded.startswith("<details><summary>Answer</summary>\n\n```python\nkidneys = 2 * patients\n")
    assert folded.endswith("Two each.\n\n</details>")
    assert len(cells(solutions=False)) == 4
    assert "2 * patients" not in build_notebook("05_test", SOURCE, solutions=False)


def test_what_is_said_about_answers_goes_with_them():
    source = SOURCE + "\n# %% [markdown] solutions\n# Open **Answer**.\n"
    assert "Open **Answer**." in build_notebook("05_test", source)
    assert "Open **Answer**." not in build_notebook("05_test", source, solutions=False)


def test_no_chapter_speaks_of_answers_that_are_left_out(root):
    for source in (root / "notebooks" / "source").glob("*.py"):
        assert "**Answer**" not in build_notebook(source.stem, read_chapter(source), solutions=False), source.stem


def test_hidden_input_and_tags():
    assert cells()[4]["metadata"] == {"tags": ["hidden", "slide"], "jupyter": {"source_hidden": True}}


def test_ids_follow_the_content_and_nothing_else():
    ids = [cell["id"] for cell in cells()]
    assert len(set(ids)) == 5
    assert ids == [cell["id"] for cell in cells()]
    other = [cell["id"] for cell in json.loads(build_notebook("05_test", SOURCE.replace("= 3", "= 4")))["cells"]]
    assert [a == b for a, b in zip(ids, other, strict=True)] == [True, False, True, True, True]


@pytest.mark.parametrize("edit", ["an answer", "a cell of one's own", "damage"])
def test_a_notebook_that_somebody_worked_in_is_not_replaced(edit, tmp_path):
    """What was run alone, or was built from an earlier source, is."""
    source = tmp_path / "source" / "05_test.py"
    source.parent.mkdir()
    (source.parent / "06_other.py").write_text(SOURCE)
    source.write_text(SOURCE)
    _, other = build_notebooks(source.parent, tmp_path)
    notebook = nbformat.read(other, as_version=4)
    notebook.cells[1].execution_count = 1
    nbformat.write(notebook, other)
    source.write_text(SOURCE.replace("patients = 3", "patients = 4"))
    first, _ = build_notebooks(source.parent, tmp_path)
    assert "patients = 4" in first.read_text() and '"execution_count": 1' not in other.read_text()
    notebook = nbformat.read(other, as_version=4)
    if edit == "an answer":
        notebook.cells[2].source = notebook.cells[2].source.replace("...", "6")
    notebook.cells += [nbformat.v4.new_code_cell("1")] if edit == "a cell of one's own" else []
    nbformat.write(notebook, other)
    if edit == "damage":
        other.write_text(other.read_text()[:-30])
    before = other.read_bytes()
    source.write_text(SOURCE)
    with pytest.raises(PedsegInputError, match="E-EDITED"):
        build_notebooks(source.parent, tmp_path)
    assert other.read_bytes() == before and "patients = 4" in first.read_text()


def test_two_builds_give_the_same_bytes(tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "05_test.py").write_text(SOURCE)
    first = [file.read_bytes() for file in build_notebooks(tmp_path / "source", tmp_path / "a")]
    assert first == [file.read_bytes() for file in build_notebooks(tmp_path / "source", tmp_path / "b")]
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["05_test.ipynb"]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (SOURCE.replace("# %% [markdown] answer\n# Two each.\n", ""), "no partner"),
        (SOURCE.replace("# %% exercise", "# %%"), "no partner"),
        (
            SOURCE.replace("# %% exercise", "# %%").replace("# %% [markdown] answer", "# %% [markdown]"),
            "holds an answer",
        ),
        (SOURCE.replace("  # answer", ""), "nothing to fill in"),
        (SOURCE.replace("kidneys = 2 * patients", "print(2)"), "fills no name"),
        (SOURCE.replace("# *5 minutes*", "five minutes"), "without a comment sign"),
        (SOURCE.replace("# %% hidden slide", "# %%hidden"), "not understood"),
        (SOURCE.replace("patients = 3\n", ""), "empty cell"),
        ("import os\n" + SOURCE, "before the first cell"),
    ],
)
def test_a_source_that_breaks_the_rules_is_refused(broken, said):
    with pytest.raises(PedsegInputError, match=said):
        build_notebook("05_test", broken)


def test_a_folder_without_sources_is_refused(tmp_path):
    with pytest.raises(PedsegInputError, match="no source"):
        build_notebooks(tmp_path, tmp_path / "out")
