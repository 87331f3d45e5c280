"""The coordinator's requests in a mailbox: written, written again when lost, deleted; and its run on disk."""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from flwr.app import ArrayRecord, Message, RecordDict

from pedseg.errors import PedsegInputError, input_error
from pedseg.federation import _flower
from pedseg.federation.keys import Member, OwnKeys
from pedseg.federation.mailbox.messages import (
    MAX_REQUEST_BYTES,
    REPLIES,
    REQUESTS,
    RUN_DIGITS,
    WEIGHTS,
    Model,
    Request,
    deliver,
    request_id,
    run_number,
    split,
    stem,
)
from pedseg.federation.mailbox.object_store import ObjectStore
from pedseg.federation.mailbox.sealed_message import Header, header_of, seal
from pedseg.federation.mailbox.status import STATUS
from pedseg.files import write_atomically

log = logging.getLogger("flwr.pedseg.mailbox")


@dataclass(frozen=True)
class Run:
    """One run of a federation: its public id, which begins with its number, and a secret for names and keys."""

    id: str
    secret: bytes = field(repr=False)


def resume(folder: Path, identity: str, counter: Path) -> Run:
    """The run whose state is in a folder, if it has the same identity; else the next one, written there.

    `counter` is the file that counts the runs of a coordinator, beside its private key.
    """
    file = folder / "run.json"
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
        if state["identity"] == identity:
            return Run(state["id"], bytes.fromhex(state["secret"]))
    except (FileNotFoundError, KeyError, ValueError):
        pass
    number = _next_number(counter)
    run = Run(f"{number:0{RUN_DIGITS}x}{secrets.token_hex((16 - RUN_DIGITS) // 2)}", secrets.token_bytes(32))
    state = {"id": run.id, "secret": run.secret.hex(), "identity": identity}
    write_atomically(file, json.dumps(state).encode(), mode=0o600)
    return run


def _next_number(counter: Path) -> int:
    try:
        number = int(counter.read_text(encoding="utf-8")) + 1 if counter.exists() else 1
    except ValueError as error:
        remedy = f"Write the number of the last run into it, as {REQUESTS}/… in the mailbox names it."
        raise input_error("E-RUN-COUNT", counter, "it holds no number.", remedy) from error
    if not 0 < number < 16**RUN_DIGITS:
        raise input_error("E-RUN-COUNT", counter, f"{number} is no number of a run.", "Make new keys.")
    write_atomically(counter, str(number).encode())
    return number


@dataclass
class Sent:
    """A sent request: its receiver, Flower's message, its envelope, when it was issued, and its name in the store."""

    member: Member
    message: Message
    stem: str
    envelope: bytes = field(repr=False)
    issued: float
    name: str = ""


