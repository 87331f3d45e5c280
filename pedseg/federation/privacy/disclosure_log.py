"""The ledger: what leaves a hospital, every byte of every answer by what it is."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from flwr.app import Context, Message, RecordDict

from pedseg.federation import _flower
from pedseg.federation.in_process import ask
from pedseg.federation.privacy.differential_privacy import epsilon_of
from pedseg.files import write_atomically

PRIVACY = "privacy"  # the record of an answer that says what was done to it


@dataclass(frozen=True)
class Entry:
    """One answer that left a center: its number, round and kind, and its bytes by what they are.

    `weights_bytes` are numbers of the model, `metrics_bytes` are scores and counts, `text_bytes`
    everything else that the app said; `sent_bytes` is the whole as it left, with envelope and seal.
    `noise` was added to the weights, as a multiple of the bound to which they were shortened; 0: none.
    """

    number: int
    round: int
    kind: str
    weights_bytes: int
    metrics_bytes: int
    text_bytes: int
    sent_bytes: int
    noise: float = 0.0


def weigh(answer: Message, *, number: int, round_: int, kind: str, sent_bytes: int = 0) -> Entry:
    """The ledger's entry for an answer; without an envelope, what is sent is the content."""
    if answer.has_error():
        said = len(str(answer.error.reason).encode())
        return Entry(number, round_, kind, 0, 0, said, sent_bytes or said)
    content = answer.content
    parts = (_flower.arrays_of(content), _flower.metrics_of(content), _flower.configs_of(content))
    weights, metrics, text = (len(_flower.records_to_bytes(RecordDict(dict(part)))) for part in parts)
    done = _flower.configs_of(content).get(PRIVACY, {"noise": 0.0})
    whole = sent_bytes or weights + metrics + text
    return Entry(number, round_, kind, weights, metrics, text, whole, float(str(done["noise"])))


class DisclosureLog:
    """A center's ledger on disk, a table of tab-separated values; an answer is entered once, whatever crashes."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def entries(self) -> list[Entry]:
        """Everything that left so far."""
        if not self.file.exists():
            return []
        with self.file.open(encoding="utf-8", newline="") as table:
            return [_entry(row) for row in csv.DictReader(table, delimiter="\t")]

    def privacy_loss(self, delta: float = 1e-5) -> float:
        """Epsilon of all weights that ever left, at `delta`; infinite if some left without noise."""
        return epsilon_of([entry.noise for entry in self.entries() if entry.weights_bytes], delta)

    def enter(self, entry: Entry) -> None:
        """Add an entry, unless this answer stands there."""
        known = self.entries()
        if any(one.number == entry.number for one in known):
            return
        rows = [[one.name for one in fields(Entry)], *(list(asdict(one).values()) for one in (*known, entry))]
        write_atomically(self.file, "".join("\t".join(map(str, row)) + "\n" for row in rows).encode())


def log_disclosure(message: Message, context: Context, call_next: Callable[[Message, Context], Message]) -> Message:
    """Enter an answer of an app into the table that the center's node names as `disclosure_log`, if it names one.

    A Flower mod, for centers without a mailbox, which keeps a ledger of its own. What goes wrong
    in the app leaves, too: as an error with a reason.
    """
    file = context.node_config.get("ledger")
    if not file:
        return call_next(message, context)
    answer, disclosure_log = ask(call_next, message, context), DisclosureLog(Path(str(file)))
    task = _flower.configs_of(message.content).get("config", {"server-round": 0})
    number, round_ = len(disclosure_log.entries()), int(str(task["server-round"]))
    disclosure_log.enter(weigh(answer, number=number, round_=round_, kind=message.metadata.message_type))
    return answer


def _entry(row: Mapping[str, str]) -> Entry:
    kinds = {"kind": str, "noise": float}
    return Entry(**{name: kinds.get(name, int)(value) for name, value in row.items()})  # type: ignore[arg-type]
