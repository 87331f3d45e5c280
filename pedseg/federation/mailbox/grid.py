"""The coordinator's end of a mailbox: a Flower Grid whose messages are sealed objects in a shared place.

Coordinator and centers only ever call out to the place; none of them can be called. Everything
that is needed to go on after a crash lies in the place and in the run's folder: the same
questions get the same names, and an answer that is there is not asked for again.

A round waits for its centers. After `wait_seconds` it goes on as soon as `least` of them have
answered; a center that is left out is named, and asked again in the next round.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from flwr.app import ArrayRecord, Message, RecordDict

from pedseg.federation import _flower
from pedseg.federation.in_process import OneRunGrid
from pedseg.federation.keys import Member, OwnKeys
from pedseg.federation.mailbox.envelopes import Header, header_of, seal, unseal
from pedseg.federation.mailbox.letters import (
    ANSWERS,
    END,
    EXPIRES_SECONDS,
    LOOKS_BETWEEN_REPAIRS,
    QUESTIONS,
    WEIGHTS,
    Model,
    Question,
    answer_from_bytes,
    deliver,
    question_id,
    split,
    stem,
    stem_of,
)
from pedseg.federation.mailbox.runs import Run
from pedseg.federation.mailbox.storage import Entry, Place, in_turn
from pedseg.findings import Finding, PedsegInputError, refuse

SMALL_ANSWER = 16 << 20  # bytes; what an answer may hold beside the model
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


class MailboxGrid(OneRunGrid):
    """Carries messages between a server and the centers `members` through `place`.

    The order of `members` is the order of the centers. `wait_seconds` and `least` say how long a
    round waits and for how many; `poll_seconds` is the longest pause between two looks.
    `refused` collects what was found in the mailbox and not let in.
    """

    def __init__(
        self,
        place: Place,
        own: OwnKeys,
        members: Sequence[Member],
        run: Run,
        *,
        wait_seconds: float = math.inf,
        least: int = 1,
        poll_seconds: float = 5.0,
        expires_seconds: float = EXPIRES_SECONDS,
    ) -> None:
        self.place, self.own, self.mail_run = place, own, run
        self.members = dict(enumerate(members, start=_flower.SERVER_NODE + 1))
        self.wait_seconds, self.least, self.poll_seconds = wait_seconds, least, poll_seconds
        self.expires_seconds = expires_seconds
        self.refused: list[Finding] = []
        self._waiting: dict[str, Sent] = {}
        self._model: Model | None = None
        self._seen: set[tuple[str, str]] = set()  # what was refused, by name and stamp
        _flower.identify_server()
        ways = [f"{way}/{member.name}" for way in (QUESTIONS, ANSWERS) for member in members]
        self._folders = [WEIGHTS, *ways]
        for folder in self._folders:
            place.make_folder(folder)

    def get_node_ids(self) -> Iterable[int]:
        """One number a center, in the order of the centers."""
        return list(self.members)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Put questions into the mailbox; what belongs to rounds before the last one is cleared away."""
        messages = list(messages)
        round_ = max(map(_round_of, messages), default=0)
        self._clear(round_)
        ids = []
        for message in messages:
            sent = self._post(message, round_)
            self._waiting[sent.stem] = sent
            _flower.number_message(sent.message, sent.stem)
            ids.append(sent.stem)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """The answers that are there; each is given once."""
        answers = [self._look(self._waiting[stem]) for stem in message_ids if stem in self._waiting]
        found = [answer for answer in answers if answer]
        for answer in found:
            del self._waiting[answer.metadata.reply_to_message_id]
        return found

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Ask, and wait for the answers by the rule of this mailbox; `timeout` in seconds ends the waiting at once."""
        ids = list(self.push_messages(messages))
        asked = [self._waiting[one] for one in ids]
        answers: list[Message] = []
        pauses = in_turn(0.05, self.poll_seconds)
        start, looks = time.time(), 0
        while True:
            new = list(self.pull_messages(ids))
            answers += new
            if len(answers) == len(ids) or self._long_enough(asked, len(answers), start, timeout):
                break
            pauses = in_turn(0.05, self.poll_seconds) if new else pauses
            time.sleep(next(pauses))
            looks += 1
            if looks % LOOKS_BETWEEN_REPAIRS == 0:
                self.repair()
        for one in ids:
            self._waiting.pop(one, None)
        return answers

    def finish(self, records: RecordDict, round_: int) -> None:
        """Tell every center that the run is over, with the final model, and clear the rounds away."""
        self._clear(round_ + 2)
        for node in self.members:
            self._post(Message(records, dst_node_id=node, message_type=END), round_)

    def _long_enough(self, asked: Sequence[Sent], answered: int, start: float, timeout: float | None) -> bool:
        """Whether to go on without the centers that have not answered. Descriptions are always waited for."""
        if timeout is not None and time.time() - start > timeout:
            return True
        if any(sent.message.metadata.message_type.startswith("query") for sent in asked):
            return False
        issued = min((sent.issued for sent in asked), default=start)
        return time.time() - issued > self.wait_seconds and answered >= self.least

    def _post(self, message: Message, round_: int) -> Sent:
        """Seal a question and put it into the mailbox, unless it lies there from before a crash."""
        node, kind = message.metadata.dst_node_id, message.metadata.message_type
        member, run, now = self.members[node], self.mail_run, time.time()
        rest = RecordDict({name: record for name, record in message.content.items() if name != "arrays"})
        model = self._publish(message.content.array_records.get("arrays"), round_)
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
        if self._model is None or self._model.arrays is not arrays:
            model = Model(self.mail_run.secret, self.mail_run.run, round_, arrays)
            if self._model is None or self._model.digest != model.digest:
                model.name = self._deliver_model(model)
            else:  # the model that was scored is the one to be trained on
                model.stem, model.name = self._model.stem, self._model.name
            self._model = model
        return self._model

    def _deliver_model(self, model: Model) -> str:
        sealed = model.sealed()
        return deliver(self.place, WEIGHTS, model.stem, sealed, sealed.__eq__).removeprefix(f"{WEIGHTS}/")

    def _look(self, sent: Sent) -> Message | None:
        """The answer to a question, if a good one is there; what is no good is logged and left."""
        folder = f"{ANSWERS}/{sent.member.name}"
        for name, entry in sorted(self.place.names(folder).items()):
            file = f"{folder}/{name}"
            if (file, entry.stamp) in self._seen:
                continue
            try:
                if self._may_answer(name, file, entry, sent):
                    return self._open(sent, file)
            except FileNotFoundError:
                continue
            except PedsegInputError as error:
                self._seen.add((file, entry.stamp))
                self.refused += error.findings
                log.warning("%s", error)
        return None

    def _may_answer(self, name: str, file: str, entry: Entry, sent: Sent) -> bool:
        """Whether an object bears the name of the answer; refused if it is an answer to nothing, or far too large."""
        parts, asked = split(stem_of(name)), split(sent.stem)
        if stem_of(name) != sent.stem:
            if parts is None or asked is None or parts[0] != asked[0] or parts[1] > asked[1]:
                raise refuse("E-MAIL-UNASKED", file, "nobody asked for this.", "It is ignored.")
            return False  # of an earlier round, or to the other question of this one
        largest = SMALL_ANSWER + 2 * (self._model.size if self._model else 0)
        if entry.size > largest:
            raise refuse(
                "E-MAIL-SIZE", file, f"{entry.size} bytes are no answer, {largest} the most.", "It is ignored."
            )
        return True

    def _open(self, sent: Sent, file: str) -> Message:
        """A center's answer out of its envelope, if it is the answer to this question of this run and round."""
        header, content = unseal(self.place.read(file), self.own, sent.member, file=file)
        if header.run != self.mail_run.run:
            raise refuse("E-MAIL-RUN", file, f"it belongs to the run {header.run}.", "It is ignored.")
        if stem(header.run, header.round, header.question) != sent.stem:
            found = f"it answers another question, of round {header.round}: a replay."
            raise refuse("E-MAIL-REPLAY", file, found, "It is ignored; look at who may write to the mailbox.")
        answer = answer_from_bytes(content, sent.message, file)
        _flower.number_message(answer, f"{sent.stem}-answer")
        return answer

    def repair(self) -> None:
        """Put back what the place has lost, or what somebody changed there."""
        model = self._model
        if model and model.name:
            entry = self.place.names(WEIGHTS).get(model.name)
            if entry is None or (
                entry.stamp != model.stamp and self._differs(f"{WEIGHTS}/{model.name}", model.sealed())
            ):
                self._put_back(f"{WEIGHTS}/{model.name}", model.sealed())
            else:
                model.stamp = entry.stamp
        for sent in self._waiting.values():
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

    def _clear(self, round_: int) -> None:
        """Delete the letters of other runs and of rounds before the last one, whose checkpoint is on disk by now."""
        for folder in self._folders:
            for name in self.place.names(folder, parts=True):
                parts = split(name.removeprefix(".").partition(".")[0])  # a half one may be hidden
                in_use = self._model is not None and name == self._model.name  # a model may stay the same for long
                if parts and not in_use and (parts[0] != self.mail_run.run or 0 < parts[1] < round_ - 1):
                    self.place.delete(f"{folder}/{name}")


def _round_of(message: Message) -> int:
    """The round that a question belongs to; 0 before the first."""
    rounds = [record.get("server-round", 0) for record in message.content.config_records.values()]
    return max((round_ for round_ in rounds if isinstance(round_, int)), default=0)