class Outbox:
    """What the coordinator has written into `store` for its centers, which are known by their node ids."""

    def __init__(
        self, store: ObjectStore, own: OwnKeys, members: Mapping[int, Member], run: Run, expires_seconds: float
    ) -> None:
        self.store, self.own, self.members, self.run = store, own, members, run
        self.expires_seconds = expires_seconds
        self.model: Model | None = None  # the last one that was sent
        self.another: PedsegInputError | None = None  # another coordinator with our keys
        folders = [f"{way}/{member.name}" for way in (REQUESTS, REPLIES) for member in members.values()]
        self._folders = [WEIGHTS, *folders]
        for folder in (*self._folders, *(f"{REPLIES}/{member.name}/{STATUS}" for member in members.values())):
            store.make_folder(folder)

    def post(self, message: Message, round_: int) -> Sent:
        """Seal a request and write it into the mailbox, unless it is there from before a crash."""
        node, message_type = message.metadata.dst_node_id, message.metadata.message_type
        member, run, now = self.members[node], self.run, time.time()
        rest = RecordDict({name: record for name, record in message.content.items() if name != "arrays"})
        model = self._publish(_flower.arrays_of(message.content).get("arrays"), round_)
        name, size, key, digest = (model.name, model.size, model.key, model.digest) if model else ("", 0, b"", b"")
        index = node - _flower.SERVER_NODE - 1
        request = Request(message_type, index, len(self.members), rest, name, size, key)
        id_ = request_id(run.secret, member.name, message_type, rest, digest)
        header = Header(run.id, round_, id_, self.own.name, member.name, now, now + self.expires_seconds)
        envelope = seal(request.to_bytes(), header, self.own, member)
        without_content = _flower.with_content(message, RecordDict())  # replies refer to it; the model need not stay
        sent = Sent(member, without_content, stem(run.id, round_, id_), envelope, now)
        self._deliver(sent)
        return sent

    def _deliver(self, sent: Sent) -> None:
        folder = f"{REQUESTS}/{sent.member.name}"

        def is_ours(raw: bytes) -> bool:
            """Whether we sent this before a crash and it is still valid; then the waiting began at that time."""
            header = header_of(raw, self.own.member, file=folder)
            if stem(header.run, header.round, header.request) != sent.stem or header.expires < time.time():
                return False
            sent.envelope, sent.issued = raw, header.issued
            return True

        sent.name = deliver(self.store, folder, sent.stem, sent.envelope, is_ours)

    def _publish(self, arrays: ArrayRecord | None, round_: int) -> Model | None:
        """Write the model of a round into the mailbox, once for all centers and requests."""
        if arrays is None:
            return None
        if self.model is None or self.model.arrays is not arrays:
            model = Model(self.run.secret, self.run.id, round_, arrays)
            if self.model is None or self.model.digest != model.digest:
                data = model.encrypted()
                name = deliver(self.store, WEIGHTS, model.stem, data, data.__eq__)
                model.name = name.removeprefix(f"{WEIGHTS}/")
            else:  # the model that was evaluated is the one to be trained on
                model.stem, model.name = self.model.stem, self.model.name
            self.model = model
        return self.model

    def repair(self, waiting: Iterable[Sent]) -> None:
        """Write again what the store has lost, or what somebody changed there."""
        model = self.model
        if model and model.name:
            file, entry = f"{WEIGHTS}/{model.name}", self.store.list_objects(WEIGHTS).get(model.name)
            if entry is None or (entry.etag != model.etag and self._differs(file, model.encrypted())):
                self._write_again(file, model.encrypted())
            else:
                model.etag = entry.etag
        for sent in waiting:
            if self._differs(sent.name, sent.envelope):
                self._write_again(sent.name, sent.envelope)

    def _differs(self, name: str, data: bytes) -> bool:
        try:
            return self.store.read(name, len(data)) != data
        except (FileNotFoundError, PedsegInputError):
            return True

    def _write_again(self, name: str, data: bytes) -> None:
        log.warning("E-MAIL-LOST %s: it was gone or changed; it is written again.", name)
        self.store.delete(name)
        with suppress(FileExistsError):  # somebody was faster; the next repair looks again
            self.store.write_once(name, data)

    def clear(self, round_: int) -> None:
        """Delete the messages of earlier runs and of rounds before the last one, whose checkpoint is on disk by now.

        Raises `PedsegInputError` when somebody leads a later run with our keys: two would delete each other's.
        """
        for folder in self._folders:
            for name in self.store.list_objects(folder, parts=True):
                parts = split(name.removeprefix(".").partition(".")[0])  # a half-written one may be hidden
                in_use = self.model is not None and name == self.model.name  # a model may stay the same for long
                if not parts or in_use:
                    continue
                if parts[0] != self.run.id:
                    self._refuse_another_coordinator(f"{folder}/{name}", parts[0])
                if parts[0] != self.run.id or 0 < parts[1] < round_ - 1:
                    self.store.delete(f"{folder}/{name}")

    def _refuse_another_coordinator(self, file: str, run: str) -> None:
        """Raise if a request of another run that is not older than ours bears our signature."""
        if run_number(run) < run_number(self.run.id) or not file.startswith(f"{REQUESTS}/"):
            return
        with suppress(PedsegInputError, FileNotFoundError):  # what we did not sign is nobody's run
            if header_of(self.store.read(file, MAX_REQUEST_BYTES), self.own.member, file=file).run == run:
                problem = f"the run {run} was begun with these keys, and is not older than this one, {self.run.id}."
                remedy = "Let one coordinator lead, in one folder; stop the other, and remove its objects."
                self.another = input_error("E-TWO-COORDINATORS", file, problem, remedy)
        if self.another:
            raise self.another
