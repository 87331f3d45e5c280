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
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from flwr.app import Message, RecordDict

from pedseg.errors import InputProblem, PedsegInputError, input_error
from pedseg.federation import _flower
from pedseg.federation.in_process import OneRunGrid
from pedseg.federation.keys import Member, OwnKeys
from pedseg.federation.mailbox.messages import (
    ANSWERS,
    END,
    EXPIRES_SECONDS,
    LOOKS_BETWEEN_REPAIRS,
    answer_from_bytes,
    split,
    stem,
    stem_of,
)
from pedseg.federation.mailbox.outbox import Outbox, Sent
from pedseg.federation.mailbox.run_state import Run
from pedseg.federation.mailbox.sealed_message import unseal
from pedseg.federation.mailbox.storage import Entry, ObjectStore, backoff

SMALL_ANSWER = 16 << 20  # bytes; what an answer may hold beside the model
log = logging.getLogger("flwr.pedseg.mailbox")


class MailboxGrid(OneRunGrid):
    """Carries messages between a server and the centers `members` through `place`.

    The order of `members` is the order of the centers. `wait_seconds` and `least` say how long a
    round waits and for how many; `poll_seconds` is the longest pause between two looks.
    `refused` collects what was found in the mailbox and not let in.
    """

    def __init__(
        self,
        place: ObjectStore,
        own: OwnKeys,
        members: Sequence[Member],
        run: Run,
        *,
        wait_seconds: float = math.inf,
        least: int = 1,
        poll_seconds: float = 5.0,
        expires_seconds: float = EXPIRES_SECONDS,
    ) -> None:
        self.place, self.own, self.mail_run, self.name = place, own, run, run.run
        self.members = dict(enumerate(members, start=_flower.SERVER_NODE + 1))
        self.wait_seconds, self.least, self.poll_seconds = wait_seconds, least, poll_seconds
        self.refused: list[InputProblem] = []
        self.outbox = Outbox(place, own, self.members, run, expires_seconds)
        self._waiting: dict[str, Sent] = {}
        self._seen: set[tuple[str, str]] = set()  # what was refused, by name and stamp
        _flower.identify_server()

    def get_node_ids(self) -> Iterable[int]:
        """One number a center, in the order of the centers."""
        return list(self.members)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Put questions into the mailbox; what belongs to rounds before the last one is cleared away."""
        messages = list(messages)
        round_ = max(map(_round_of, messages), default=0)
        self.outbox.clear(round_)
        ids = []
        for message in messages:
            sent = self.outbox.post(message, round_)
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
        return [answer for answer in self.answers(messages, timeout=timeout) if answer]

    def answers(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterator[Message | None]:
        """The same one after the other in the order of the questions; None for a center that is waited for no longer.

        An answer is fetched when its turn has come, so that no more than one is held at a time.
        """
        asked = [self._waiting[one] for one in self.push_messages(messages)]
        start, given = time.time(), 0
        try:
            for place, sent in enumerate(asked):
                later = asked[place + 1 :]
                answer = self._await(sent, partial(self._long_enough, asked, later, given, start, timeout))
                given += answer is not None
                yield answer
        finally:
            for sent in asked:
                self._waiting.pop(sent.stem, None)

    def _await(self, sent: Sent, long_enough: Callable[[], bool]) -> Message | None:
        """The answer to one question, as soon as it is there; None if it was waited for long enough."""
        pauses, looks = backoff(0.05, self.poll_seconds), 0
        while not (found := list(self.pull_messages([sent.stem]))):
            if long_enough():
                return None
            time.sleep(next(pauses))
            looks += 1
            if looks % LOOKS_BETWEEN_REPAIRS == 0:
                self.repair()
        return found[0]

    def finish(self, records: RecordDict, round_: int) -> None:
        """Tell every center that the run is over, with the final model, and clear the rounds away."""
        self.outbox.clear(round_ + 2)
        for node in self.members:
            self.outbox.post(Message(records, dst_node_id=node, message_type=END), round_)

    def _long_enough(
        self, asked: Sequence[Sent], later: Sequence[Sent], given: int, start: float, timeout: float | None
    ) -> bool:
        """Whether to go on without a center that has not answered. Descriptions are always waited for.

        `given` answers were good; those of the `later` ones count if they lie there.
        """
        if timeout is not None and time.time() - start > timeout:
            return True
        if any(sent.message.metadata.message_type.startswith("query") for sent in asked):
            return False
        if time.time() - min(sent.issued for sent in asked) <= self.wait_seconds:
            return False
        return given + sum(map(self._lies_there, later)) >= self.least

    def _lies_there(self, sent: Sent) -> bool:
        """Whether something bears the name of the answer and was not refused."""
        folder = f"{ANSWERS}/{sent.member.name}"
        listed = self.place.names(folder).items()
        return any(stem_of(n) == sent.stem and (f"{folder}/{n}", one.etag) not in self._seen for n, one in listed)

    def repair(self) -> None:
        """Put back what the place has lost, or what somebody changed there."""
        self.outbox.repair(self._waiting.values())

    def _look(self, sent: Sent) -> Message | None:
        """The answer to a question, if a good one is there; what is no good is logged and left."""
        folder = f"{ANSWERS}/{sent.member.name}"
        for name, entry in sorted(self.place.names(folder).items()):
            file = f"{folder}/{name}"
            if (file, entry.etag) in self._seen:
                continue
            try:
                if self._may_answer(name, file, entry, sent):
                    return self._open(sent, file)
            except FileNotFoundError:
                continue
            except PedsegInputError as error:
                self._seen.add((file, entry.etag))
                self.refused += error.problems
                log.warning("%s", error)
        return None

    def _may_answer(self, name: str, file: str, entry: Entry, sent: Sent) -> bool:
        """Whether an object bears the name of the answer; refused if it is an answer to nothing, or far too large."""
        parts, asked = split(stem_of(name)), split(sent.stem)
        if stem_of(name) != sent.stem:
            if parts is None or asked is None or parts[0] != asked[0] or parts[1] > asked[1]:
                raise input_error("E-MAIL-UNASKED", file, "nobody asked for this.", "It is ignored.")
            return False  # of an earlier round, or to the other question of this one
        largest = SMALL_ANSWER + 2 * (self.outbox.model.size if self.outbox.model else 0)
        if entry.size > largest:
            raise input_error(
                "E-MAIL-SIZE", file, f"{entry.size} bytes are no answer, {largest} the most.", "It is ignored."
            )
        return True

    def _open(self, sent: Sent, file: str) -> Message:
        """A center's answer out of its envelope, if it is the answer to this question of this run and round."""
        header, content = unseal(self.place.read(file), self.own, sent.member, file=file)
        if header.run != self.mail_run.run:
            raise input_error("E-MAIL-RUN", file, f"it belongs to the run {header.run}.", "It is ignored.")
        if stem(header.run, header.round, header.question) != sent.stem:
            found = f"it answers another question, of round {header.round}: a replay."
            raise input_error("E-MAIL-REPLAY", file, found, "It is ignored; look at who may write to the mailbox.")
        answer = answer_from_bytes(content, sent.message, file)
        _flower.number_message(answer, f"{sent.stem}-answer")
        return answer


def _round_of(message: Message) -> int:
    """The round that a question belongs to; 0 before the first."""
    rounds = [record.get("server-round", 0) for record in _flower.configs_of(message.content).values()]
    return max((round_ for round_ in rounds if isinstance(round_, int)), default=0)
