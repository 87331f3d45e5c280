"""The ledger counts every byte once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from flwr.app import ConfigRecord, Error, Message, MetricRecord, RecordDict

from pedseg.federation import _flower
from pedseg.federation.averaging import to_arrays
from pedseg.federation.privacy.ledger import Entry, Ledger, weigh

WEIGHTS = {"a": np.full((30, 20), 0.5, np.float32), "b": np.ones(50, np.float32)}


def test_an_answer_is_weighed_by_what_it_is() -> None:
    _flower.identify_server()
    question = Message(RecordDict(), dst_node_id=2, message_type="train")
    content = RecordDict({"arrays": to_arrays(WEIGHTS), "metrics": MetricRecord({"n": 3})})
    entry = weigh(Message(content, reply_to=question), number=5, round_=2, kind="train", sent_bytes=9000)
    assert 4 * 650 < entry.weights_bytes < 4 * 650 + 500
    assert 0 < entry.metrics_bytes < 100 and entry.text_bytes == 0
    assert (entry.number, entry.round, entry.kind, entry.sent_bytes) == (5, 2, "train", 9000)
    said = Message(RecordDict({"c": ConfigRecord({"json": "x" * 1000})}), reply_to=question)
    assert 1000 < weigh(said, number=0, round_=0, kind="query").text_bytes < 1100
    failed = weigh(Message(Error(2, "no memory"), reply_to=question), number=0, round_=0, kind="train")
    assert failed.text_bytes == failed.sent_bytes == 9


def test_the_ledger_enters_an_answer_once(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.tsv")
    entries = [Entry(n, n, "train", 100, 10, 0, 200) for n in range(3)]
    for entry in (*entries, entries[1]):
        ledger.enter(entry)
    assert Ledger(ledger.file).entries() == entries
    assert ledger.file.read_text().startswith("number\tround\tkind\tweights_bytes")


def test_every_answer_through_a_mailbox_stands_in_the_ledger(federation) -> None:
    federation.play(1)
    federation.play(2, 1.0)
    federation.centers["Aa"] = federation.center("Aa")
    federation.play(3, 2.0)
    entries = federation.centers["Aa"].ledger.entries()
    assert [(entry.round, entry.kind) for entry in entries] == [(1, "train"), (2, "train"), (3, "train")]
    sizes = {file.stat().st_size for round_ in (2, 3) for file in federation.files("from/Aa", round_)}
    assert {entry.sent_bytes for entry in entries[1:]} == sizes
    assert all(entry.weights_bytes > 20 and entry.metrics_bytes > 0 for entry in entries)
