"""A center's side of a mailbox: poll for requests, work on them, write sealed replies back.

The center only calls out. It accepts nothing but what its coordinator signed for it, in the newest run, for a round
that is not over; everything else is refused by name, and named once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from flwr.app import Context, Message, RecordDict, UserConfigValue

from pedseg.errors import InputProblem, PedsegInputError, input_error
from pedseg.federation import _flower, client_app
from pedseg.federation.config import MailboxConfig
from pedseg.federation.in_process import call_client
from pedseg.federation.keys import Member, OwnKeys
from pedseg.federation.mailbox.messages import (
    END,
    EXPIRES_SECONDS,
    MAX_REQUEST_BYTES,
    REPLIES,
    REQUESTS,
    WEIGHTS,
    Request,
    decrypt_weights,
    deliver,
    not_understood,
    reply_to_bytes,
    split,
    stem,
    stem_of,
)
from pedseg.federation.mailbox.object_store import Entry, ObjectStore, polls
from pedseg.federation.mailbox.reply_store import ReplyStore, StoredReply
from pedseg.federation.mailbox.sealed_message import Header, seal, unseal
from pedseg.federation.privacy.disclosure_log import FILE, Disclosure, DisclosureLog, measure

log = logging.getLogger("flwr.pedseg.mailbox")


@dataclass(frozen=True)
class CenterEvent:
    """Something that happened at a center: `replied`, `refused`, or `finished` with the final model's records."""

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
    def order(self) -> tuple[float, int]:
        """Requests of later runs and rounds are greater."""
        return self.request.started, self.header.round


