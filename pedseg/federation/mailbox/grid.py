"""The coordinator's side of a mailbox: a Flower Grid whose messages are sealed objects in a shared store.

Coordinator and centers only ever call out to the store; none of them can be called. Everything that is needed to
resume after a crash is in the store and in the run's folder: the same requests get the same names, and a reply that
is there is not asked for again.

A round waits for its centers. After the timeout it goes on as soon as `min_centers` of them have replied; a center
that is left out is named, and asked again in the next round.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from flwr.app import Message, RecordDict

from pedseg.errors import InputProblem, PedsegInputError, input_error
from pedseg.federation import _flower
from pedseg.federation.config import MailboxConfig
from pedseg.federation.in_process import SingleRunGrid
from pedseg.federation.keys import Member, OwnKeys
from pedseg.federation.mailbox.messages import (
    END,
    EXPIRES_SECONDS,
    REPLIES,
    reply_from_bytes,
    split,
    stem,
    stem_of,
)
from pedseg.federation.mailbox.object_store import Entry, ObjectStore, polls
from pedseg.federation.mailbox.outbox import Outbox, Run, Sent
from pedseg.federation.mailbox.sealed_message import unseal

MAX_REPLY_BYTES = 16 << 20  # beside the model
log = logging.getLogger("flwr.pedseg.mailbox")


class MailboxGrid(SingleRunGrid):
    """Carries messages between a server and the centers `members` through `store`.

    The order of `members` is the order of the centers. `config` says how long a round waits and for how many.
    `refused` collects what was found in the mailbox and not let in.
    """

    def __init__(
        self, store: ObjectStore, own: OwnKeys, members: Sequence[Member], run: Run, config: MailboxConfig, *,
        expires_seconds: float = EXPIRES_SECONDS,
    ) -> None:  # fmt: skip
        self.store, self.own, self.config, self.name = store, own, config, run.id
        self.members = dict(enumerate(members, start=_flower.SERVER_NODE + 1))
        self.refused: list[InputProblem] = []
        self.outbox = Outbox(store, own, self.members, run, expires_seconds)
        self._waiting: dict[str, Sent] = {}
        self._seen: set[tuple[str, str]] = set()  # what was refused, by name and etag
        _flower.identify_server()

    def get_node_ids(self) -> Iterable[int]:
        """One number a center, in the order of the centers."""
        return list(self.members)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Write requests into the mailbox; what belongs to rounds before the last one is deleted."""
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
        """The replies that are there; each is given once."""
        replies = [self._look(self._waiting[stem]) for stem in message_ids if stem in self._waiting]
        new = [reply for reply in replies if reply]
        for reply in new:
            del self._waiting[reply.metadata.reply_to_message_id]
        return new

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Send, and wait for the replies as configured; `timeout` in seconds ends the waiting at once."""
        return [reply for reply in self.replies_in_order(messages, timeout=timeout) if reply]

    def replies_in_order(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterator[Message | None]:
        """The same one after the other in the order of the messages; None for a center that is waited for no longer.

        A reply is fetched when its turn has come, so that no more than one is held at a time.
        """
        sent = [self._waiting[message_id] for message_id in self.push_messages(messages)]
        start, replied = time.time(), 0
        try:
            for index, current in enumerate(sent):
                waited = partial(self._waited_enough, sent, sent[index + 1 :], replied, start, timeout)
                reply = self._await(current, waited)
                replied += reply is not None
                yield reply
        finally:
            for request in sent:
                self._waiting.pop(request.stem, None)

    def _await(self, sent: Sent, waited_enough: Callable[[], bool]) -> Message | None:
        """The reply to one request, as soon as it is there; None if it was waited for long enough."""
        for _ in polls(self.config.poll, self.repair):
            if replies := list(self.pull_messages([sent.stem])):
                return replies[0]
            if waited_enough():
                break
        return None

    def finish(self, records: RecordDict, round_: int) -> None:
        """Tell every center that the run is over, with the final model, and delete the rounds' messages."""
        self.outbox.clear(round_ + 2)
        for node in self.members:
            self.outbox.post(Message(records, dst_node_id=node, message_type=END), round_)

    def _waited_enough(
        self, sent: Sequence[Sent], later: Sequence[Sent], replied: int, start: float, timeout: float | None
    ) -> bool:
        """Whether to go on without a center that has not replied. Fingerprints are always waited for.

        `replied` centers have sent good replies; those of the `later` ones count if they are in the mailbox.
        """
        if timeout is not None and time.time() - start > timeout:
            return True
        if any(request.message.metadata.message_type.startswith("query") for request in sent):
            return False
        if time.time() - min(request.issued for request in sent) <= 3600 * self.config.round_timeout:
            return False
        return replied + sum(map(self._is_there, later)) >= self.config.min_centers

    def _is_there(self, sent: Sent) -> bool:
        """Whether something has the name of the reply and was not refused."""
        folder = f"{REPLIES}/{sent.member.name}"
        objects = self.store.list_objects(folder).items()
        return any(stem_of(n) == sent.stem and (f"{folder}/{n}", entry.etag) not in self._seen for n, entry in objects)

    def repair(self) -> None:
        """Write again what the store has lost, or what somebody changed there."""
        self.outbox.repair(self._waiting.values())

    def _look(self, sent: Sent) -> Message | None:
        """The reply to a request, if a good one is there; others are logged and left."""
        folder = f"{REPLIES}/{sent.member.name}"
        for name, entry in sorted(self.store.list_objects(folder).items()):
            file = f"{folder}/{name}"
            if (file, entry.etag) in self._seen:
                continue
            try:
                if self._may_be_reply(name, file, entry, sent):
                    return self._open(sent, file)
            except FileNotFoundError:
                continue
            except PedsegInputError as error:
                self._seen.add((file, entry.etag))
                self.refused += error.problems
                log.warning("%s", error)
        return None

    def _may_be_reply(self, name: str, file: str, entry: Entry, sent: Sent) -> bool:
        """Whether an object has the name of the reply; refused if it is a reply to nothing, or far too large."""
        parts, asked = split(stem_of(name)), split(sent.stem)
        if stem_of(name) != sent.stem:
            if parts is None or asked is None or parts[0] != asked[0] or parts[1] > asked[1]:
                raise input_error("E-MAIL-UNASKED", file, "nobody asked for this.", "It is ignored.")
            return False  # of an earlier round, or to the other request of this one
        largest = MAX_REPLY_BYTES + 2 * (self.outbox.model.size if self.outbox.model else 0)
        if entry.size > largest:
            problem = f"{entry.size} bytes are no reply, {largest} the most."
            raise input_error("E-MAIL-SIZE", file, problem, "It is ignored.")
        return True

    def _open(self, sent: Sent, file: str) -> Message:
        """A center's reply out of its envelope, if it is the reply to this request of this run and round."""
        header, content = unseal(self.store.read(file), self.own, sent.member, file=file)
        if header.run != self.name:
            raise input_error("E-MAIL-RUN", file, f"it belongs to the run {header.run}.", "It is ignored.")
        if stem(header.run, header.round, header.request) != sent.stem:
            problem = f"it is the reply to another request, of round {header.round}: a replay."
            raise input_error("E-MAIL-REPLAY", file, problem, "It is ignored; look at who may write to the mailbox.")
        reply = reply_from_bytes(content, sent.message, file)
        _flower.number_message(reply, f"{sent.stem}-reply")
        return reply


def _round_of(message: Message) -> int:
    """The round that a message belongs to; 0 before the first."""
    rounds = [record.get("server-round", 0) for record in _flower.configs_of(message.content).values()]
    return max((round_ for round_ in rounds if isinstance(round_, int)), default=0)
