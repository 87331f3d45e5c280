"""Rounds through a mailbox: each question is answered once, whatever is lost or started again."""

from __future__ import annotations

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict

from pedseg.federation.mailbox.messages import split, stem_of

GOOD = {2: 1.0, 3: 2.0}


def test_a_round_brings_the_answers_of_the_apps(federation) -> None:
    assert federation.play(1) == GOOD
    assert federation.play(2, 10.0) == {2: 11.0, 3: 12.0}
    assert federation.refused() == []


def test_the_model_lies_there_once_and_nobody_can_read_it(federation) -> None:
    federation.push(1, 1.0)
    assert len(federation.files("weights")) == 1
    everything = b"".join(file.read_bytes() for file in federation.box.rglob("*") if file.is_file())
    assert np.full(5, 1.0, dtype=np.float32).tobytes() not in everything
    assert b"server-round" not in everything and b"train" not in everything


def test_a_question_is_answered_once_whatever_is_started_again(federation) -> None:
    federation.play(1)
    federation.grid, federation.centers["Aa"] = federation.coordinator(), federation.center("Aa")
    ids = federation.push(1)
    assert federation.poll() == []
    assert federation.read(ids) == GOOD
    assert len(federation.files("to/Aa")) == len(federation.files("from/Aa")) == 1
    ids = federation.push(2)
    federation.poll()
    calls = [a.content.metric_records["metrics"]["calls"] for a in federation.grid.pull_messages(ids)]
    assert calls == [2, 2]  # the memory of the center survived, and no call was made twice


def test_a_storage_that_lost_everything_is_filled_again(federation) -> None:
    ids = federation.push(1)
    federation.poll("Aa")
    for folder in ("to/Aa", "to/Bb", "from/Aa", "weights"):
        for file in federation.files(folder):
            file.unlink()
    assert federation.poll() == [] and federation.read(ids) == {}
    federation.grid.repair()
    federation.centers["Aa"].repair()
    federation.poll()
    assert federation.read(ids) == GOOD


def test_letters_of_rounds_before_the_last_are_cleared_away(federation) -> None:
    for round_ in range(1, 5):
        federation.play(round_, float(round_))
    rounds = {split(stem_of(file.name))[1] for file in federation.box.rglob("*.0")}  # type: ignore[index]
    assert rounds == {3, 4}
    assert [reply.round for reply in federation.centers["Aa"].replies.all] == [3, 4]


def test_a_scored_model_is_not_sent_again_for_training(federation) -> None:
    arrays = ArrayRecord({"w": Array(np.ones(5, dtype=np.float32))})
    again = ArrayRecord({"w": Array(np.ones(5, dtype=np.float32))})
    for kind, record, round_ in (("evaluate", arrays, 1), ("train", again, 2)):
        content = RecordDict({"arrays": record, "config": ConfigRecord({"server-round": round_})})
        federation.grid.push_messages([Message(content, node, kind) for node in federation.grid.get_node_ids()])
    assert len(federation.files("weights")) == 1
    federation.poll()
    federation.poll()


def test_a_model_that_stays_the_same_is_not_cleared_away(federation) -> None:
    for round_ in range(1, 6):
        assert federation.play(round_, 1.0) == {2: 2.0, 3: 3.0}
    assert len(federation.files("weights")) == 1
    assert federation.play(6, 2.0) == {2: 3.0, 3: 4.0}
    federation.play(7, 3.0)
    assert len(federation.files("weights")) == 2
