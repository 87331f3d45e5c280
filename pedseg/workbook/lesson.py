"""Set-up, data, exercises, progress bars and resource use of a notebook.

Three environment variables control a notebook from outside: PEDSEG_BUDGET=test makes it short (for tests),
PEDSEG_STRICT=1 turns open or wrong answers into errors, and PEDSEG_RUNS names the folder for what notebooks make (by
default `runs` in the project).
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from pedseg import __version__, memory
from pedseg.datasets.cases import DataSet
from pedseg.datasets.reading import read_dataset
from pedseg.errors import input_error
from pedseg.phantoms.centers import CENTERS, COHORT, RESOLUTIONS, Center, make_dataset, planned_scans
from pedseg.resources import available_cores, available_memory_mib
from pedseg.workbook import answer_records, function_checks
from pedseg.workbook.answer_records import STILL_OPEN
from pedseg.workbook.exercise_checks import Exercise, feedback, load_exercises
from pedseg.workbook.function_checks import FunctionExercise

PACKAGES = ("pedseg", "torch", "monai", "flwr", "nibabel", "matplotlib", "ipywidgets")
MEMORY_LIMIT_MIB, MINUTES_LIMIT = 900, 4
TRAINING_SECONDS = 180  # of those minutes
SIZES = {
    "full": COHORT,
    "test": {"train": 3, "validation": 1, "test": 2},
}
T = TypeVar("T")
_started = time.perf_counter()
_tried: dict[str, list[Any]] = {}  # versions of a learner's function, by exercise


class NotSolved(AssertionError):
    """An exercise is open or wrong; raised in strict mode only."""


def setup() -> None:
    """Make runs reproducible and print the versions in use; the first line of every notebook."""
    global _started
    _started = time.perf_counter()
    memory.limit_heap()
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "32")  # 70 MiB less for an eighth more work
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):  # one thread is the only speed that can be promised
        os.environ.setdefault(variable, "1")
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    versions = [f"{name} {_version(name)}" for name in PACKAGES]
    show_message(f"Python {platform.python_version()} · " + " · ".join(versions))
    if size() == "test":
        show_message("Short run for tests (PEDSEG_BUDGET=test): the numbers below mean nothing.")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return __version__ if package == "pedseg" else "missing"


def show_message(text: str) -> None:
    """Print a message to the reader of a notebook; elsewhere the library never prints."""
    print(text, flush=True)


def size() -> str:
    """`full`, or `test` for a short run."""
    return "test" if os.environ.get("PEDSEG_BUDGET") == "test" else "full"


def budget(full: T, test: T) -> T:
    """The first number in a lesson, the second in an automatic test."""
    return test if size() == "test" else full


def training_steps(full: int, test: int, *, networks: int = 1) -> int:
    """How many steps each of so many networks trains: `full`, or as many as fit a chapter's time on this machine."""
    if size() == "test":
        return test
    fitting = int(TRAINING_SECONDS / networks / seconds_a_step())
    if fitting >= full:
        return full
    show_message(
        f"A training step takes {seconds_a_step():.1f} seconds here, so each network trains {max(1, fitting)} steps"
        f" instead of {full}. Its contours will be worse than those of the recorded study."
    )
    return max(1, fitting)


@cache
def seconds_a_step() -> float:
    """What a training step takes on this machine, by a sample child as large as the average training child."""
    from pedseg.learning import training
    from pedseg.learning.fingerprint import fingerprint
    from pedseg.learning.plans import make_plan

    center = samples()[1]
    plan = make_plan(fingerprint(center, center.cases))
    return training.seconds_a_step(plan, training.load_cases(center, center.cases[:1], plan))


def root() -> Path:
    """The project's folder, wherever the notebook was started; the current folder if there is none."""
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).parents[2]):
        if (folder / "notebooks").is_dir() and (folder / "pedseg").is_dir():
            return folder
    return here


def runs() -> Path:
    """Where notebooks keep what they make."""
    return Path(os.environ.get("PEDSEG_RUNS") or root() / "runs")


@cache
def exercises() -> dict[str, Exercise | FunctionExercise]:
    """The exercises of all chapters, read from the folder `exercises` beside the notebooks."""
    project, beside_notebook = root() / "notebooks" / "exercises", Path.cwd() / "exercises"
    return load_exercises(project if project.is_dir() else beside_notebook)


def samples() -> list[DataSet]:
    """The sample children of both centers, read from `data_samples`; simulated if the folder is missing."""
    folders = sorted((root() / "data_samples").glob("Dataset*"))
    return [read_dataset(folder) for folder in folders] or make_datasets(
        runs() / "samples", CENTERS.values(), train=0, validation=0, test=3
    )


def centers() -> list[DataSet]:
    """The two virtual centers with all their children; simulated on the first call, then kept on disk."""
    folder = runs() / ("data" if size() == "full" else "data-test")
    return make_datasets(folder, CENTERS.values(), **SIZES[size()])


def few_children() -> Path:
    """A folder with six children of each virtual center, in voxels so large that three programs fit into 1 GB."""
    folder = runs() / "few-children"
    make_datasets(folder, map(RESOLUTIONS["coarse"], CENTERS.values()), train=4, validation=1, test=1)
    return folder


def make_datasets(folder: Path, centers: Iterable[Center], **cases: int) -> list[DataSet]:
    """Data sets of centers in `folder`, with so many `cases` by split (or of another seed); what exists is kept."""
    datasets = []
    for number, center in enumerate(centers, start=901):
        target = folder / f"Dataset{number}_{center.name}"
        scans = len(planned_scans(center, **cases))
        list(progress(make_dataset(center, target, **cases), scans, f"children of {center.name}"))
        datasets.append(read_dataset(target))
    return datasets


