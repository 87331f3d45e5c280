"""A center's side of a mailbox: poll for requests, work on them, write sealed replies back.

The center only calls out. It accepts nothing but what its coordinator signed for it, in the newest run, for a round
that is not over; everything else is refused by name, and named once. An error of its own is no reply: it is shown here
with file and remedy, its code alone goes to the coordinator, and the request is tried again until it succeeds or its
round is over.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path

from flwr.app import Context, Message, RecordDict, UserConfigValue

from pedseg.errors import PedsegInputError, input_error
from pedseg.federation import _flower, client_app, progress
from pedseg.federation.config import CenterConfig, MailboxConfig
from pedseg.federation.in_process import CenterError, problems_of
from pedseg.federation.keys import Member, OwnKeys
from pedseg.federation.mailbox.attempts import Attempts, CenterEvent, OpenedRequest
from pedseg.federation.mailbox.messages import (
    END,
    EXPIRES_SECONDS,
    MAX_REQUEST_BYTES,
    REPLIES,
    REQUESTS,
    SLACK_BYTES,
    WEIGHTS,
    Request,
    decrypt_weights,
    deliver,
    not_understood,
    run_number,
    split,
    stem,
    stem_of,
)
from pedseg.federation.mailbox.object_store import Entry, ObjectStore, polls
from pedseg.federation.mailbox.reply_store import ReplyStore, StoredReply
from pedseg.federation.mailbox.sealed_message import Header, seal, unseal
from pedseg.federation.mailbox.status import STATUS_FILE, Status, StatusWriter, clock_difference
from pedseg.federation.privacy.disclosure_log import FILE, Disclosure, DisclosureLog, measure

SHOW_SECONDS = 10.0  # between two lines about a training
MAX_NEW_OBJECTS = 50  # that are opened in one look; what is named as the newest comes first
log = logging.getLogger("flwr.pedseg.mailbox")


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
        self.max_model_bytes = 4 * CenterConfig.from_run_config(node_config).max_weights + MAX_REQUEST_BYTES
        self._opened: dict[tuple[str, str], OpenedRequest | None] = {}  # by name and etag; None: refused
        self._delivered: set[str] = set()
        self._model: tuple[str, RecordDict] = ("", RecordDict())
        self._bad_model: tuple[str, str] = ("", "")
        self._attempts = Attempts()
        self._told: set[str] = set()  # sentences that are said once
        self.outdated: dict[str, PedsegInputError] = {}  # by run: why we cannot go on in it
        self.status = StatusWriter(store, own, coordinator, state / STATUS_FILE)
        _flower.identify_server()

    def begin(self) -> None:
        """Try the mailbox before anything is asked; one that the coordinator has not made yet is waited for."""
        try:
            self.store.probe(self.replies_folder)
        except FileNotFoundError:
            self._say_once(f"{self.store.url} holds no mailbox for {self.own.name} yet; waiting for the coordinator")

    def events(self) -> Iterator[CenterEvent]:
        """Work until the coordinator ends the run, one event at a time; waits in between."""
        status = ""
        self.begin()
        with self.status.written_again():
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
        unread = 0
        for name, entry in sorted(self.store.list_objects(self.requests_folder).items(), reverse=True):
            unread += (name, entry.etag) not in self._opened
            if unread > MAX_NEW_OBJECTS:
                self._say_once(f"{self.requests_folder} holds many objects that are not ours; it takes several looks")
                break
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
        if ahead := clock_difference(header.issued):
            self._say_once(f"{ahead}; set the one that is wrong")
        try:
            opened = OpenedRequest(header, Request.from_bytes(content))
        except Exception as error:  # protobuf and Flower raise classes of their own
            raise not_understood(file, error) from error
        self._opened[name, entry.etag] = opened
        return opened

    def _needs_reply(self, opened: OpenedRequest, file: str) -> bool:
        """Whether there is something to do; refused if its run or round is over."""
        header, newest = opened.header, self.replies.newest
        if header.run in self.outdated:
            return self._refuse_outdated(opened, self.outdated[header.run])
        done = self.replies.find(header.run, header.request)
        if done and done.expires > time.time():
            self._deliver(done)
            return False
        if newest is None:
            return opened.request.message_type != END  # the end of a run in which we had no part
        if run_number(header.run) < run_number(newest.run):
            raise input_error("E-MAIL-RUN", file, f"the run {header.run} is over.", "It is ignored.")
        if header.run != newest.run and run_number(header.run) == run_number(newest.run):
            problem = f"the runs {header.run} and {newest.run} have one number: two coordinators use one key."
            raise input_error("E-TWO-COORDINATORS", file, problem, "It is ignored; call the coordinator.")
        if header.run != newest.run:
            return opened.request.message_type != END
        if header.round < newest.round:
            problem = f"it asks for round {header.round}, and round {newest.round} has begun."
            raise input_error("E-MAIL-ROUND", file, problem, "It is ignored.")
        return True

    def _refuse_outdated(self, opened: OpenedRequest, error: PedsegInputError) -> bool:
        """Refuse a request of a run whose cases have changed, and tell the coordinator; its final model is taken."""
        kind = opened.request.message_type
        if kind == END:
            self._say_once(f"{error} The final model of this run is of the earlier cases.")
            return True
        self.status.current = Status("failed", opened.header.round, kind, code=error.problems[0].code)
        self.status.write()
        raise error

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
            self.status.current = Status("waiting", header.round)
            yield CenterEvent("finished", header.round, records=records)
        elif self._attempts.may_try(header.request):
            yield self._attempt(opened, records)

    def _attempt(self, opened: OpenedRequest, records: RecordDict) -> CenterEvent:
        """Let the app reply to a request; its reply is committed and delivered, its error shown."""
        request, header = opened.request, opened.header
        node = _flower.SERVER_NODE + 1 + request.index
        node_config = {"partition-id": request.index, "num-partitions": request.centers, **self.node_config}
        context = Context(_flower.RUN_ID, node, node_config, self.replies.state(header.run), {})
        message = Message(records, dst_node_id=node, message_type=request.message_type)
        _flower.number_message(message, header.request)
        self.status.current = Status("working", header.round, request.message_type)
        try:
            with progress.reported_to(self._show_progress()):
                reply = self.app(message, context)
            if reply.has_error():
                raise CenterError(reply.error.reason)
        except Exception as error:  # whatever it was: mended data, a disk with room again, or a restart may help
            return self._failed(opened, error)
        self._commit(opened, reply, context.state)
        self.status.current = Status("waiting", header.round)
        log.info("round %d: the reply to %s has left", header.round, request.message_type)
        return CenterEvent("replied", header.round, request.message_type)

    def _failed(self, opened: OpenedRequest, error: Exception) -> CenterEvent:
        """Show an error here, tell its code to the coordinator, and try the request again later."""
        header, kind = opened.header, opened.request.message_type
        problems, pause = problems_of(error), self._attempts.failed(header.request)
        for problem in problems:
            log.warning("round %d, %s: %s", header.round, kind, problem)
        log.warning("it is tried again in %g s, or at once if this program is started again", pause)
        self.status.current = Status("failed", header.round, kind, code=problems[0].code)
        self.status.write()
        return CenterEvent("failed", header.round, kind, problems[0])

    def _show_progress(self) -> progress.Listener:
        """What shows a training here, and puts it into the status."""
        start = shown = time.monotonic()

        def show(step: int, steps: int, loss: float) -> None:
            nonlocal shown
            now = time.monotonic()
            left = round((now - start) / step * (steps - step))
            self.status.current = replace(self.status.current, step=step, steps=steps, seconds_left=left)
            if now - shown >= SHOW_SECONDS or step == steps:
                shown = now
                round_ = self.status.current.round
                log.info("round %d: step %d of %d, loss %.4f, %d s left", round_, step, steps, loss, left)

        return show

    def _say_once(self, sentence: str) -> None:
        if sentence not in self._told:
            self._told.add(sentence)
            log.warning("%s", sentence)

    def _commit(self, opened: OpenedRequest, reply: Message, state: RecordDict) -> None:
        header, request, now = opened.header, opened.request, time.time()
        run, round_, id_, expires = header.run, header.round, header.request, now + EXPIRES_SECONDS
        self._delivered.discard(id_)
        back = Header(run, round_, id_, self.own.name, self.coordinator.name, now, expires)
        envelope = seal(_flower.records_to_bytes(reply.content), back, self.own, self.coordinator)
        earlier = [entry.number for entry in (self.replies.newest, *self.disclosure_log.entries()) if entry]
        number = max(earlier, default=-1) + 1
        sizes = {"message_type": request.message_type, "sent_bytes": len(envelope)}
        disclosure = measure(reply, number=number, round_=round_, **sizes)  # type: ignore[arg-type]
        stored = StoredReply(run, round_, id_, number, expires, asdict(disclosure))
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
            file, most = f"{WEIGHTS}/{request.weights}", min(request.size, self.max_model_bytes) + SLACK_BYTES
            if entry.size > most:
                raise input_error("E-MAIL-SIZE", file, f"{entry.size} bytes, {most} at most.", "It is ignored.")
            encrypted = self.store.read(file)
            self._model = (request.weights, decrypt_weights(encrypted, request.key, request.weights))
        return RecordDict({**self._model[1], **request.records})


def _refused(error: PedsegInputError) -> CenterEvent:
    log.warning("%s", error)
    return CenterEvent("refused", problem=error.problems[0])
