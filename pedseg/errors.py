"""What is wrong with an input: one error class that names file, finding and remedy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class InputProblem:
    """One thing that is wrong with one file: a code, what was found and what to do about it."""

    code: str
    file: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.code} {self.file}: {self.problem} {self.remedy}"


class PedsegInputError(ValueError):
    """An input was refused; `problems` lists everything that was found, one row each."""

    def __init__(self, problems: InputProblem | Sequence[InputProblem]) -> None:
        self.problems = (problems,) if isinstance(problems, InputProblem) else tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def input_error(code: str, file: str | Path, problem: str, remedy: str) -> PedsegInputError:
    """The error for a single finding; write `raise input_error(...)`."""
    return PedsegInputError(InputProblem(code, str(file), problem, remedy))


def as_table(problems: Iterable[InputProblem]) -> str:
    """Findings as plain text, one block each, ready for a terminal."""
    blocks = [f"{f.code:<22} {f.file}\n    found:  {f.problem}\n    remedy: {f.remedy}" for f in problems]
    return "\n".join(blocks)