def recorded(name: str) -> Path:
    """The folder of a recorded result; `PedsegInputError` where it is not shipped."""
    folder = root() / "data_samples" / "results" / name
    if not folder.is_dir():
        remedy = "Copy the folder data_samples of the project beside the notebooks."
        raise input_error("E-FILE-MISSING", folder, "this recorded result is not here.", remedy)
    return folder


def study() -> Path:
    """A folder with the results of a study: the recorded one, else the reader's own, else a small one run now."""
    for folder in (root() / "data_samples" / "results" / "study", runs() / "study"):
        if (folder / "summary.json").is_file() and size() == "full":
            return folder
    from pedseg.evaluation.config import StudyConfig
    from pedseg.evaluation.study import run_study
    from pedseg.federation.config import FederationConfig

    folder, data = runs() / f"study-{size()}", centers()[0].folder.parent
    if not (folder / "summary.json").is_file():
        show_message(
            "There is no recorded study: a small one is run now. Its results are worse than those of the full one."
        )
        federation = FederationConfig(rounds=budget(2, test=1), local_steps=budget(40, test=2))
        follow(run_study(data, folder, StudyConfig(federation)))
    return folder


def progress(items: Iterable[T], total: int | None = None, text: str = "") -> Iterator[T]:
    """Iterate under a progress bar with the time left; the bar disappears at the end."""
    from tqdm.auto import tqdm

    yield from tqdm(items, total=total, desc=text, leave=False, disable=size() == "test" or None, delay=0.5)


def follow(steps: Iterable[Any]) -> None:
    """Run something that reports its progress (stage, done, total), under a bar that names the stage."""
    from tqdm.auto import tqdm

    with tqdm(total=1, leave=False, disable=size() == "test", bar_format="{l_bar}{bar}| {remaining} left") as bar:
        for step in steps:
            bar.set_description(step.stage)
            bar.total = step.total
            bar.update(step.done - bar.n)


def check(name: str, answer: Any, **given: Any) -> Any:
    """Check the answer to an exercise, a value or a function; print feedback; return a right answer.

    Never raises, except in strict mode (`NotSolved`). Returns the reader's answer if it is right, else the reference,
    so that the cells below work either way. `given` holds what the exercise computes its right answer from.
    """
    exercise = exercises()[name]
    if isinstance(exercise, FunctionExercise):
        reference, problem, praise = _check_function(name, exercise, answer)
    elif answer is ...:
        reference, problem, praise = exercise.answer(**given), f"{STILL_OPEN}: replace the dots with your answer.", ""
    else:
        reference, wrong = feedback(exercise, answer, given)
        problem, praise = wrong and f"Not quite. {wrong}", "Right."
    show_message(problem or praise)
    answer_records.publish(name, answer, given, problem)
    if problem and os.environ.get("PEDSEG_STRICT") == "1":
        raise NotSolved(f"{name}: {problem}")
    return reference if problem else answer


def _check_function(name: str, exercise: FunctionExercise, function: Any) -> tuple[Any, str, str]:
    """The reference; what is open or wrong, with advice that goes further each time; and the praise if nothing is."""
    count = len(exercise.checks)
    if function_checks.is_open(function):
        problem = f"{STILL_OPEN}: write the function in place of the dots. {count} checks wait for it."
        return exercise.reference, problem, ""
    if problem := function_checks.first_problem(exercise, function):
        advice = function_checks.advice(exercise, function, _tried.setdefault(name, []))
        return exercise.reference, f"Not quite. {problem}\n{advice}", ""
    return exercise.reference, "", f"Right: all {count} checks pass."


def finish() -> None:
    """Print time and memory that the notebook took; the last line of every notebook."""
    seconds, peak_mib = time.perf_counter() - _started, memory.peak_mib()
    show_message(f"This notebook took {seconds / 60:.1f} min and at most {peak_mib:.0f} MiB of memory.")
    if peak_mib > MEMORY_LIMIT_MIB or seconds > 60 * MINUTES_LIMIT:
        show_message(
            f"That is more than expected ({MINUTES_LIMIT} min, {MEMORY_LIMIT_MIB} MiB). Is something else running?"
        )
    show_message("Before you open the next one: Kernel → Shut Down frees the memory.")


def check_environment() -> None:
    """Print whether this machine can run the workbook: each requirement, and a remedy where it is not met."""
    for passed, requirement, remedy in _requirements():
        show_message(f"[ok] {requirement}" if passed else f"[!!] {requirement}  ->  {remedy}")


def _requirements() -> Iterator[tuple[bool, str, str]]:
    """Whether each requirement is met, what was measured, and a remedy."""
    from pedseg.learning import devices  # and with it torch, which not every notebook needs

    yield (3, 11) <= sys.version_info[:2] <= (3, 13), f"Python {platform.python_version()}", "Use Python 3.11 to 3.13."
    for name in PACKAGES[1:]:
        yield _version(name) != "missing", f"{name} {_version(name)}", f"Install it: pip install {name}"
    cores = available_cores()
    yield cores >= 2, f"{cores} processor cores", "Chapters that train will take about twice as long."
    number_type = devices.precision()
    yield (
        number_type == "bfloat16",
        f"{devices.processor()} computes in {number_type}",
        "This works, but training takes up to twice as long as on a processor with bfloat16.",
    )
    free_gib = shutil.disk_usage(root()).free / 2**30
    yield free_gib >= 1, f"{free_gib:.0f} GiB free on disk", "Free up 1 GiB."
    memory_gib = available_memory_mib() / 2**10
    yield memory_gib >= 1, f"{memory_gib:.1f} GiB of memory free", "Close other programs or shut down other kernels."
    yield os.access(root(), os.W_OK), "this folder is writable", "Copy the project to a folder of your own."
