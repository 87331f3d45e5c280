"""A center's end of a mailbox: look for questions, work on them, put sealed answers back.

The center only calls out. It believes nothing but what its coordinator signed for it, in the
newest run, for a round that is not over; everything else is refused by name, and named once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from flwr.app import Context, Message, RecordDict, UserConfigValue

from pedseg.errors import InputProblem, PedsegInputError, input_error
from pedseg.federation import _flower
from pedseg.federation.apps import client_app
from pedseg.federation.in_process import ask
from pedseg.federation.keys import Member, OwnKeys
from pedseg.federation.mailbox.messages import (
    ANSWERS,
    END,
    EXPIRES_SECONDS,
    LARGEST_QUESTION,
    LOOKS_BETWEEN_REPAIRS,
    QUESTIONS,
    WEIGHTS,
    Question,
    answer_to_bytes,
    decrypt_weights,
    deliver,
    split,
    stem,
    stem_of,
)
from pedseg.federation.mailbox.reply_store import Answer, ReplyStore
from pedseg.federation.mailbox.sealed_message import Header, seal, unseal
from pedseg.federation.mailbox.storage import Entry as Listed
from pedseg.federation.mailbox.storage import ObjectStore, backoff
from pedseg.federation.privacy.disclosure_log import DisclosureLog, Entry, weigh

log = logging.getLogger("flwr.pedseg.mailbox")


@dataclass(frozen=True)
class Event:
    """Something that happened at a center: `answered`, `refused`, or `finished` with the final model's records."""

    what: str
    round: int = 0
    kind: str = ""
    problem: InputProblem | None = None
    records: RecordDict | None = None


@dataclass(frozen=True)
class Request:
    """A question that was opened, and the header of its envelope."""

    header: Header
    question: Question

    @property
    def place_in_time(self) -> tuple[float, int]:
        """Letters of later runs and rounds are greater."""
        return self.question.started, self.header.round


