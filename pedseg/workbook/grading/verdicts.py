"""Judge recorded answers in the grader's own process, by the exercises of `notebooks/exercises`.

What a handed-in notebook says about itself counts for nothing where the answer can be judged from its value: the value
is compared with the right one, which is computed here from what the *chapter* gave, not from what the notebook claims.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pedseg.workbook.answer_records import STILL_OPEN, AnswerRecord, Unreadable
from pedseg.workbook.exercise_checks import Exercise, feedback, is_close
from pedseg.workbook.grading.execution import Execution

RIGHT, WRONG, OPEN = "right", "wrong", "open"
GIVEN_RTOL = 0.01  # earlier answers may be rounded
CHANGED = "What the question gives was changed ({}): it must stay as the chapter has it."


@dataclass(frozen=True)
class Verdict:
    """One exercise of one copy: `right`, `wrong` or `open`, and a sentence. `judged_by` is `grader` or `notebook`."""

    exercise: str
    state: str
    sentence: str
    judged_by: str = "grader"


def verdicts(
    names: Sequence[str],
    execution: Execution,
    reference: Mapping[str, Mapping[str, Any]],
    exercises: Mapping[str, Any],
    cell_seconds: float,
) -> Iterator[Verdict]:
    """One verdict for each exercise of a chapter; `reference` is what the chapter itself gave each of them.

    What a learner chooses must be the same in all exercises of a copy.
    """
    chosen: dict[str, Any] = {}
    for name in names:
        records = execution.records.get(name, [])
        if records:  # the first: a later call could hand in what the first one returned
            given = {key: chosen.get(key, value) for key, value in reference[name].items()}
            verdict = judge(records[0], exercises[name], given, execution.examined.get(name), tuple(chosen))
            if verdict.state == RIGHT and isinstance(exercises[name], Exercise):
                chosen |= {key: records[0].given[key] for key in exercises[name].own}
            yield verdict
        else:
            yield Verdict(name, *_without_record(name, execution, cell_seconds))


def judge(
    record: AnswerRecord,
    exercise: Any,
    given: Mapping[str, Any],
    examined: str | None = None,
    chosen: Sequence[str] = (),
) -> Verdict:
    """The verdict on one recorded answer, computed from what the chapter gave.

    For a function, `examined` is what this process found wrong with it; None if it could not look. What is the
    learner's own is taken from the record, unless it was `chosen` before; so is what the learner's run measured.
    """
    name = record.name
    if record.answer is ... or record.problem.startswith(STILL_OPEN):
        return Verdict(name, OPEN, "Not yet answered.")
    if not isinstance(exercise, Exercise):
        problem = record.problem or examined or ""
        return Verdict(name, WRONG if problem else RIGHT, problem, "notebook" if examined is None else "grader")
    if isinstance(record.answer, Unreadable):
        return Verdict(name, WRONG, f"The answer is a {record.answer.type_name}, which is no value.")
    free = {*exercise.own, *exercise.measured} - {*chosen}
    taken = {key: record.given[key] for key in given if key in free and key in record.given}
    changed = [key for key in given if key not in taken and not same(record.given.get(key), given[key])]
    if changed:
        return Verdict(name, WRONG, CHANGED.format(", ".join(changed)))
    try:
        problem = feedback(exercise, record.answer, {**given, **taken})[1]
    except Exception:  # what is taken from a copy may be anything
        problem = CHANGED.format(", ".join(taken))
    return Verdict(name, WRONG if problem else RIGHT, problem, "notebook" if exercise.measured else "grader")


def same(value: Any, reference: Any) -> bool:
    """Whether something that a question gives is what the chapter gives, but for rounding in earlier answers."""
    if isinstance(reference, list | tuple) and isinstance(value, list | tuple):
        return len(value) == len(reference) and all(map(same, value, reference))
    if isinstance(reference, Unreadable):
        return value == reference
    return is_close(value, reference, GIVEN_RTOL)


def _without_record(name: str, execution: Execution, cell_seconds: float) -> tuple[str, str]:
    """State and sentence for an exercise whose check was never called."""
    error = execution.errors.get(name, "")
    if error.startswith("KeyboardInterrupt"):
        return WRONG, f"This cell was stopped: it ran longer than {cell_seconds:.0f} s. Does its loop end?"
    if error:
        return WRONG, f"This cell stops with an error: {error}"
    if name in execution.reached and execution.ended == "finished":
        return OPEN, "This cell does not call lesson.check any more."
    if name in execution.reached:
        return WRONG, f"The notebook ended in this cell ({ENDINGS[execution.ended]})."
    if execution.ended == "finished":
        return OPEN, "The cell of this exercise is not in the notebook."
    return OPEN, f"Not reached: the notebook ended before ({ENDINGS[execution.ended]})."


ENDINGS = {
    "finished": "it ran to its end",
    "time": "it took too long and was stopped",
    "memory": "it asked for too much memory and was stopped",
    "processes": "it started too many programs and was stopped",
    "kernel died": "its kernel died",
}
