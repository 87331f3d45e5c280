"""A center's memory on disk: its sealed answers, each together with the state that it left behind.

An answer and the state after it are committed by one renaming: after a crash both are there or
neither is. A committed answer is never computed again, only delivered again.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from flwr.app import RecordDict

from pedseg.federation import _flower
from pedseg.files import PART

KEPT_ROUNDS = 2  # rounds whose answers are kept, in case the coordinator lost its last checkpoint


@dataclass(frozen=True)
class Answer:
    """A committed answer: its run, when that began, round, question, its place in the row, and when it expires.

    Times are seconds since 1970. `weighed` is its entry in the ledger.
    """

    run: str
    started: float
    round: int
    question: str
    number: int
    expires: float
    weighed: dict[str, Any] = field(default_factory=dict)


class ReplyStore:
    """The committed answers of one center, in a folder; the newest is the last one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for half in folder.glob(f"*{PART}"):
            shutil.rmtree(half)
        notes = sorted(folder.glob("*/note.json"))
        self.all = sorted((Answer(**json.loads(note.read_bytes())) for note in notes), key=lambda one: one.number)

    @property
    def newest(self) -> Answer | None:
        """The answer that was committed last."""
        return self.all[-1] if self.all else None

    def find(self, run: str, question: str) -> Answer | None:
        """The last committed answer to a question."""
        return next((one for one in reversed(self.all) if (one.run, one.question) == (run, question)), None)

    def state(self, run: str) -> RecordDict:
        """What the center remembers from its last answer in this run."""
        if self.newest is None or self.newest.run != run:
            return RecordDict()
        return _flower.records_from_bytes((self._place(self.newest) / "state").read_bytes())

    def envelope(self, answer: Answer) -> bytes:
        """The sealed answer."""
        return (self._place(answer) / "envelope").read_bytes()

    def commit(self, answer: Answer, envelope: bytes, state: RecordDict) -> None:
        """Keep an answer and the state after it, both or neither; forget the answers of older rounds and runs."""
        part = self.folder / f"{self._place(answer).name}{PART}"
        shutil.rmtree(part, ignore_errors=True)  # of a commit for which the disk was full
        part.mkdir()
        contents = {
            "envelope": envelope,
            "state": _flower.records_to_bytes(state),
            "note.json": json.dumps(asdict(answer)).encode(),
        }
        for name, content in contents.items():
            with (part / name).open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        part.rename(self._place(answer))
        self.all.append(answer)
        self._forget(answer)

    def _forget(self, newest: Answer) -> None:
        for one in list(self.all):
            old = one.run != newest.run or 0 < one.round <= newest.round - KEPT_ROUNDS
            if old:
                self.all.remove(one)
                part = self._place(one).with_suffix(PART)  # first a name that does not count
                self._place(one).rename(part)
                shutil.rmtree(part)

    def _place(self, answer: Answer) -> Path:
        return self.folder / f"{answer.number:08d}"
