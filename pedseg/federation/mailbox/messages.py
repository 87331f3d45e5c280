"""What lies in a mailbox: questions to a center, its answers, and the model of a round, once for all.

    to/CENTER/RUN-ROUND-QUESTION.0      a question, sealed for the center
    from/CENTER/RUN-ROUND-QUESTION.0    its answer, sealed for the coordinator
    weights/RUN-ROUND-DIGEST.0          the global model, encrypted once; its key stands in the questions

The number at the end grows only when a name was taken by something that is not ours. The name of
a question follows from its content, so a coordinator that was started again asks under the same
name and finds the answer that is already there.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from flwr.app import ArrayRecord, ConfigRecord, Error, Message, RecordDict

from pedseg.errors import PedsegInputError, input_error
from pedseg.federation import _flower
from pedseg.federation.mailbox.sealed_message import DAY
from pedseg.federation.mailbox.storage import ObjectStore

QUESTIONS, ANSWERS, WEIGHTS = "to", "from", "weights"
END = "query.end"  # the kind of the last letter of a run
MAIL = "mail"  # the record that says what kind of letter it is
STEM = re.compile(r"(?P<run>[0-9a-f]{16})-(?P<round>\d{5})-(?P<question>[0-9a-f]{32})")
EXPIRES_SECONDS = 30 * DAY  # of a question and of an answer
LOOKS_BETWEEN_REPAIRS = 20  # into the mailbox, until nothing is trusted that was seen there before
LARGEST_QUESTION = 16 << 20  # bytes; plans and settings, never weights
log = logging.getLogger("flwr.pedseg.mailbox")


@dataclass(frozen=True)
class Question:
    """A question as a center reads it: kind, its place among the centers, when the run began, and the records.

    `weights` names the object with the model and `key` opens it; both empty if no model comes with it.
    """

    kind: str
    place: int
    centers: int
    started: float
    records: RecordDict
    weights: str = ""
    key: bytes = b""

    def to_bytes(self) -> bytes:
        """The content of the envelope."""
        mail = ConfigRecord(
            {
                "kind": self.kind,
                "place": self.place,
                "centers": self.centers,
                "started": self.started,
                "weights": self.weights,
                "key": self.key,
            }
        )
        return _flower.records_to_bytes(RecordDict({**self.records, MAIL: mail}))

    @classmethod
    def from_bytes(cls, raw: bytes) -> Question:
        """The question again; any error means that another pedseg wrote it."""
        records = _flower.records_from_bytes(raw)
        mail = dict(_flower.configs_of(records)[MAIL])
        del records[MAIL]
        return cls(records=records, **mail)  # type: ignore[arg-type]


def split(stem: str) -> tuple[str, int, str] | None:
    """Run, round and question of a name without its last number, or None if the name is none of ours."""
    found = STEM.fullmatch(stem)
    return (found["run"], int(found["round"]), found["question"]) if found else None


def stem_of(name: str) -> str:
    """The name of an object without the number at its end."""
    return name.rpartition(".")[0]


def stem(run: str, round_: int, question: str) -> str:
    """The name of a question and of its answer."""
    return f"{run}-{round_:05d}-{question}"


def question_id(secret: bytes, center: str, kind: str, records: RecordDict, weights: bytes) -> str:
    """The id of a question: follows from its content, and tells nothing to those who lack the run's secret.

    `weights` is the digest of the model that comes with it, or empty.
    """
    content = hashlib.sha256(_flower.records_to_bytes(records)).digest()
    return _keyed(secret, "question", center.encode(), kind.encode(), content, weights).hex()[:32]


class Model:
    """The global model of a round, to be encrypted once for all centers: the same model gives the same bytes."""

    def __init__(self, secret: bytes, run: str, round_: int, arrays: ArrayRecord) -> None:
        self.arrays = arrays
        raw = self._raw()
        self.size, self.digest = len(raw), hashlib.sha256(raw).digest()
        self.stem = stem(run, round_, _keyed(secret, "name", self.digest).hex()[:32])
        self.key = _keyed(secret, "key", self.digest)
        self.name = self.etag = ""  # under which it lies in the mailbox, and what it looked like there

    def sealed(self) -> bytes:
        """The encrypted model. The key is this model's own, so that one nonce does."""
        return ChaCha20Poly1305(self.key).encrypt(bytes(12), self._raw(), self.stem.encode())

    def _raw(self) -> bytes:
        return _flower.records_to_bytes(RecordDict({"arrays": self.arrays}))


def decrypt_weights(sealed: bytes, key: bytes, name: str) -> RecordDict:
    """The model of a round; refused if it is not, to the last bit, what the coordinator encrypted."""
    try:
        return _flower.records_from_bytes(ChaCha20Poly1305(key).decrypt(bytes(12), sealed, stem_of(name).encode()))
    except (InvalidTag, ValueError) as error:
        found = "the model is not what the coordinator wrote."
        raise input_error(
            "E-MAIL-WEIGHTS", f"{WEIGHTS}/{name}", found, "Waiting for the coordinator to write it again."
        ) from error


def answer_to_bytes(answer: Message) -> bytes:
    """The content of an answer's envelope."""
    if answer.has_error():
        mail = ConfigRecord({"code": int(answer.error.code), "reason": str(answer.error.reason)})
        return _flower.records_to_bytes(RecordDict({MAIL: mail}))
    return _flower.records_to_bytes(answer.content)


def answer_from_bytes(raw: bytes, question: Message, file: str) -> Message:
    """The answer as Flower knows it; refused if its content is not understood."""
    try:
        records = _flower.records_from_bytes(raw)
        mail = _flower.configs_of(records).get(MAIL)
        content = Error(int(str(mail["code"])), str(mail["reason"])) if mail else records
    except Exception as error:  # protobuf and Flower raise classes of their own
        found = f"the content is not understood ({type(error).__name__})."
        raise input_error("E-MAIL-CONTENT", file, found, "Install the same pedseg there.") from error
    return Message(content, reply_to=question)


def deliver(place: ObjectStore, folder: str, stem: str, data: bytes, ours: Callable[[bytes], bool]) -> str:
    """Put an object where it belongs, once, and give its name.

    An object of that name that is `ours` already counts as delivered. Anything else there is
    rubbish that somebody left; it is logged, and the next number taken.
    """
    for attempt in itertools.count():
        name = f"{folder}/{stem}.{attempt}"
        try:
            place.write_once(name, data)
            return name
        except FileExistsError:
            if _is_ours(place, name, ours):
                return name
            log.warning("E-MAIL-OCCUPIED %s: the name was taken by something that we did not write.", name)
    raise AssertionError


def _is_ours(place: ObjectStore, name: str, ours: Callable[[bytes], bool]) -> bool:
    try:
        return ours(place.read(name))
    except (FileNotFoundError, PedsegInputError):
        return False


def _keyed(secret: bytes, purpose: str, *parts: bytes) -> bytes:
    """A digest that only holders of the secret can compute; parts cannot run into each other."""
    text = b"".join(len(part).to_bytes(8) + part for part in (purpose.encode(), *parts))
    return hmac.digest(secret, text, "sha256")
