"""Quizzes: read strictly, the same bytes each time, and usable where nothing runs."""

from __future__ import annotations

import re

import pytest

from pedseg.errors import PedsegInputError
from pedseg.workbook.quizzes import Question, quiz_cell, read_quiz

QUIZ = """[[questions]]
text = "A voxel has -100 HU. What is it?"
right = ["fat", "Fat lies below water."]
wrong = [["`x < 0` & air", "Air is -1000."], ["bone", "Bone has 200 and more."]]
chapter = "reading_a_childs_ct"
"""


def quiz(tmp_path, text: str = QUIZ) -> list[Question]:
    (tmp_path / "01_reading_a_childs_ct.toml").touch()
    (tmp_path / "02_next.toml").write_text(text, encoding="utf-8")
    return read_quiz(tmp_path / "02_next.toml")


def test_each_answer_opens_and_gives_its_reason(tmp_path):
    cell = quiz_cell(quiz(tmp_path))
    assert (
        cell.startswith("## Quiz\n\n")
        and "\n\n---\n\n**1.** A voxel has -100 HU. What is it? *(From chapter 01.)*" in cell
    )
    answers = dict(re.findall(r"<details><summary>[ABC]. (.+)</summary>\n\n(.+)\n\n</details>", cell))
    assert answers == {
        "fat": "**Right.** Fat lies below water.",
        "<code>x &lt; 0</code> &amp; air": "**No.** Air is -1000.",
        "bone": "**No.** Bone has 200 and more.",
    }


def test_the_right_answer_is_not_always_in_the_same_place():
    places = {Question(str(n), ("r", ""), (("a", ""), ("b", ""))).options().index(("r", "")) for n in range(20)}
    assert places == {0, 1, 2}


def test_without_solutions_no_answer_can_be_opened(tmp_path):
    cell = quiz_cell(quiz(tmp_path), solutions=False)
    assert "<details>" not in cell and "Fat lies" not in cell and re.search(r"^- [ABC]. fat$", cell, re.MULTILINE)


@pytest.mark.parametrize(
    "broken",
    [
        "",
        QUIZ.replace("[[questions]]", "[[questions]"),
        QUIZ.replace("text =", "question ="),
        QUIZ.replace(', "Fat lies below water."', ""),
        QUIZ.replace(', ["bone", "Bone has 200 and more."]', ""),
        QUIZ.replace("bone", "fat"),
        QUIZ.replace("childs_ct", "childs_mr"),
    ],
)
def test_a_quiz_that_breaks_the_rules_is_refused(broken, tmp_path):
    with pytest.raises(PedsegInputError, match="quiz cannot be read"):
        quiz(tmp_path, broken)


def test_exported_html_folds_the_answers_by_details_alone(tmp_path):
    import nbformat
    from nbconvert import HTMLExporter

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(quiz_cell(quiz(tmp_path)))])
    html, _ = HTMLExporter(template_name="basic").from_notebook_node(notebook)
    assert html.count("<details>") == html.count("</details>") == 3
    assert "<summary>" in html and "<strong>Right.</strong> Fat lies below water." in html