class CenterMailbox:
    """One center's view of a mailbox; its replies, their states and its disclosure log are under `state`.

    `node_config` is what the app reads as `context.node_config`, such as `{"data-dir": "/data/a"}`.
    """

    def __init__(
        self, store: ObjectStore, own: OwnKeys, coordinator: Member, node_config: Mapping[str, UserConfigValue],
        state: Path, app: Callable[[Message, Context], Message] = client_app.app,
        config: MailboxConfig = MailboxConfig(),
    ) -> None:  # fmt: skip
        self.store, self.own, self.coordinator = store, own, coordinator
        self.node_config, self.app, self.config = dict(node_config), app, config
        self.replies = ReplyStore(state / "replies")
        self.disclosure_log = DisclosureLog(state / FILE)
        for reply in self.replies.all:  # the last one may have been committed just before a crash
            self.disclosure_log.enter(Disclosure(**reply.disclosure))
        self.requests_folder, self.replies_folder = f"{REQUESTS}/{own.name}", f"{REPLIES}/{own.name}"
        self._opened: dict[tuple[str, str], OpenedRequest | None] = {}  # by name and etag; None: refused
        self._delivered: set[str] = set()
        self._model: tuple[str, RecordDict] = ("", RecordDict())
        self._bad_model: tuple[str, str] = ("", "")
        _flower.identify_server()

    def events(self) -> Iterator[CenterEvent]:
        """Work until the coordinator ends the run, one event at a time; waits in between."""
        status = ""
        while status != "finished":
            status = ""
            for _ in polls(self.config.poll, self.repair):
                for event in self.poll():
                    status = event.status
                    yield event
                if status:
                    break  # the next poll follows at once

    def repair(self) -> None:
        """Trust nothing that was seen before: what is missing in the mailbox is delivered again."""
        self._delivered.clear()
        self._bad_model = ("", "")

    def poll(self) -> Iterator[CenterEvent]:
        """Look once: refuse what is not valid, deliver again what is lost, reply to the newest request."""
        waiting: list[OpenedRequest] = []
        for name, entry in sorted(self.store.list_objects(self.requests_folder).items()):
            try:
                opened = self._open(name, entry)
                if opened and self._needs_reply(opened, f"{self.requests_folder}/{name}"):
                    waiting.append(opened)
            except FileNotFoundError:  # deleted since it was listed
                continue
            except PedsegInputError as error:
                self._opened[name, entry.etag] = None
                yield _refused(error)
        if waiting:
            yield from self._work(max(waiting, key=lambda opened: opened.order))

    def _open(self, name: str, entry: Entry) -> OpenedRequest | None:
        """The request under a name, opened once; None if it was refused before."""
        if (name, entry.etag) in self._opened:
            return self._opened[name, entry.etag]
        file = f"{self.requests_folder}/{name}"
        if entry.size > MAX_REQUEST_BYTES:
            raise input_error("E-MAIL-SIZE", file, f"{entry.size} bytes are no request.", "It is ignored.")
        header, content = unseal(self.store.read(file), self.own, self.coordinator, file=file)
        if split(stem_of(name)) != (header.run, header.round, header.request):
            problem = f"it is the request of another name, of round {header.round}: a replay."
            raise input_error("E-MAIL-REPLAY", file, problem, "It is ignored; look at who may write to the mailbox.")
        try:
            opened = OpenedRequest(header, Request.from_bytes(content))
        except Exception as error:  # protobuf and Flower raise classes of their own
            raise not_understood(file, error) from error
        self._opened[name, entry.etag] = opened
        return opened

    def _needs_reply(self, opened: OpenedRequest, file: str) -> bool:
        """Whether there is something to do; refused if its run or round is over."""
        header, newest = opened.header, self.replies.newest
        done = self.replies.find(header.run, header.request)
        if done and done.expires > time.time():
            self._deliver(done)
            return False
        if newest is None:
            return opened.request.message_type != END  # the end of a run in which we had no part
        if opened.request.started < newest.started:
            raise input_error("E-MAIL-RUN", file, f"the run {header.run} is over.", "It is ignored.")
        if header.run != newest.run:
            return opened.request.message_type != END
        if header.round < newest.round:
            problem = f"it asks for round {header.round}, and round {newest.round} has begun."
            raise input_error("E-MAIL-ROUND", file, problem, "It is ignored.")
        return True

    def _work(self, opened: OpenedRequest) -> Iterator[CenterEvent]:
        """Reply to a request, commit the reply, deliver it."""
        request, header = opened.request, opened.header
        try:
            records = self._with_model(request)
        except FileNotFoundError:
            return  # deleted, or not there yet
        except PedsegInputError as error:
            yield _refused(error)
            return
        if records is None:
            return
        if request.message_type == END:
            yield CenterEvent("finished", header.round, records=records)
            return
        node = _flower.SERVER_NODE + 1 + request.index
        node_config = {"partition-id": request.index, "num-partitions": request.centers, **self.node_config}
        context = Context(_flower.RUN_ID, node, node_config, self.replies.state(header.run), {})
        message = Message(records, dst_node_id=node, message_type=request.message_type)
        _flower.number_message(message, header.request)
        self._commit(opened, call_client(self.app, message, context), context.state)
        yield CenterEvent("replied", header.round, request.message_type)

    def _commit(self, opened: OpenedRequest, reply: Message, state: RecordDict) -> None:
        header, request, now = opened.header, opened.request, time.time()
        run, round_, id_, expires = header.run, header.round, header.request, now + EXPIRES_SECONDS
        self._delivered.discard(id_)
        back = Header(run, round_, id_, self.own.name, self.coordinator.name, now, expires)
        envelope = seal(reply_to_bytes(reply), back, self.own, self.coordinator)
        earlier = [entry.number for entry in (self.replies.newest, *self.disclosure_log.entries()) if entry]
        number = max(earlier, default=-1) + 1
        sizes = {"message_type": request.message_type, "sent_bytes": len(envelope)}
        disclosure = measure(reply, number=number, round_=round_, **sizes)  # type: ignore[arg-type]
        stored = StoredReply(run, request.started, round_, id_, number, expires, asdict(disclosure))
        self.replies.commit(stored, envelope, state)
        self.disclosure_log.enter(disclosure)
        self._deliver(stored)

    def _deliver(self, reply: StoredReply) -> None:
        """Write a committed reply into the mailbox, if it is not there."""
        if reply.request not in self._delivered:
            envelope, name = self.replies.envelope(reply), stem(reply.run, reply.round, reply.request)
            deliver(self.store, self.replies_folder, name, envelope, envelope.__eq__)
            self._delivered.add(reply.request)

    def _with_model(self, request: Request) -> RecordDict | None:
        """The records of a request together with the model that comes with it; None if it is known to be damaged."""
        if not request.weights:
            return request.records
        if self._model[0] != request.weights:
            entry = self.store.list_objects(WEIGHTS).get(request.weights)
            if entry is None or self._bad_model == (request.weights, entry.etag):
                return None
            self._bad_model = (request.weights, entry.etag)
            encrypted = self.store.read(f"{WEIGHTS}/{request.weights}")
            self._model = (request.weights, decrypt_weights(encrypted, request.key, request.weights))
        return RecordDict({**self._model[1], **request.records})


def _refused(error: PedsegInputError) -> CenterEvent:
    log.warning("%s", error)
    return CenterEvent("refused", problem=error.problems[0])
