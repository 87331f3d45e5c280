"""Automatic feedback on exercises: is an answer right and, if not, what is the mistake?

The exercises of each chapter are in `notebooks/exercises`; `lesson.check` prints the feedback.
"""

from __future__ import annotations

import runpy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from pedseg.workbook.function_checks import FunctionExercise, agrees

ROUNDING = 1e-3  # relative


@dataclass(frozen=True)
class Exercise:
    """The right answer to an exercise, computed from what the notebook passes to `check`, and feedback on mistakes.

    `mistakes` maps a sentence to the wrong answer that earns it. `answer` and the functions in `mistakes` take the
    keyword arguments of `check`. `hint` is shown after a wrong answer that is none of the known mistakes. Of these
    arguments, `own` are the learner's to choose, and `measured` comes out of the learner's own run: in both, copies
    differ.
    """

    answer: Callable[..., Any]
    hint: str
    mistakes: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    rtol: float = ROUNDING
    own: tuple[str, ...] = ()
    measured: tuple[str, ...] = ()


def load_exercises(folder: Path) -> dict[str, Exercise | FunctionExercise]:
    """The exercises of all chapters by name: the dictionaries `EXERCISES` of the Python files in a folder."""
    exercises: dict[str, Exercise | FunctionExercise] = {}
    for file in sorted(folder.glob("[0-9][0-9]_*.py")):
        exercises |= runpy.run_path(str(file))["EXERCISES"]
    return exercises


def is_close(answer: Any, reference: Any, rtol: float = ROUNDING) -> bool:
    """Whether two answers agree: text without regard to case, all else as functions' results do, within `rtol`."""
    if isinstance(reference, str):
        return isinstance(answer, str) and answer.strip().casefold() == reference.casefold()
    return agrees(answer, reference, rtol=rtol, atol=1e-9)


def feedback(exercise: Exercise, answer: Any, given: Mapping[str, Any]) -> tuple[Any, str]:
    """The right answer, and what is wrong with the one given; an empty text if it is right."""
    reference = exercise.answer(**given)
    if is_close(answer, reference, exercise.rtol):
        return reference, ""
    for sentence, mistake in exercise.mistakes.items():
        if is_close(answer, mistake(**given), exercise.rtol):
            return reference, sentence
    if exercise.rtol >= ROUNDING and is_rounded(answer, reference):
        return reference, ""
    return reference, f"{_describe_difference(answer, reference)} Hint: {exercise.hint}"


def is_rounded(answer: Any, reference: Any) -> bool:
    """Whether a number is the reference, rounded to the decimals that it has: two significant digits or more."""
    if not isinstance(answer, int | float | np.number) or not isinstance(reference, int | float | np.number):
        return False
    if not np.isfinite(float(answer)):
        return False
    digits = Decimal(repr(float(answer))).normalize().as_tuple()
    return len(digits.digits) >= 2 and round(float(reference), -int(digits.exponent)) == float(answer)


def _describe_difference(answer: Any, reference: Any) -> str:
    """What can be said without knowing the mistake: wrong type, wrong shape, too large or too small."""
    if isinstance(reference, Mapping):
        if not isinstance(answer, Mapping):
            return "The answer should be a dictionary of arrays, one for each name."
        wrong = [name for name in reference if name not in answer or not is_close(answer[name], reference[name])]
        return f"{len(wrong)} of {len(reference)} arrays differ, the first is {wrong[0] if wrong else 'one too many'}."
    if isinstance(reference, str):
        return "That is another word." if isinstance(answer, str) else "The answer should be a word in quotation marks."
    expected = np.asarray(reference, dtype=float)
    try:
        actual = np.asarray(answer, dtype=float)
    except (TypeError, ValueError):
        actual = np.asarray(np.nan)
    if np.isnan(actual).any():
        return f"The answer should be {'numbers' if expected.ndim else 'a number'}."
    if actual.shape != expected.shape:
        wanted, shape = (array.shape or "a single number" for array in (expected, actual))
        return f"The shape is {shape}; it should be {wanted}."
    if np.abs(expected).max() <= 1 and is_close(actual / 100, expected):
        return "That is the right value in percent; here it is asked for as a fraction."
    if expected.ndim and is_close(np.sort(actual, axis=None), np.sort(expected, axis=None)):
        return "These are the right numbers in another order."
    if expected.ndim:
        return f"{int((~np.isclose(actual, expected, rtol=ROUNDING)).sum())} of {expected.size} numbers differ."
    return f"{float(actual):g} is too {'large' if actual > expected else 'small'}."
