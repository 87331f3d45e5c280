"""Exercises of the chapter "Start here"."""

from __future__ import annotations

from pedseg.organs import EVALUATED, ORGANS
from pedseg.workbook.exercise_checks import Exercise

EXERCISES = {
    "number of organs": Exercise(
        answer=lambda: len(ORGANS),
        hint="Python counts with `len(...)`; the organs are listed in `ORGANS`.",
        mistakes={"This is the number of evaluated organs; there are more in the list.": lambda: len(EVALUATED)},
    ),
}
