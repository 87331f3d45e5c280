"""The coordinator's letters on their way: put into the mailbox, put back when lost, cleared away in the end."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from flwr.app import ArrayRecord, Message, RecordDict

from pedseg.federation import _flower
from pedseg.federation.keys import Member, OwnKeys
from pedseg.federation.mailbox.messages import (
    ANSWERS,
    QUESTIONS,
    WEIGHTS,
    Model,
    Question,
    deliver,
    question_id,
    split,
    stem,
)
from pedseg.federation.mailbox.run_state import Run
from pedseg.federation.mailbox.sealed_message import Header, header_of, seal
from pedseg.federation.mailbox.storage import ObjectStore

log = logging.getLogger("flwr.pedseg.mailbox")


@dataclass
class Sent:
    """A question on its way: for whom, how Flower knows it, its envelope, when it was asked and where it lies."""

    member: Member
    message: Message
    stem: str
    envelope: bytes = field(repr=False)
    issued: float
    name: str = ""


class Outbox:
    """What the coordinator has written into `place` for its centers, which are known by their node numbers."""

    def __init__(
        self, place: ObjectStore, own: OwnKeys, members: Mapping[int, Member], run: Run, expires_seconds: float
    ) -> None:
        self.place, self.own, self.members, self.run = place, own, members, run
        self.expires_seconds = expires_seconds
        self.model: Model | None = None  # the last one that was sent
        ways = [f"{way}/{member.name}" for way in (QUESTIONS, ANSWERS) for member in members.values()]
        self._folders = [WEIGHTS, *ways]
        for folder in self._folders:
            place.make_folder(folder)

    def post(self, message: Message, round_: int) -> Sent:
        """Seal a question and put it into the mailbox, unless it lies there from before a crash."""
        node, kind = message.metadata.dst_node_id, message.metadata.message_type
        member, run, now = self.members[node], self.run, time.time()
        rest = RecordDict({name: record for name, record in message.content.items() if name != "arrays"})
        model = self._publish(_flower.arrays_of(message.content).get("arrays"), round_)
        one = question_id(run.secret, member.name, kind, rest, model.digest if model else b"")
        question = Question(
            kind, node - _flower.SERVER_NODE - 1, len(self.members), run.started, rest,
            model.name if model else "", model.key if model else b"",
        )  # fmt: skip
        header = Header(run.run, round_, one, self.own.name, member.name, now, now + self.expires_seconds)
        envelope = seal(question.to_bytes(), header, self.own, member)
        asked = _flower.with_content(message, RecordDict())  # answers refer to it; the model need not stay
        sent = Sent(member, asked, stem(run.run, round_, one), envelope, now)
        self._deliver(sent)
        return sent

    def _deliver(self, sent: Sent) -> None:
        folder = f"{QUESTIONS}/{sent.member.name}"

        def ours(raw: bytes) -> bool:
            """Whether we asked this before a crash and it is still valid; then the waiting began at that time."""
            header = header_of(raw, self.own.member, file=folder)
            if stem(header.run, header.round, header.question) != sent.stem or header.expires < time.time():
                return False
            sent.envelope, sent.issued = raw, header.issued
            return True

        sent.name = deliver(self.place, folder, sent.stem, sent.envelope, ours)

    def _publish(self, arrays: ArrayRecord | None, round_: int) -> Model | None:
        """Put the model of a round into the mailbox, once for all centers and questions."""
        if arrays is None:
            return None
        if self.model is None or self.model.arrays is not arrays:
            model = Model(self.run.secret, self.run.run, round_, arrays)
            if self.model is None or self.model.digest != model.digest:
                model.name = self._deliver_model(model)
            else:  # the model that was scored is the one to be trained on
                model.stem, model.name = self.model.stem, self.model.name
            self.model = model
        return self.model

    def _deliver_model(self, model: Model) -> str:
        sealed = model.sealed()
        return deliver(self.place, WEIGHTS, model.stem, sealed, sealed.__eq__).removeprefix(f"{WEIGHTS}/")

    def repair(self, waiting: Iterable[Sent]) -> None:
        """Put back what the place has lost, or what somebody changed there."""
        model = self.model
        if model and model.name:
            entry = self.place.names(WEIGHTS).get(model.name)
            if entry is None or (entry.etag != model.etag and self._differs(f"{WEIGHTS}/{model.name}", model.sealed())):
                self._put_back(f"{WEIGHTS}/{model.name}", model.sealed())
            else:
                model.etag = entry.etag
        for sent in waiting:
            if self._differs(sent.name, sent.envelope):
                self._put_back(sent.name, sent.envelope)

    def _differs(self, name: str, data: bytes) -> bool:
        try:
            return self.place.read(name) != data
        except FileNotFoundError:
            return True

    def _put_back(self, name: str, data: bytes) -> None:
        log.warning("E-MAIL-LOST %s: it was gone or changed; it is written again.", name)
        self.place.delete(name)
        with suppress(FileExistsError):  # somebody was faster; the next repair looks again
            self.place.write_once(name, data)

    def clear(self, round_: int) -> None:
        """Delete the letters of other runs and of rounds before the last one, whose checkpoint is on disk by now."""
        for folder in self._folders:
            for name in self.place.names(folder, parts=True):
                parts = split(name.removeprefix(".").partition(".")[0])  # a half one may be hidden
                in_use = self.model is not None and name == self.model.name  # a model may stay the same for long
                if parts and not in_use and (parts[0] != self.run.run or 0 < parts[1] < round_ - 1):
                    self.place.delete(f"{folder}/{name}")
