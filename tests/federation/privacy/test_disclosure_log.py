"""The disclosure log counts every byte once."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flwr.app import ConfigRecord, Error, Message, MetricRecord, RecordDict

from pedseg.errors import PedsegInputError
from pedseg.federation import _flower
from pedseg.federation._flower import to_arrays
from pedseg.federation.client_app import app
from pedseg.federation.config import FederationConfig
from pedseg.federation.in_process import InProcessGrid
from pedseg.federation.privacy.differential_privacy import epsilon
from pedseg.federation.privacy.disclosure_log import FILE, Disclosure, DisclosureLog, measure
from pedseg.federation.rounds import train_rounds

WEIGHTS = {"a": np.full((30, 20), 0.5, np.float32), "b": np.ones(50, np.float32)}


def test_a_reply_is_measured_by_kinds_of_bytes() -> None:
    _flower.identify_server()
    question = Message(RecordDict(), dst_node_id=2, message_type="train")
    content = RecordDict({"arrays": to_arrays(WEIGHTS), "metrics": MetricRecord({"n": 3})})
    entry = measure(Message(content, reply_to=question), number=5, round_=2, message_type="train", sent_bytes=9000)
    assert 4 * 650 < entry.weights_bytes < 4 * 650 + 500
    assert 0 < entry.metrics_bytes < 100 and entry.text_bytes == 0
    assert (entry.number, entry.round, entry.message_type, entry.sent_bytes) == (5, 2, "train", 9000)
    said = Message(RecordDict({"c": ConfigRecord({"json": "x" * 1000})}), reply_to=question)
    assert 1000 < measure(said, number=0, round_=0, message_type="query").text_bytes < 1100
    failed = measure(Message(Error(2, "no memory"), reply_to=question), number=0, round_=0, message_type="train")
    assert failed.text_bytes == failed.sent_bytes == 9


def test_a_reply_is_entered_once(tmp_path: Path) -> None:
    disclosure_log = DisclosureLog(tmp_path / FILE)
    entries = [Disclosure(n, n, "train", 100, 10, 0, 200) for n in range(3)]
    for entry in (*entries, entries[1]):
        disclosure_log.enter(entry)
    assert DisclosureLog(disclosure_log.file).entries() == entries
    assert disclosure_log.file.read_text().startswith("number\tround\tmessage_type\tweights_bytes")


def test_every_reply_through_a_mailbox_is_in_the_log(federation) -> None:
    federation.play(1)
    federation.play(2, 1.0)
    federation.centers["Aa"] = federation.center("Aa")
    federation.play(3, 2.0)
    entries = federation.centers["Aa"].disclosure_log.entries()
    assert [(entry.round, entry.message_type) for entry in entries] == [(1, "train"), (2, "train"), (3, "train")]
    sizes = {file.stat().st_size for round_ in (2, 3) for file in federation.files("from/Aa", round_)}
    assert {entry.sent_bytes for entry in entries[1:]} == sizes
    assert all(entry.weights_bytes > 20 and entry.metrics_bytes > 0 for entry in entries)


def test_a_center_without_a_mailbox_keeps_a_log_if_its_node_names_one(config: FederationConfig, tmp_path: Path) -> None:
    privacy = {"clipping-norm": 1.0, "noise-multiplier": 0.5}
    nodes = [{"disclosure-log": str(tmp_path / f"{name}.tsv")} for name in ("Aa", "Bb")]
    nodes[0] |= privacy  # type: ignore[arg-type]
    list(train_rounds(InProcessGrid(app, nodes, config.to_run_config()), replace(config, evaluate_every=2)))
    disclosure_log = DisclosureLog(tmp_path / "Aa.tsv")
    assert [(entry.round, entry.message_type) for entry in disclosure_log.entries()] == [
        (0, "query.fingerprint"), (1, "train"), (2, "train"), (2, "evaluate"),
    ]  # fmt: skip
    assert [entry.noise_multiplier for entry in disclosure_log.entries()] == [0, 0.5, 0.5, 0]
    assert disclosure_log.privacy_loss() == pytest.approx(epsilon(0.5, 2))
    assert DisclosureLog(tmp_path / "Bb.tsv").privacy_loss() == math.inf  # weights left as they were
    assert DisclosureLog(tmp_path / "none.tsv").privacy_loss() == 0.0


def test_a_log_of_an_older_version_is_read(tmp_path: Path) -> None:
    names = "number\tround\tmessage_type\tweights_bytes\tmetrics_bytes\ttext_bytes\tsent_bytes"
    (tmp_path / "old.tsv").write_text(f"{names}\n0\t1\ttrain\t100\t10\t0\t200\n")
    assert DisclosureLog(tmp_path / "old.tsv").entries() == [Disclosure(0, 1, "train", 100, 10, 0, 200)]


def test_an_error_that_leaves_is_entered_too(config: FederationConfig, tmp_path: Path) -> None:
    nodes = [{"disclosure-log": str(tmp_path / "Aa.tsv"), "min-cases": 9}, {}]
    with pytest.raises(PedsegInputError, match="E-FEW-CASES"):
        list(train_rounds(InProcessGrid(app, nodes, config.to_run_config()), config))
    (only,) = DisclosureLog(tmp_path / "Aa.tsv").entries()
    assert only.text_bytes == len("E-FEW-CASES") and only.weights_bytes == 0  # no path, no number
