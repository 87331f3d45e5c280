"""Problems of input files: one error class that names the file, the problem and the remedy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class InputProblem:
    """One thing that is wrong with one file: a code, the problem, and what to do about it."""

    code: str
    file: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.code} {self.file}: {self.problem} {self.remedy}"


class PedsegInputError(ValueError):
    """An input was refused; `problems` lists everything that is wrong with it."""

    def __init__(self, problems: InputProblem | Iterable[InputProblem]) -> None:
        self.problems = (problems,) if isinstance(problems, InputProblem) else tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def input_error(code: str, file: str | Path, problem: str, remedy: str) -> PedsegInputError:
    """The error for a single problem; write `raise input_error(...)`."""
    return PedsegInputError(InputProblem(code, str(file), problem, remedy))


def raise_problems(problems: Iterable[InputProblem]) -> None:
    """Raise one `PedsegInputError` that lists all problems; without any, do nothing."""
    listed = tuple(problems)
    if listed:
        raise PedsegInputError(listed)


@contextmanager
def collect_problems(problems: list[InputProblem]) -> Iterator[None]:
    """Add the problems of an input that is refused within the block to a list, and go on behind the block."""
    try:
        yield
    except PedsegInputError as error:
        problems += error.problems


# Packages that come with an extra; all others come with pedseg itself.
EXTRA_OF = {
    **dict.fromkeys(("pydicom", "highdicom"), "[dicom]"),
    **dict.fromkeys(("duckdb", "idc_index_data", "obstore"), "[fetch]"),
    **dict.fromkeys(("anywidget", "itkwidgets", "k3d", "voila", "fast_simplification"), "[viewer3d]"),
    "tensorboard": "[track]",
    "einops": "[networks]",
    **dict.fromkeys(("sphinx", "myst_nb", "jupyter_cache", "nbclient", "latex2mathml"), "[site]"),
}


@contextmanager
def import_errors() -> Iterator[None]:
    """A package that is missing, or that does not load, becomes a problem that says how to install it."""
    try:
        yield
    except ImportError as error:
        package = (error.name or "a package").split(".")[0]
        if package == "pedseg":  # a fault of the program, not of the machine
            raise
        remedy = f"Install what is missing: pip install 'pedseg{EXTRA_OF.get(package, '')}'."
        raise input_error("E-NOT-INSTALLED", package, f"it cannot be imported ({error}).", remedy) from error


def as_table(problems: Iterable[InputProblem]) -> str:
    """Problems as plain text, one block each, ready for a terminal."""
    blocks = [f"{p.code:<22} {p.file}\n    found:  {p.problem}\n    remedy: {p.remedy}" for p in problems]
    return "\n".join(blocks)
