"""The ledger counts every byte once; clipping, noise and epsilon beside formulas and Opacus."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from flwr.app import ConfigRecord, Error, Message, MetricRecord, RecordDict
from opacus.accountants import RDPAccountant

from pedseg.federation import _flower
from pedseg.federation.averaging import to_arrays, update_norm
from pedseg.federation.privacy import Entry, Ledger, clipped, epsilon, noisy, weigh
from pedseg.findings import PedsegInputError

BEFORE = {"a": np.zeros((30, 20), np.float32), "b": np.ones(50, np.float32)}
AFTER = {"a": np.full((30, 20), 0.5, np.float32), "b": np.ones(50, np.float32)}


def test_an_answer_is_weighed_by_what_it_is() -> None:
    _flower.identify_server()
    question = Message(RecordDict(), dst_node_id=2, message_type="train")
    content = RecordDict({"arrays": to_arrays(AFTER), "metrics": MetricRecord({"n": 3})})
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


def test_clipping_shortens_and_keeps_the_direction() -> None:
    length = update_norm(AFTER, BEFORE)
    assert length == pytest.approx(math.sqrt(600 * 0.25))
    short = clipped(AFTER, BEFORE, 2.0)
    assert update_norm(short, BEFORE) == pytest.approx(2.0, rel=1e-6)
    assert np.allclose(short["a"], 0.5 * 2 / length) and np.array_equal(short["b"], BEFORE["b"])
    assert all(np.array_equal(clipped(AFTER, BEFORE, 100.0)[name], AFTER[name]) for name in AFTER)
    assert all(np.array_equal(clipped(BEFORE, BEFORE, 1.0)[name], BEFORE[name]) for name in BEFORE)


def test_noise_has_the_stated_spread_and_keeps_the_number_type() -> None:
    rng = np.random.default_rng(0)
    out = noisy(AFTER, BEFORE, largest=2.0, noise=1.5, rng=rng)
    added = out["a"] - clipped(AFTER, BEFORE, 2.0)["a"]
    assert added.std() == pytest.approx(3.0, rel=0.1) and abs(added.mean()) < 0.4
    assert out["a"].dtype == np.float32
    with pytest.raises(PedsegInputError, match="E-SETTING"):
        noisy(AFTER, BEFORE, largest=0.0, noise=1.0, rng=rng)


@pytest.mark.parametrize("noise", [2.0, 4.0, 10.0])
@pytest.mark.parametrize("rounds", [1, 10, 100])
def test_epsilon_is_a_little_below_the_bound_of_opacus(noise: float, rounds: int) -> None:
    accountant = RDPAccountant()  # type: ignore[no-untyped-call]
    accountant.history = [(noise / 2, 1.0, rounds)]  # the sensitivity is twice the bound
    bound = accountant.get_epsilon(1e-5)
    assert 0.8 * bound < epsilon(noise, rounds) <= bound + 1e-6


def test_epsilon_at_the_ends() -> None:
    assert epsilon(0.0, 1) == math.inf
    assert epsilon(1e6, 1) == pytest.approx(0.0, abs=1e-3)
    assert epsilon(4.0, 10) < epsilon(4.0, 20) < epsilon(2.0, 20)
