"""What is wrong with an input: one error class that names file, finding and remedy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with one file: a code, what was found and what to do about it."""

    code: str
    file: str
    finding: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.code} {self.file}: {self.finding} {self.remedy}"


class PedsegInputError(ValueError):
    """An input was refused; `findings` lists everything that was found, one row each."""

    def __init__(self, findings: Finding | Sequence[Finding]) -> None:
        self.findings = (findings,) if isinstance(findings, Finding) else tuple(findings)
        super().__init__("\n".join(map(str, self.findings)))


def refuse(code: str, file: str | Path, finding: str, remedy: str) -> PedsegInputError:
    """The error for a single finding; write `raise refuse(...)`."""
    return PedsegInputError(Finding(code, str(file), finding, remedy))


def as_table(findings: Iterable[Finding]) -> str:
    """Findings as plain text, one block each, ready for a terminal."""
    blocks = [f"{f.code:<22} {f.file}\n    found:  {f.finding}\n    remedy: {f.remedy}" for f in findings]
    return "\n".join(blocks)
