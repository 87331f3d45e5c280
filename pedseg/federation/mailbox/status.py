"""What a center does at the moment, told to its coordinator now and then by a small sealed object in the mailbox.

    from/CENTER/status/NUMBER.status

A status says phase, round, step of how many, seconds left and, of an error, its code: no path, no text, no loss. It is
a sign of life and decides nothing about the weights: one that is lost or old changes a line on the screen, and whether
a center that missed a round is waited for.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from pedseg.errors import PedsegInputError, input_error
from pedseg.federation.keys import Member, OwnKeys
from pedseg.federation.mailbox.messages import EXPIRES_SECONDS, REPLIES
from pedseg.federation.mailbox.object_store import ObjectStore, patience
from pedseg.federation.mailbox.sealed_message import Header, seal, unseal
from pedseg.files import write_atomically

STATUS, SUFFIX = "status", ".status"
STATUS_FILE = "status.json"  # of a coordinator or a center, in its own folder
WRITE_SECONDS = 15.0  # between two signs of life
CLOCK_SECONDS = 3600.0  # a clock that is wrong by more is named
MAX_STATUS_BYTES = 4096
WORD = re.compile(r"[\w.-]{0,60}", re.ASCII)  # what may reach the coordinator's screen
PHASES = ("waiting", "working", "failed")
log = logging.getLogger("flwr.pedseg.mailbox")


@dataclass(frozen=True)
class Status:
    """What a center does: `waiting`, `working` or `failed`; in which round, at what, how far; the code of an error."""

    phase: str = "waiting"
    round: int = 0
    message_type: str = ""
    step: int = 0
    steps: int = 0
    seconds_left: int = 0
    code: str = ""

    @classmethod
    def from_bytes(cls, raw: bytes) -> Status:
        """A status as it came; `ValueError` or `TypeError` if a value is not of its kind."""
        status = cls(**json.loads(raw))
        texts = (status.phase, status.message_type, status.code)
        numbers = (status.round, status.step, status.steps, status.seconds_left)
        if not all(isinstance(text, str) and WORD.fullmatch(text) for text in texts) or status.phase not in PHASES:
            raise ValueError(f"texts {texts}")
        if not all(type(number) is int and 0 <= number < 10**9 for number in numbers):
            raise ValueError(f"numbers {numbers}")
        return status

    def __str__(self) -> str:
        if self.phase == "failed":
            return f"reports {self.code} and tries again"
        if self.phase == "waiting" or not self.steps:
            return {"waiting": "waits"}.get(self.phase, f"at {self.message_type}")
        return f"step {self.step} of {self.steps}, {self.seconds_left} s left"


class StatusWriter:
    """A center's statuses: `current` is written at once by `write`, and again and again within `written_again`."""

    def __init__(self, store: ObjectStore, own: OwnKeys, coordinator: Member, file: Path) -> None:
        self.file = file  # where it is written for people at the center, too
        self.store, self.own, self.coordinator = store, own, coordinator
        self.folder = f"{REPLIES}/{own.name}/{STATUS}"
        self.current = Status()
        self._number = 0
        self._lock = threading.Lock()

    def write(self) -> None:
        """Write the current status in the place of the last one; what goes wrong costs this status only."""
        with self._lock, patience(0):
            try:
                earlier = _numbers(self.store, self.folder)
                self._number = max([self._number, *earlier]) + 1
                name, now = f"{STATUS}-{self._number}", time.time()
                header = Header("", 0, name, self.own.name, self.coordinator.name, now, now + EXPIRES_SECONDS)
                content = asdict(self.current)
                write_atomically(self.file, json.dumps({**content, "written": now}).encode(), mode=0o600)
                raw = seal(json.dumps(content).encode(), header, self.own, self.coordinator)
                self.store.write_once(_file(self.folder, self._number), raw)
                for number in earlier:
                    self.store.delete(_file(self.folder, number))
            except Exception as error:  # a server that is away or full, or a right that is missing
                log.debug("the status could not be written (%s)", error)

    @contextmanager
    def written_again(self) -> Iterator[None]:
        """Tell the current status every few seconds, from a thread of its own, as long as the block runs."""
        end = threading.Event()

        def repeat() -> None:
            while not end.is_set():
                self.write()
                end.wait(WRITE_SECONDS)

        thread = threading.Thread(target=repeat, name="status", daemon=True)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join(WRITE_SECONDS)
            self.write()


@dataclass(frozen=True)
class SignOfLife:
    """The newest status of a center, its number, and when it was seen here (seconds of the monotonic clock)."""

    status: Status
    number: int
    seen: float


class StatusReader:
    """The coordinator's view of the statuses of its centers."""

    def __init__(self, store: ObjectStore, own: OwnKeys) -> None:
        self.store, self.own = store, own
        self.signs: dict[str, SignOfLife] = {}
        self._refused: set[str] = set()

    def look(self, member: Member) -> None:
        """Read a center's newest status, if there is one; a refused one is named once, and the last one stays."""
        folder = f"{REPLIES}/{member.name}/{STATUS}"
        known = self.signs[member.name].number if member.name in self.signs else -1
        number = max(_numbers(self.store, folder), default=-1)
        name = _file(folder, number)
        if number <= known or name in self._refused:
            return
        try:
            raw = self.store.read(name, MAX_STATUS_BYTES)
            header, content = unseal(raw, self.own, member, file=name)
            if header.request != f"{STATUS}-{number}":
                raise input_error("E-MAIL-REPLAY", name, "it is an old status.", "It is ignored.")
            self.signs[member.name] = SignOfLife(Status.from_bytes(content), number, time.monotonic())
        except FileNotFoundError:  # a newer one is there by now
            return
        except PedsegInputError as error:
            self._refused.add(name)
            log.warning("%s", error)
        except (TypeError, ValueError):
            self._refused.add(name)
            log.warning("E-MAIL-CONTENT %s: the status is not understood. Install the same pedseg.", name)


def clock_difference(issued: float) -> str:
    """A sentence about the other's clock if it is ahead of this one by more than an hour; else empty."""
    ahead = issued - time.time()
    return f"the sender's clock is {ahead / 3600:.0f} hours ahead of this machine's" if ahead > CLOCK_SECONDS else ""


def _numbers(store: ObjectStore, folder: str) -> list[int]:
    stems = (name.removesuffix(SUFFIX) for name in store.list_objects(folder) if name.endswith(SUFFIX))
    return [int(stem) for stem in stems if re.fullmatch(r"[0-9]{8}", stem)]


def _file(folder: str, number: int) -> str:
    return f"{folder}/{number:08d}{SUFFIX}"
