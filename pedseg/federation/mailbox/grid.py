"""The coordinator's side of a mailbox: a Flower Grid whose messages are sealed objects in a shared store.

Coordinator and centers only ever call out to the store; none of them can be called. Everything that is needed to
resume after a crash is in the store and in the run's folder: the same requests get the same names, and a reply that
is there is not asked for again.

A round waits for its centers. After the timeout it goes on as soon as `min_centers` of them have replied; a center
that is left out is named, and asked again in the next round. It is waited for again as soon as it shows a sign of life:
one that is gone costs one timeout, not one a round. An error of a center is no reply: it is told, and waited out.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

from flwr.app import Message, RecordDict

from pedseg.errors import InputProblem, PedsegInputError, input_error
from pedseg.federation import _flower
from pedseg.federation.config import MailboxConfig
from pedseg.federation.in_process import SingleRunGrid
from pedseg.federation.keys import Member, OwnKeys
from pedseg.federation.mailbox.messages import END, EXPIRES_SECONDS, REPLIES, reply_from_bytes, split, stem, stem_of
from pedseg.federation.mailbox.object_store import Entry, ObjectStore, polls
from pedseg.federation.mailbox.outbox import Outbox, Run, Sent
from pedseg.federation.mailbox.sealed_message import unseal
from pedseg.federation.mailbox.status import SignOfLife, StatusReader

LISTEN_SECONDS = 5.0  # between two looks at the signs of life
TELL_SECONDS = 60.0  # between two lines about the same centers that are waited for
MAX_NAMED = 20  # strays in a center's folder that are named one by one
MAX_REPLY_BYTES = 16 << 20  # beside the model
log = logging.getLogger("flwr.pedseg.mailbox")


class MailboxGrid(SingleRunGrid):
    """Carries messages between a server and the centers `members` through `store`.

    The order of `members` is the order of the centers. `config` says how long a round waits and for how many.
    `refused` collects what was found in the mailbox and not let in. `watch` is called with the names of the centers
    that are waited for, and all signs of life by name, whenever these were looked at.
    """

    def __init__(
        self, store: ObjectStore, own: OwnKeys, members: Sequence[Member], run: Run, config: MailboxConfig, *,
        expires_seconds: float = EXPIRES_SECONDS,
        watch: Callable[[Sequence[str], Mapping[str, SignOfLife]], None] = lambda waiting, signs: None,
    ) -> None:  # fmt: skip
        self.store, self.own, self.config, self.name = store, own, config, run.id
        self.members = dict(enumerate(members, start=_flower.SERVER_NODE + 1))
        self.refused: list[InputProblem] = []
        self.outbox = Outbox(store, own, self.members, run, expires_seconds)
        self._waiting: dict[str, Sent] = {}
        self._seen: set[tuple[str, str]] = set()  # what was refused, by name and etag
        self._strays: Counter[str] = Counter()  # by folder
        self.statuses, self.watch = StatusReader(store, own), watch
        self._gone: dict[int, int] = {}  # node that missed a round -> the number of its last sign of life
        self._listened, self._said = -math.inf, ("", -math.inf)
        _flower.identify_server()

    def node_name(self, node_id: int) -> str:
        """The name of the center with this number."""
        return self.members[node_id].name

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
                waited = partial(self._waited_enough, sent, index, replied, start, timeout)
                reply = self._await(current, sent[index:], waited)
                replied += reply is not None
                self._note(current, reply is not None)
                yield reply
        finally:
            for request in sent:
                self._waiting.pop(request.stem, None)

    def _await(self, sent: Sent, open_: Sequence[Sent], waited_enough: Callable[[], bool]) -> Message | None:
        """The reply to one request, as soon as it is there; None if it was waited for long enough."""
        for _ in polls(self.config.poll, self.repair):
            if replies := list(self.pull_messages([sent.stem])):
                return replies[0]
            self._listen(open_)
            if waited_enough():
                break
        return None

    def _note(self, sent: Sent, replied: bool) -> None:
        """Note who missed a round, until it replies or shows a sign of life."""
        node = sent.message.metadata.dst_node_id
        self._gone.pop(node, None)
        if not replied:
            sign = self.statuses.signs.get(sent.member.name)
            self._gone[node] = sign.number if sign else -1
            log.info("no reply came in time from %s", self._last_sign(sent.member))

    def _is_gone(self, sent: Sent) -> bool:
        """Whether a center missed the last round, and was not heard of since but with an error."""
        sign, node = self.statuses.signs.get(sent.member.name), sent.message.metadata.dst_node_id
        return node in self._gone and (sign is None or sign.number <= self._gone[node] or sign.status.phase == "failed")

    def _listen(self, sent: Sequence[Sent]) -> None:
        """Look at the signs of life of the centers that are waited for, now and then, and tell who these are."""
        now = time.monotonic()
        if now - self._listened < LISTEN_SECONDS:
            return
        self._listened = now
        open_ = [request for request in sent if not self._is_there(request)]
        for request in open_:
            self.statuses.look(request.member)
        names = [request.member.name for request in open_]
        self.watch(names, self.statuses.signs)
        errors = [self.statuses.signs[name].status.code for name in names if name in self.statuses.signs]
        said = " ".join(names + errors)
        if open_ and (said != self._said[0] or now - self._said[1] > TELL_SECONDS):
            self._said = said, now
            log.info("waiting for %s", "; ".join(self._last_sign(request.member) for request in open_))

    def _last_sign(self, member: Member) -> str:
        sign = self.statuses.signs.get(member.name)
        if sign is None:
            return f"{member.name} (not heard of yet)"
        return f"{member.name} ({sign.status}; {time.monotonic() - sign.seen:.0f} s ago)"

    def finish(self, records: RecordDict, round_: int) -> None:
        """Tell every center that the run is over, with the final model, and delete the rounds' messages."""
        self.outbox.clear(round_ + 2)
        for node in self.members:
            self.outbox.post(Message(records, dst_node_id=node, message_type=END), round_)

    def _waited_enough(
        self, sent: Sequence[Sent], index: int, replied: int, start: float, timeout: float | None
    ) -> bool:
        """Whether to go on without the center at `index`, which has not replied.

        `replied` centers before it have sent good replies; those of the later ones count if they are in the mailbox.
        """
        if timeout is not None and time.time() - start > timeout:
            return True
        longest = 3600 * self.config.round_timeout
        if any(request.message.metadata.message_type.startswith("query") for request in sent):
            return time.time() - start > longest  # whoever leads the federation is told who is missing
        there = replied + sum(map(self._is_there, sent[index + 1 :]))
        if time.time() - min(request.issued for request in sent) > longest:
            return there >= self.config.min_centers
        alive = sum(not self._is_gone(request) for request in sent)
        return self._is_gone(sent[index]) and there >= max(self.config.min_centers, alive)

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
                self._refuse(folder, error)
        return None

    def _refuse(self, folder: str, error: PedsegInputError) -> None:
        """Name what is not let in; of very many strays the first ones."""
        self._strays[folder] += 1
        if self._strays[folder] <= MAX_NAMED:
            self.refused += error.problems
            log.warning("%s", error)
        elif self._strays[folder] == MAX_NAMED + 1:
            log.warning("E-MAIL-STRAYS %s: it holds many more objects that nobody asked for; ask its center.", folder)

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
