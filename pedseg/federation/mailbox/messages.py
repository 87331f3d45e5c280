"""The messages in a mailbox: requests to a center, its replies, and the model of a round, once for all centers.

    to/CENTER/RUN-ROUND-REQUEST.0      a request, sealed for the center
    from/CENTER/RUN-ROUND-REQUEST.0    its reply, sealed for the coordinator
    weights/RUN-ROUND-DIGEST.0         the global model, encrypted once; its key is in the requests

The number at the end grows only when a name was taken by something that is not ours. The id of a request follows from
its content, so a coordinator that was restarted sends it under the same name and finds the reply that is already there.
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
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict

from pedseg.errors import PedsegInputError, input_error
from pedseg.federation import _flower
from pedseg.federation.mailbox.object_store import ObjectStore
from pedseg.federation.mailbox.sealed_message import DAY

REQUESTS, REPLIES, WEIGHTS = "to", "from", "weights"
END = "query.end"  # the message type of the last request of a run
MAIL = "mail"  # the record with the fields of a request
STEM = re.compile(r"(?P<run>[0-9a-f]{16})-(?P<round>\d{5})-(?P<request>[0-9a-f]{32})")
RUN_DIGITS = 4  # of the id of a run, for its number
EXPIRES_SECONDS = 30 * DAY  # of a request and of a reply
SLACK_BYTES = 1 << 16  # headers and seals
MAX_REQUEST_BYTES = 16 << 20  # plans and settings, never weights
log = logging.getLogger("flwr.pedseg.mailbox")


@dataclass(frozen=True)
class Request:
    """A request to a center: message type, index among how many centers, and the records.

    `weights` names the object with the model, which has `size` bytes, and `key` decrypts it; empty without a model.
    """

    message_type: str
    index: int
    centers: int
    records: RecordDict
    weights: str = ""
    size: int = 0
    key: bytes = b""

    def to_bytes(self) -> bytes:
        """The content of the envelope."""
        names = ("message_type", "index", "centers", "weights", "size", "key")
        mail = ConfigRecord({name: getattr(self, name) for name in names})
        return _flower.records_to_bytes(RecordDict({**self.records, MAIL: mail}))

    @classmethod
    def from_bytes(cls, raw: bytes) -> Request:
        """The inverse of `to_bytes`; any error means that another version wrote it."""
        records = _flower.records_from_bytes(raw)
        mail = dict(_flower.configs_of(records)[MAIL])
        del records[MAIL]
        return cls(records=records, **mail)  # type: ignore[arg-type]


def run_number(run: str) -> int:
    """The number of a run among all that were begun with the keys of its coordinator: a later run has a greater one.

    It is the beginning of the run's id. Clocks differ between hospitals; this count does not.
    """
    return int(run[:RUN_DIGITS], 16)


def split(stem: str) -> tuple[str, int, str] | None:
    """Run, round and request of a name without its last number, or None if the name is none of ours."""
    match = STEM.fullmatch(stem)
    return (match["run"], int(match["round"]), match["request"]) if match else None


def stem_of(name: str) -> str:
    """The name of an object without the number at its end."""
    return name.rpartition(".")[0]


def stem(run: str, round_: int, request: str) -> str:
    """The name of a request and of its reply."""
    return f"{run}-{round_:05d}-{request}"


def request_id(secret: bytes, center: str, message_type: str, records: RecordDict, weights: bytes) -> str:
    """The id of a request: follows from its content, and tells nothing to those who lack the run's secret.

    `weights` is the digest of the model that comes with it, or empty.
    """
    content = hashlib.sha256(_flower.records_to_bytes(records)).digest()
    return _keyed_digest(secret, "request", center.encode(), message_type.encode(), content, weights).hex()[:32]


class Model:
    """The global model of a round, to be encrypted once for all centers: the same model gives the same bytes."""

    def __init__(self, secret: bytes, run: str, round_: int, arrays: ArrayRecord) -> None:
        self.arrays = arrays
        raw = self._raw()
        self.size, self.digest = len(raw), hashlib.sha256(raw).digest()
        self.stem = stem(run, round_, _keyed_digest(secret, "name", self.digest).hex()[:32])
        self.key = _keyed_digest(secret, "key", self.digest)
        self.name = self.etag = ""  # under which it is in the mailbox

    def encrypted(self) -> bytes:
        """The encrypted model. The key is this model's own, so that one nonce does."""
        return ChaCha20Poly1305(self.key).encrypt(bytes(12), self._raw(), self.stem.encode())

    def _raw(self) -> bytes:
        return _flower.records_to_bytes(RecordDict({"arrays": self.arrays}))


def decrypt_weights(encrypted: bytes, key: bytes, name: str) -> RecordDict:
    """The model of a round; refused if it is not, to the last bit, what the coordinator encrypted."""
    try:
        return _flower.records_from_bytes(ChaCha20Poly1305(key).decrypt(bytes(12), encrypted, stem_of(name).encode()))
    except (InvalidTag, ValueError) as error:
        problem, remedy = "the model is not what the coordinator wrote.", "It is waited for until it is written again."
        raise input_error("E-MAIL-WEIGHTS", f"{WEIGHTS}/{name}", problem, remedy) from error


def reply_from_bytes(raw: bytes, message: Message, file: str) -> Message:
    """The reply to a message as Flower knows it; refused if its content is not understood."""
    try:
        return Message(_flower.records_from_bytes(raw), reply_to=message)
    except Exception as error:  # protobuf and Flower raise classes of their own
        raise not_understood(file, error) from error


def not_understood(file: str, error: Exception) -> PedsegInputError:
    """The error for a well-signed content that another version must have written."""
    problem = f"the content is not understood ({type(error).__name__})."
    return input_error("E-MAIL-CONTENT", file, problem, "Install the same pedseg on both sides.")


def deliver(store: ObjectStore, folder: str, stem: str, data: bytes, is_ours: Callable[[bytes], bool]) -> str:
    """Write an object under its stem, once, and return its name.

    An object of that name that is ours already counts as delivered. Anything else there was left by
    somebody; it is logged, and the next number taken.
    """
    for attempt in itertools.count():
        name = f"{folder}/{stem}.{attempt}"
        try:
            store.write_once(name, data)
            return name
        except FileExistsError:
            if _holds_ours(store, name, len(data), is_ours):
                return name
            log.warning("E-MAIL-OCCUPIED %s: the name was taken by something that we did not write.", name)
    raise AssertionError


def _holds_ours(store: ObjectStore, name: str, size: int, is_ours: Callable[[bytes], bool]) -> bool:
    try:
        return is_ours(store.read(name, 2 * size + SLACK_BYTES))
    except (FileNotFoundError, PedsegInputError):
        return False


def _keyed_digest(secret: bytes, purpose: str, *parts: bytes) -> bytes:
    """A digest that only holders of the secret can compute; parts cannot run into each other."""
    text = b"".join(len(part).to_bytes(8) + part for part in (purpose.encode(), *parts))
    return hmac.digest(secret, text, "sha256")
