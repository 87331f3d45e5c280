"""Grade a folder of handed-in notebooks: each in a sandbox and a folder of its own, several at a time.

First the chapter itself runs, solved, in the same sandbox. That tells whether this machine can run it, what each
question gives, how long it takes (the time limits follow from it), and leaves the data that every copy starts from.
"""

from __future__ import annotations

import logging
import multiprocessing
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pedseg.errors import input_error
from pedseg.resources import available_cores
from pedseg.workbook.exercise_checks import load_exercises
from pedseg.workbook.function_checks import FunctionExercise, first_problem
from pedseg.workbook.grading import sandbox
from pedseg.workbook.grading.execution import Step, execute
from pedseg.workbook.grading.sandbox import Limits
from pedseg.workbook.grading.submissions import Chapter, Submission, load_chapters, read_submissions
from pedseg.workbook.grading.verdicts import ENDINGS, OPEN, RIGHT, Verdict, verdicts

NOTEBOOKS = sandbox.ROOT / "notebooks"
KEPT = ("home", "runs")  # of the chapter's own run, where every copy starts: caches and simulated children
MOST_SECONDS = 1800  # for a chapter itself
MORE_SECONDS, MORE_TIMES = 20, 3  # a cell may take three times as long as the whole chapter, and 20 s


@dataclass(frozen=True)
class GradedCopy:
    """The result for one handed-in notebook; `problem` says why it was not run, `ended` why it stopped early."""

    submission: Submission
    verdicts: tuple[Verdict, ...] = ()
    ended: str = ""
    errors: Mapping[str, str] | None = None
    seconds: float = 0.0
    peak_mib: float = 0.0

    @property
    def right(self) -> int:
        """How many exercises are right."""
        return sum(verdict.state == RIGHT for verdict in self.verdicts)

    @property
    def status(self) -> str:
        """What became of the copy, in a few words."""
        if self.submission.problem:
            return "not graded"
        if self.verdicts and all(verdict.state == OPEN for verdict in self.verdicts) and self.ended == "finished":
            return "unanswered"
        return {"finished": "graded", "time": "too long", "memory": "too much memory"}.get(self.ended, self.ended)


@dataclass(frozen=True)
class Course:
    """What all copies have in common: the chapters' folder, a place for working copies, the limits."""

    notebooks: Path
    place: Path
    limits: Limits
    sandboxed: bool


@dataclass(frozen=True)
class Reference:
    """What the chapter's own solved run gave: the inputs of each question, and a folder that copies start from."""

    given: Mapping[str, Mapping[str, Any]]
    start: Path
    limits: Limits


def grade_folder(
    folder: Path,
    *,
    jobs: int | None = None,
    limits: Limits | None = None,
    sandboxed: bool = True,
    notebooks: Path = NOTEBOOKS,
) -> Iterator[GradedCopy]:
    """Grade every notebook of a folder, `jobs` at a time (unless told, one for each core, eight at most).

    Yields each as it is done. `notebooks` holds the chapters' sources.

    Raises `PedsegInputError` for a folder without notebooks, a machine without a sandbox (unless `sandboxed` is false),
    and a chapter that does not run here.
    """
    if sandboxed:
        sandbox.require()
    submissions = read_submissions(folder, load_chapters(notebooks / "source"))
    yield from (GradedCopy(submission) for submission in submissions if submission.problem)
    graded = [submission for submission in submissions if not submission.problem]
    chapters = {submission.chapter.name: submission.chapter for submission in graded if submission.chapter}
    with tempfile.TemporaryDirectory(prefix="grade-") as place:
        course = Course(notebooks, Path(place), limits or Limits(), sandboxed)
        references = {name: run_reference(chapter, course) for name, chapter in chapters.items()}
        spawn = multiprocessing.get_context("spawn")  # a kernel's messages must not hold up another's
        with ProcessPoolExecutor(jobs or min(8, available_cores()), mp_context=spawn, max_tasks_per_child=20) as pool:
            futures = {
                pool.submit(grade_copy, submission, references[submission.chapter.name], course, number): submission
                for number, submission in enumerate(graded)
                if submission.chapter
            }
            for future in as_completed(futures):
                yield _result(future, futures[future])


def _result(future: Any, submission: Submission) -> GradedCopy:
    """The result; where the grader itself fails on a copy, the others go on, and the copy says so."""
    try:
        return future.result()
    except Exception as error:
        problem = f"The grader failed on it ({type(error).__name__}: {error}): read it yourself."
        return GradedCopy(replace(submission, problem=problem[:500]))


def run_reference(chapter: Chapter, course: Course) -> Reference:
    """Run a chapter, solved, as its copies are run; `PedsegInputError` where it does not pass its own exercises."""
    work, asked = course.place / chapter.name[:2], course.limits.seconds
    prepare(work, course.notebooks, None)
    patient = replace(course.limits, cell_seconds=MOST_SECONDS, seconds=MOST_SECONDS)
    solved = [Step(cell.solved, cell.exercise) for cell in chapter.cells]
    execution = execute(solved, work, patient, sandboxed=course.sandboxed)
    given = {name: records[0].given for name, records in execution.records.items() if name and records}
    if execution.errors or execution.ended != "finished" or set(given) != set(chapter.exercises):
        what = next(iter(execution.errors.values()), ENDINGS[execution.ended])
        remedy = "Run the chapter in JupyterLab first; for memory, see --memory."
        raise input_error("E-CHAPTER", chapter.name, f"the chapter itself does not run here ({what}).", remedy)
    cell_seconds = MORE_TIMES * execution.seconds + MORE_SECONDS
    seconds = asked or 2 * cell_seconds
    return Reference(given, work, replace(course.limits, cell_seconds=min(cell_seconds, seconds), seconds=seconds))


def prepare(work: Path, notebooks: Path, start: Path | None) -> None:
    """A working copy for one notebook: what chapters import, and what the chapter's own run left."""
    work.mkdir()
    for kept in KEPT:
        if start and (start / kept).is_dir():
            shutil.copytree(start / kept, work / kept, symlinks=True)
        (work / kept).mkdir(exist_ok=True)
    for module in notebooks.glob("*.py"):
        shutil.copy(module, work)


def grade_copy(submission: Submission, reference: Reference, course: Course, number: int) -> GradedCopy:
    """Run one copy in a folder of its own, which is gone afterwards, and judge what it recorded."""
    assert submission.chapter is not None
    logging.getLogger("traitlets").setLevel(logging.CRITICAL)
    work = course.place / f"{number:03d}"
    prepare(work, course.notebooks, reference.start)
    exercises, names = load_exercises(course.notebooks / "exercises"), submission.chapter.exercises
    examiners = {
        name: partial(first_problem, exercise)
        for name, exercise in exercises.items()
        if name in names and isinstance(exercise, FunctionExercise)
    }
    steps, limits = submission.steps(), reference.limits
    execution = execute(steps, work, limits, sandboxed=course.sandboxed, examiners=examiners)
    shutil.rmtree(work, ignore_errors=True)
    judged = tuple(verdicts(names, execution, reference.given, exercises, limits.cell_seconds))
    return GradedCopy(submission, judged, execution.ended, execution.errors, execution.seconds, execution.peak_mib)