class CenterMailbox:
    """One center's view of a mailbox; its answers and its memory lie under `state`.

    `node_config` is what the app reads as `context.node_config`, such as `{"data-dir": "/data/a"}`.
    """

    def __init__(
        self,
        place: ObjectStore,
        own: OwnKeys,
        coordinator: Member,
        node_config: Mapping[str, UserConfigValue],
        state: Path,
        app: Callable[[Message, Context], Message] = client_app,
        poll_seconds: float = 5.0,
    ) -> None:
        self.place, self.own, self.coordinator = place, own, coordinator
        self.node_config, self.app, self.poll_seconds = dict(node_config), app, poll_seconds
        self.answers = ReplyStore(state / "answers")
        self.disclosure_log = DisclosureLog(state / "ledger.tsv")
        for answer in self.answers.all:  # the last one may have been committed just before a crash
            self.disclosure_log.enter(Entry(**answer.weighed))
        self.to, self.back = f"{QUESTIONS}/{own.name}", f"{ANSWERS}/{own.name}"
        self._letters: dict[tuple[str, str], Request | None] = {}  # by name and stamp; None: refused
        self._delivered: set[str] = set()
        self._model: tuple[str, RecordDict] = ("", RecordDict())
        self._bad_model: tuple[str, str] = ("", "")
        _flower.identify_server()

    def events(self) -> Iterator[Event]:
        """Work until the coordinator ends the run, one event at a time; waits in between."""
        pauses, looks = backoff(0.05, self.poll_seconds), 0
        while True:
            happened = False
            for event in self.turn():
                happened = True
                yield event
                if event.what == "finished":
                    return
            if happened:
                pauses = backoff(0.05, self.poll_seconds)
                continue
            time.sleep(next(pauses))
            looks += 1
            if looks % LOOKS_BETWEEN_REPAIRS == 0:
                self.look_again()

    def look_again(self) -> None:
        """Trust nothing that was seen before: what is missing in the mailbox is delivered again."""
        self._delivered.clear()
        self._bad_model = ("", "")

    def turn(self) -> Iterator[Event]:
        """One look: refuse what is no good, deliver what was answered, answer the newest question."""
        waiting: list[Request] = []
        for name, entry in sorted(self.place.names(self.to).items()):
            try:
                letter = self._read(name, entry)
                if letter and self._is_to_be_answered(letter, f"{self.to}/{name}"):
                    waiting.append(letter)
            except FileNotFoundError:  # cleared away since it was listed
                continue
            except PedsegInputError as error:
                self._letters[name, entry.etag] = None
                log.warning("%s", error)
                yield Event("refused", problem=error.problems[0])
        if waiting:
            yield from self._work(max(waiting, key=lambda letter: letter.place_in_time))

    def _read(self, name: str, entry: Listed) -> Request | None:
        """The letter under a name, opened once; None if it was refused before."""
        if (name, entry.etag) in self._letters:
            return self._letters[name, entry.etag]
        file = f"{self.to}/{name}"
        if entry.size > LARGEST_QUESTION:
            raise input_error("E-MAIL-SIZE", file, f"{entry.size} bytes are no question.", "It is ignored.")
        header, content = unseal(self.place.read(file), self.own, self.coordinator, file=file)
        if split(stem_of(name)) != (header.run, header.round, header.question):
            found = f"it is the question of another name, of round {header.round}: a replay."
            raise input_error("E-MAIL-REPLAY", file, found, "It is ignored; look at who may write to the mailbox.")
        try:
            letter = Request(header, Question.from_bytes(content))
        except Exception as error:  # protobuf and Flower raise classes of their own
            found = f"the content is not understood ({type(error).__name__})."
            raise input_error("E-MAIL-CONTENT", file, found, "Install the same pedseg.") from error
        self._letters[name, entry.etag] = letter
        return letter

    def _is_to_be_answered(self, letter: Request, file: str) -> bool:
        """Whether there is something to do; refused if its run or round is over."""
        header, newest = letter.header, self.answers.newest
        done = self.answers.find(header.run, header.question)
        if done and done.expires > time.time():
            self._deliver(done)
            return False
        if newest is None:
            return letter.question.kind != END  # the end of a run in which we had no part
        if letter.question.started < newest.started:
            raise input_error("E-MAIL-RUN", file, f"the run {header.run} is over.", "It is ignored.")
        if header.run != newest.run:
            return letter.question.kind != END
        if header.round < newest.round:
            found = f"it asks for round {header.round}, and round {newest.round} has begun."
            raise input_error("E-MAIL-ROUND", file, found, "It is ignored.")
        return True

    def _work(self, letter: Request) -> Iterator[Event]:
        """Answer a question, commit the answer, deliver it."""
        question, header = letter.question, letter.header
        try:
            records = self._with_model(question)
        except FileNotFoundError:
            return  # cleared away, or not there yet
        except PedsegInputError as error:
            log.warning("%s", error)
            yield Event("refused", problem=error.problems[0])
            return
        if records is None:
            return
        if question.kind == END:
            yield Event("finished", header.round, records=records)
            return
        node = _flower.SERVER_NODE + 1 + question.place
        config = {"partition-id": question.place, "num-partitions": question.centers, **self.node_config}
        context = Context(_flower.RUN_ID, node, config, self.answers.state(header.run), {})
        message = Message(records, dst_node_id=node, message_type=question.kind)
        _flower.number_message(message, header.question)
        self._commit(letter, ask(self.app, message, context), context.state)
        yield Event("answered", header.round, question.kind)

    def _commit(self, letter: Request, reply: Message, state: RecordDict) -> None:
        header, now, newest = letter.header, time.time(), self.answers.newest
        back = Header(
            header.run, header.round, header.question, self.own.name, self.coordinator.name, now, now + EXPIRES_SECONDS
        )
        self._delivered.discard(header.question)
        envelope = seal(answer_to_bytes(reply), back, self.own, self.coordinator)
        numbers = [one.number for one in (newest, *self.disclosure_log.entries()) if one]
        number = max(numbers, default=-1) + 1
        kind = letter.question.kind
        entry = weigh(reply, number=number, round_=header.round, kind=kind, sent_bytes=len(envelope))
        run, started = header.run, letter.question.started
        answer = Answer(run, started, header.round, header.question, number, back.expires, asdict(entry))
        self.answers.commit(answer, envelope, state)
        self.disclosure_log.enter(entry)
        self._deliver(answer)

    def _deliver(self, answer: Answer) -> None:
        """Put a committed answer into the mailbox, if it is not there."""
        if answer.question in self._delivered:
            return
        envelope = self.answers.envelope(answer)
        name = stem(answer.run, answer.round, answer.question)
        deliver(self.place, self.back, name, envelope, envelope.__eq__)
        self._delivered.add(answer.question)

    def _with_model(self, question: Question) -> RecordDict | None:
        """The records of a question together with the model that comes with it; None if it is known to be damaged."""
        if not question.weights:
            return question.records
        if self._model[0] != question.weights:
            entry = self.place.names(WEIGHTS).get(question.weights)
            if entry is None or self._bad_model == (question.weights, entry.etag):
                return None
            self._bad_model = (question.weights, entry.etag)
            sealed = self.place.read(f"{WEIGHTS}/{question.weights}")
            self._model = (question.weights, decrypt_weights(sealed, question.key, question.weights))
        return RecordDict({**self._model[1], **question.records})
