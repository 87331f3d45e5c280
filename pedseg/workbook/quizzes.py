"""Quizzes: the questions of a chapter as one markdown cell in which every answer opens and gives its reason.

No widget and no script: `<details>` works by mouse and keyboard, offline, in JupyterLab and in exported HTML alike. The
questions of a chapter are in `notebooks/quizzes/NN_title.toml`:

    [[questions]]
    text = "A voxel has -100 HU. What is it?"
    right = ["fat", "Fat lies below water, which is 0 HU."]
    wrong = [["lung", "Lung is mostly air: about -800 HU."], ["bone", "Bone has 200 HU and more."]]
    chapter = "reading_a_childs_ct"  # the earlier chapter that a question goes back to; left out otherwise
"""

from __future__ import annotations

import hashlib
import html
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pedseg.errors import input_error

INTRODUCTION = (
    "Choose an answer: it opens, and says whether it is right and why. By keyboard: **Tab** moves on, **Enter** opens."
)
Option = tuple[str, str]  # an answer and its reason


@dataclass(frozen=True)
class Question:
    """A question, its right answer, two or more wrong ones, and the earlier chapter that it goes back to, if any."""

    text: str
    right: Option
    wrong: tuple[Option, ...]
    chapter: int | None = None

    def options(self) -> list[Option]:
        """All answers; the place of the right one follows from the text, so that every build is the same."""
        place = int(hashlib.sha256(self.text.encode()).hexdigest(), 16) % (len(self.wrong) + 1)
        return [*self.wrong[:place], self.right, *self.wrong[place:]]


def read_quiz(file: Path) -> list[Question]:
    """The questions of a chapter; `PedsegInputError` for a file that is not built as the module's docstring says."""
    try:
        entries = tomllib.loads(file.read_text(encoding="utf-8"))["questions"]
        numbers = {quiz.stem[3:]: int(quiz.stem[:2]) for quiz in file.parent.glob("[0-9][0-9]_*.toml")}
        return [_question(numbers, **entry) for entry in entries]
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        remedy = "Give each of [[questions]] text, right = [answer, reason], and wrong = [[answer, reason], ...]."
        raise input_error("E-NOTEBOOK", file, f"this quiz cannot be read: {error}.", remedy) from error


def _question(
    numbers: Mapping[str, int], text: str, right: list[str], wrong: list[list[str]], chapter: str | None = None
) -> Question:
    options = [(answer, reason) for answer, reason in (right, *wrong)]
    if len({answer for answer, _ in options}) < max(3, len(options)):
        raise ValueError(f"{text!r} needs three different answers or more")
    return Question(text, options[0], tuple(options[1:]), None if chapter is None else numbers[chapter])


def quiz_cell(questions: list[Question], *, solutions: bool = True) -> str:
    """The questions as markdown; without `solutions`, the answers as a plain list."""
    parts = ["## Quiz", INTRODUCTION if solutions else "Choose one answer to each question."]
    for number, question in enumerate(questions, start=1):
        back = f" *(From chapter {question.chapter:02}.)*" if question.chapter is not None else ""
        parts += ["---", f"**{number}.** {question.text}{back}"]
        letters = [(chr(ord("A") + place), option) for place, option in enumerate(question.options())]
        if solutions:
            parts += [_folded(letter, option, option == question.right) for letter, option in letters]
        else:
            parts.append("\n".join(f"- {letter}. {answer}" for letter, (answer, _) in letters))
    return "\n\n".join(parts)


def _folded(letter: str, option: Option, right: bool) -> str:
    """One answer that opens; markdown is not rendered within `<summary>`, so its code signs become HTML."""
    answer, reason = option
    shown = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(answer, quote=False))
    verdict = "Right." if right else "No."
    return f"<details><summary>{letter}. {shown}</summary>\n\n**{verdict}** {reason}\n\n</details>"
