"""A center's replies on disk: each sealed reply together with the state that it left behind.

A reply and the state after it are committed by one renaming: after a crash both are there or
neither is. A committed reply is never computed again, only delivered again.
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

KEPT_ROUNDS = 2  # rounds whose replies are kept, in case the coordinator lost its last checkpoint


@dataclass(frozen=True)
class StoredReply:
    """A committed reply: its run, round, request, its number, and when it expires (seconds since 1970).

    `disclosure` is its entry in the disclosure log.
    """

    run: str
    round: int
    request: str
    number: int
    expires: float
    disclosure: dict[str, Any] = field(default_factory=dict)


class ReplyStore:
    """The committed replies of one center, in a folder; the newest is the last one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for half in folder.glob(f"*{PART}"):
            shutil.rmtree(half)
        files = folder.glob("*/reply.json")
        self.all = sorted((StoredReply(**json.loads(f.read_bytes())) for f in files), key=lambda reply: reply.number)

    @property
    def newest(self) -> StoredReply | None:
        """The reply that was committed last."""
        return self.all[-1] if self.all else None

    def find(self, run: str, request: str) -> StoredReply | None:
        """The last committed reply to a request."""
        return next((reply for reply in reversed(self.all) if (reply.run, reply.request) == (run, request)), None)

    def state(self, run: str) -> RecordDict:
        """The center's state after its last reply in this run."""
        return self.last_state() if self.newest and self.newest.run == run else RecordDict()

    def last_state(self) -> RecordDict:
        """The center's state after its last reply in any run."""
        if self.newest is None:
            return RecordDict()
        return _flower.records_from_bytes((self._folder_of(self.newest) / "state").read_bytes())

    def envelope(self, reply: StoredReply) -> bytes:
        """The sealed reply."""
        return (self._folder_of(reply) / "envelope").read_bytes()

    def commit(self, reply: StoredReply, envelope: bytes, state: RecordDict) -> None:
        """Keep a reply and the state after it, both or neither; delete the replies of older rounds and runs."""
        part = self._folder_of(reply).with_suffix(PART)
        shutil.rmtree(part, ignore_errors=True)  # of a commit for which the disk was full
        part.mkdir()
        contents = {
            "envelope": envelope,
            "state": _flower.records_to_bytes(state),
            "reply.json": json.dumps(asdict(reply)).encode(),
        }
        for name, content in contents.items():
            with (part / name).open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        part.rename(self._folder_of(reply))
        self.all.append(reply)
        self._delete_before(reply)

    def _delete_before(self, newest: StoredReply) -> None:
        for reply in list(self.all):
            if reply.run != newest.run or 0 < reply.round <= newest.round - KEPT_ROUNDS:
                self.all.remove(reply)
                part = self._folder_of(reply).with_suffix(PART)  # first a name that does not count
                self._folder_of(reply).rename(part)
                shutil.rmtree(part)

    def _folder_of(self, reply: StoredReply) -> Path:
        return self.folder / f"{reply.number:08d}"
