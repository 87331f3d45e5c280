"""The disclosure log: what leaves a hospital, every byte of every reply by its kind."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from flwr.app import ConfigRecord, Context, Error, Message, RecordDict

from pedseg.federation import _flower
from pedseg.federation.in_process import CenterError
from pedseg.federation.privacy.differential_privacy import DELTA, epsilon_of
from pedseg.files import write_atomically

FILE = "disclosure_log.tsv"
PRIVACY = "privacy"  # the record of a reply that says what was done to it


@dataclass(frozen=True)
class Disclosure:
    """One reply that left a center: its number, round and message type, and its bytes by kind.

    `weights_bytes` are arrays of the model, `metrics_bytes` are scores and counts, `text_bytes` everything else that
    the app sent; `sent_bytes` is the whole as it left, with envelope and seal. `noise_multiplier` of the noise that
    was added to the weights; 0: none.
    """

    number: int
    round: int
    message_type: str
    weights_bytes: int
    metrics_bytes: int
    text_bytes: int
    sent_bytes: int
    noise_multiplier: float = 0.0


def measure(reply: Message, *, number: int, round_: int, message_type: str, sent_bytes: int = 0) -> Disclosure:
    """The entry of a reply; without an envelope, what is sent is the content."""
    if reply.has_error():
        reason = len(str(reply.error.reason).encode())
        return Disclosure(number, round_, message_type, 0, 0, reason, sent_bytes or reason)
    content = reply.content
    parts = (_flower.arrays_of(content), _flower.metrics_of(content), _flower.configs_of(content))
    weights, metrics, text = (len(_flower.records_to_bytes(RecordDict(dict(part)))) for part in parts)
    noise = str(_flower.configs_of(content).get(PRIVACY, {"noise-multiplier": 0.0})["noise-multiplier"])
    whole = sent_bytes or weights + metrics + text
    return Disclosure(number, round_, message_type, weights, metrics, text, whole, float(noise))


class DisclosureLog:
    """A center's log on disk, a table of tab-separated values; a reply is entered once, even after a crash."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def entries(self) -> list[Disclosure]:
        """Everything that left so far."""
        if not self.file.exists():
            return []
        kinds = {"message_type": str, "noise_multiplier": float}
        with self.file.open(encoding="utf-8", newline="") as table:
            rows = [
                {name: kinds.get(name, int)(value) for name, value in row.items()}
                for row in csv.DictReader(table, delimiter="\t")
            ]
        return [Disclosure(**row) for row in rows]  # type: ignore[arg-type]

    def privacy_loss(self, delta: float = DELTA) -> float:
        """Epsilon of all weights that ever left, at `delta`; infinite if some left without noise."""
        return epsilon_of([entry.noise_multiplier for entry in self.entries() if entry.weights_bytes], delta)

    def enter(self, new: Disclosure) -> None:
        """Add an entry, unless this reply is there already."""
        known = self.entries()
        if any(entry.number == new.number for entry in known):
            return
        columns = [column.name for column in fields(Disclosure)]
        rows = [columns, *(list(asdict(entry).values()) for entry in (*known, new))]
        write_atomically(self.file, "".join("\t".join(map(str, row)) + "\n" for row in rows).encode())


def log_disclosure(message: Message, context: Context, call_next: Callable[[Message, Context], Message]) -> Message:
    """Flower mod: enter each reply of the app into the file that the node config names as `disclosure-log`, if any.

    For centers without a mailbox, which keeps a log of its own. What goes wrong in the app leaves, too: as the code of
    the error.
    """
    file = context.node_config.get("disclosure-log")
    if not file:
        return call_next(message, context)
    try:
        reply, failure = call_next(message, context), None
    except CenterError as error:
        reply, failure = Message(Error(_flower.APP_RAISED, str(error)), reply_to=message), error
    disclosure_log = DisclosureLog(Path(str(file)))
    task = _flower.configs_of(message.content).get("config", ConfigRecord())
    number, round_ = len(disclosure_log.entries()), int(str(task.get("server-round", 0)))
    disclosure_log.enter(measure(reply, number=number, round_=round_, message_type=message.metadata.message_type))
    if failure:
        raise failure
    return reply
