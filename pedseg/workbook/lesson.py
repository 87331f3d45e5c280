"""What every notebook begins and ends with, and how it answers: set-up, self-checks, time and memory.

Two environment variables steer a notebook from outside: PEDSEG_BUDGET=test makes it short (for
tests), PEDSEG_STRICT=1 turns open or wrong answers into errors. PEDSEG_RUNS names the folder for
what notebooks make; `runs` beside the notebooks otherwise.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from pedseg import memory
from pedseg.datasets.cases import DataSet
from pedseg.datasets.reading import read_dataset
from pedseg.phantoms.centers import CENTERS, COHORT, make_dataset, planned_scans
from pedseg.workbook.exercise_checks import judge
from pedseg.workbook.questions import QUESTIONS

PACKAGES = ("pedseg", "torch", "monai", "flwr", "nibabel", "matplotlib", "ipywidgets")
MEMORY_LIMIT_MIB, MINUTES_LIMIT = 900, 4
SIZES = {
    "full": COHORT,
    "test": {"train": 3, "validation": 1, "test": 2},
}
T = TypeVar("T")
_started = time.perf_counter()


class NotSolved(AssertionError):
    """An exercise is open or wrong; raised in strict mode only."""


def setup() -> None:
    """Make the machine predictable and say what runs here; the first line of every notebook."""
    global _started
    _started = time.perf_counter()
    memory.limit_heap()
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "32")  # 70 MiB less for an eighth more work
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):  # one thread is the only speed that can be promised
        os.environ.setdefault(variable, "1")
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    found = [f"{name} {_version(name)}" for name in PACKAGES]
    say(f"Python {platform.python_version()} · " + " · ".join(found))
    if size() == "test":
        say("Short run for tests (PEDSEG_BUDGET=test): the numbers below mean nothing.")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        from pedseg import __version__

        return __version__ if package == "pedseg" else "missing"


def say(text: str) -> None:
    """Speak to the reader; the library itself never prints."""
    print(text, flush=True)


def size() -> str:
    """`full`, or `test` for a short run."""
    return "test" if os.environ.get("PEDSEG_BUDGET") == "test" else "full"


def budget(full: T, test: T) -> T:
    """The first number in a lesson, the second in an automatic test."""
    return test if size() == "test" else full


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


def samples() -> list[DataSet]:
    """The sample children of both centers, read from `data_samples`; grown anew if the folder is missing."""
    folders = sorted((root() / "data_samples").glob("Dataset*"))
    return [read_dataset(folder) for folder in folders] or _grow(runs() / "samples", train=0, validation=0, test=3)


def centers() -> list[DataSet]:
    """The two virtual centers with all their children; grown on the first call, then kept on disk."""
    return _grow(runs() / ("data" if size() == "full" else "data-test"), **SIZES[size()])


def _grow(folder: Path, **cases: int) -> list[DataSet]:
    """Data sets of both centers under `folder`; what is there is kept."""
    found = []
    for number, center in enumerate(CENTERS.values(), start=901):
        target = folder / f"Dataset{number}_{center.name}"
        scans = len(planned_scans(center, **cases))
        list(progress(make_dataset(center, target, **cases), scans, f"children of {center.name}"))
        found.append(read_dataset(target))
    return found


def recorded(name: str = "study") -> Path | None:
    """The folder of a recorded result, or None where it is not shipped."""
    folder = root() / "data_samples" / "results" / name
    return folder if (folder / "summary.json").is_file() else None


def study() -> Path:
    """A folder with a whole study's results: the recorded one, else the reader's own, else a small one made now."""
    made = recorded() or runs() / "study"
    if (made / "summary.json").is_file() and size() == "full":
        return made
    from pedseg.evaluation.config import StudyConfig
    from pedseg.evaluation.study import run_study
    from pedseg.federation.config import FederationConfig

    made, data = runs() / f"study-{size()}", centers()[0].folder.parent
    if not (made / "summary.json").is_file():
        say("No recorded study is here: a small one is made now. Its numbers are worse than those of the full one.")
        federation = FederationConfig(rounds=budget(2, test=1), local_steps=budget(40, test=2))
        follow(run_study(data, made, StudyConfig(federation)))
    return made


def progress(things: Iterable[T], total: int | None = None, text: str = "") -> Iterator[T]:
    """Pass things on under a bar with the time left; a bar that was quick leaves no trace."""
    from tqdm.auto import tqdm

    yield from tqdm(things, total=total, desc=text, leave=False, disable=size() == "test" or None, delay=0.5)


def follow(steps: Iterable[Any]) -> None:
    """Run something that reports (stage, done, total), under a bar that names the stage."""
    from tqdm.auto import tqdm

    with tqdm(total=1, leave=False, disable=size() == "test", bar_format="{l_bar}{bar}| {remaining} left") as bar:
        for step in steps:
            bar.set_description(step.stage)
            bar.total = step.total
            bar.update(step.done - bar.n)


def check(question: str, answer: Any, **given: Any) -> Any:
    """Say whether the answer is right, not yet there, or how it is wrong; give back a right one.

    Never raises, except in strict mode (`NotSolved`). What comes back is the reader's answer if it
    is right, else the reference, so that the cells below live on either way.
    """
    asked = QUESTIONS[question]
    if answer is ...:
        reference, wrong = asked.answer(**given), f"Not yet. {asked.nudge}"
    else:
        reference, wrong = judge(asked, answer, given)
        wrong = f"Not quite. {wrong}" if wrong else ""
    say(wrong or "Right.")
    if not wrong:
        return answer
    if os.environ.get("PEDSEG_STRICT") == "1":
        raise NotSolved(f"{question}: {wrong}")
    return reference


def finish() -> None:
    """Say what the notebook took; the last line of every notebook."""
    seconds, held_mib = time.perf_counter() - _started, memory.peak_mib()
    say(f"This notebook took {seconds / 60:.1f} min and at most {held_mib:.0f} MiB of memory.")
    if held_mib > MEMORY_LIMIT_MIB or seconds > 60 * MINUTES_LIMIT:
        say(f"That is more than planned ({MINUTES_LIMIT} min, {MEMORY_LIMIT_MIB} MiB); is something else running?")
    say("Before you open the next one: Kernel → Shut Down gives the memory back.")


def check_environment() -> None:
    """Say line by line whether this machine can run the workbook, and what to do where it cannot."""
    say(
        "\n".join(
            f"[{'ok' if good else '!!'}] {text}" + ("" if good else f"  ->  {cure}") for good, text, cure in _look()
        )
    )


def _look() -> Iterator[tuple[bool, str, str]]:
    """What was found, whether it will do, and a remedy."""
    yield (3, 11) <= sys.version_info[:2] <= (3, 13), f"Python {platform.python_version()}", "Use Python 3.11 to 3.13."
    for name in PACKAGES[1:]:
        yield _version(name) != "missing", f"{name} {_version(name)}", f"Install it: pip install {name}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield cores >= 2, f"{cores} processor cores", "Notebooks 05 and 07 will take about twice as long."
    free_gib = shutil.disk_usage(root()).free / 2**30
    yield free_gib >= 1, f"{free_gib:.0f} GiB free on disk", "Make room for 1 GiB."
    memory_gib = _free_memory_gib()
    text = "memory unknown" if memory_gib is None else f"{memory_gib:.1f} GiB of memory free"
    yield memory_gib is None or memory_gib >= 1, text, "Close other programs or shut other kernels down."
    yield os.access(root(), os.W_OK), "this folder can be written to", "Copy the project to a folder of your own."


def _free_memory_gib() -> float | None:
    """Memory that programs can still get, in GiB; None where nobody tells."""
    try:
        import psutil
    except ImportError:
        return None
    return psutil.virtual_memory().available / 2**30
