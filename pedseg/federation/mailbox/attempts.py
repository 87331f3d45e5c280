"""What a center makes of a request: opened, tried, tried again after an error, and what happened."""

from __future__ import annotations

import time
from dataclasses import dataclass

from flwr.app import RecordDict

from pedseg.errors import InputProblem
from pedseg.federation.mailbox.messages import Request, run_number
from pedseg.federation.mailbox.sealed_message import Header

RETRY_SECONDS = (5.0, 15.0, 60.0, 300.0, 900.0)  # between two attempts at a request that ended in an error


@dataclass(frozen=True)
class CenterEvent:
    """Something that happened at a center: `replied`, `refused`, `failed`, or `finished` with the final model."""

    status: str
    round: int = 0
    message_type: str = ""
    problem: InputProblem | None = None
    records: RecordDict | None = None


@dataclass(frozen=True)
class OpenedRequest:
    """A request out of its envelope, and the envelope's header."""

    header: Header
    request: Request

    @property
    def order(self) -> tuple[int, int]:
        """Requests of later runs and rounds are greater."""
        return run_number(self.header.run), self.header.round


class Attempts:
    """How often the open request ended in an error, and when it is tried again; forgotten with the program."""

    def __init__(self) -> None:
        self.request, self.number, self._next = "", 0, 0.0

    def may_try(self, request: str) -> bool:
        """Whether it is time for this request."""
        return request != self.request or time.monotonic() >= self._next

    def failed(self, request: str) -> float:
        """Note an error; in how many seconds the request is tried again."""
        self.number = self.number + 1 if request == self.request else 1
        self.request, pause = request, RETRY_SECONDS[min(self.number, len(RETRY_SECONDS)) - 1]
        self._next = time.monotonic() + pause
        return pause
