"""A mailbox under attack: what is not good is refused by name, and the round ends as it should."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict

from pedseg.federation.keys import COORDINATOR
from pedseg.federation.mailbox.messages import split, stem_of
from pedseg.federation.mailbox.sealed_message import Header, seal

GOOD = {2: 1.0, 3: 2.0}


def flip(file: Path) -> None:
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)


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


# --- at the coordinator -------------------------------------------------------------------------


def half(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.parametrize(
    ("spoil", "code"), [(flip, "E-MAIL-SIGNATURE"), (half, "E-MAIL-SIGNATURE"), (empty, "E-MAIL-FORMAT")]
)
def test_a_spoiled_answer_is_refused_and_the_center_writes_it_again(
    federation, spoil: Callable[[Path], None], code: str
) -> None:
    ids = federation.push(1)
    federation.poll()
    spoil(federation.files("from/Bb", 1)[0])
    assert federation.read(ids) == {2: 1.0} and federation.refused() == [code]
    federation.centers["Bb"].repair()
    federation.poll("Bb")
    assert federation.read(ids) == {3: 2.0}
    assert federation.refused() == [code]  # named once, not at every look


def test_an_old_answer_in_the_place_of_a_new_one_is_refused(federation) -> None:
    federation.play(1)
    old = federation.files("from/Bb", 1)[0]
    ids = federation.push(2, 10.0)
    shutil.copy(old, federation.box / "from/Bb" / federation.files("to/Bb", 2)[0].name)
    assert federation.read(ids) == {} and federation.refused() == ["E-MAIL-REPLAY"]
    federation.poll()
    assert federation.read(ids) == {2: 11.0, 3: 12.0}


def test_an_old_answer_under_a_name_of_its_own_is_refused(federation) -> None:
    federation.play(1)
    old = federation.files("from/Bb", 1)[0]
    shutil.copy(old, old.with_name("letter.0"))
    ids = federation.push(2)
    federation.read(ids)
    assert federation.refused() == ["E-MAIL-UNASKED"]


def test_swapped_answers_are_refused(federation) -> None:
    ids = federation.push(1)
    federation.poll()
    (a,), (b,) = federation.files("from/Aa", 1), federation.files("from/Bb", 1)
    contents = a.read_bytes(), b.read_bytes()
    a.write_bytes(contents[1]), b.write_bytes(contents[0])
    assert federation.read(ids) == {}
    assert federation.refused() == ["E-MAIL-SIGNATURE"] * 2


def test_a_forged_answer_is_refused_even_from_a_member(federation) -> None:
    ids = federation.push(1)
    name = federation.files("to/Bb", 1)[0].name
    run, round_, request = split(stem_of(name))  # type: ignore[misc]
    now = time.time()
    header = Header(run, round_, request, "Bb", COORDINATOR, now, now + 60)
    forged = [seal(b"", header, federation.keys["Aa"], federation.keys[COORDINATOR].member)]
    forged.append(seal(b"", replace(header, sender="Aa"), federation.keys["Aa"], federation.keys[COORDINATOR].member))
    for number, envelope in enumerate(forged):
        (federation.box / "from/Bb" / f"{stem_of(name)}.{number}").write_bytes(envelope)
    assert federation.read(ids) == {} and federation.refused() == ["E-MAIL-SIGNATURE"] * 2


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"expires": 5.0}, "E-MAIL-EXPIRED"),
        ({"run": "0" * 16}, "E-MAIL-RUN"),
        ({"round": 7}, "E-MAIL-REPLAY"),
        ({"request": "0" * 32}, "E-MAIL-REPLAY"),
        ({"receiver": "Aa"}, "E-MAIL-ADDRESS"),
        ({}, "E-MAIL-CONTENT"),
    ],
)
def test_a_well_signed_answer_must_fit_the_question(federation, change: dict, code: str) -> None:
    ids = federation.push(1)
    name = federation.files("to/Bb", 1)[0].name
    run, round_, request = split(stem_of(name))  # type: ignore[misc]
    now = time.time()
    header = replace(Header(run, round_, request, "Bb", COORDINATOR, now, now + 60), **change)
    envelope = seal(b"no records", header, federation.keys["Bb"], federation.keys[COORDINATOR].member)
    (federation.box / "from/Bb" / name).write_bytes(envelope)
    assert federation.read(ids) == {} and federation.refused() == [code]
    federation.poll()
    assert federation.read(ids) == GOOD


def test_an_answer_far_too_large_is_not_even_read(federation) -> None:
    ids = federation.push(1)
    with (federation.box / "from/Bb" / federation.files("to/Bb", 1)[0].name).open("wb") as file:
        file.truncate(1 << 40)  # a hole of one TB
    assert federation.read(ids) == {} and federation.refused() == ["E-MAIL-SIZE"]


# --- at a center --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "code"), [(flip, "E-MAIL-SIGNATURE"), (half, "E-MAIL-SIGNATURE"), (empty, "E-MAIL-FORMAT")]
)
def test_a_spoiled_question_is_refused_and_the_coordinator_writes_it_again(
    federation, spoil: Callable[[Path], None], code: str
) -> None:
    ids = federation.push(1)
    spoil(federation.files("to/Bb", 1)[0])
    assert federation.poll() == [code] and federation.poll() == []
    assert federation.read(ids) == {2: 1.0}
    federation.grid.repair()
    assert federation.poll() == []
    assert federation.read(ids) == {3: 2.0}


@pytest.mark.parametrize("spoil", [flip, half, empty, Path.unlink])
def test_a_spoiled_model_is_refused_and_written_again(federation, spoil: Callable[[Path], None]) -> None:
    ids = federation.push(1)
    spoil(federation.files("weights")[0])
    expected = [] if spoil is Path.unlink else ["E-MAIL-WEIGHTS"] * 2
    assert federation.poll() == expected and federation.poll() == []
    federation.grid.repair()
    federation.poll()
    assert federation.read(ids) == GOOD


def test_every_flipped_byte_of_a_model_is_found(federation) -> None:
    federation.push(1)
    (file,) = federation.files("weights")
    raw = file.read_bytes()
    for place in range(len(raw)):
        file.unlink()
        file.write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
        federation.centers["Aa"].repair()
        assert federation.poll("Aa") == ["E-MAIL-WEIGHTS"], place
    assert federation.files("from/Aa") == []


def test_a_question_of_a_round_that_is_over_is_refused(federation) -> None:
    federation.push(1)
    stale = {file: file.read_bytes() for file in federation.files("to/Bb", 1)}
    federation.poll("Aa")
    ids = federation.push(2, 10.0)
    federation.poll()
    assert federation.poll("Bb") == ["E-MAIL-ROUND"]  # Bb was late for the first round
    for file, raw in stale.items():
        file.unlink()
        file.write_bytes(raw)
    assert federation.poll("Bb") == ["E-MAIL-ROUND"]
    assert federation.read(ids) == {2: 11.0, 3: 12.0}


def test_an_old_question_under_a_new_name_is_refused(federation) -> None:
    federation.play(1)
    old = federation.files("to/Bb", 1)[0]
    run, _, request = split(stem_of(old.name))  # type: ignore[misc]
    shutil.copy(old, old.with_name(f"{run}-00009-{request}.0"))
    shutil.copy(old, old.with_name("please-train.0"))
    assert federation.poll() == ["E-MAIL-REPLAY"] * 2


def test_a_question_for_another_center_is_refused(federation) -> None:
    federation.push(1)
    other = federation.files("to/Aa", 1)[0]
    shutil.copy(other, federation.box / "to/Bb" / other.name)
    assert federation.poll("Bb") == ["E-MAIL-ADDRESS"]


def test_a_question_that_no_coordinator_asked_is_refused(federation) -> None:
    federation.play(1)
    run, round_, _ = split(stem_of(federation.files("to/Bb", 1)[0].name))  # type: ignore[misc]
    now = time.time()
    header = Header(run, round_ + 1, "0" * 32, COORDINATOR, "Bb", now, now + 60)
    (federation.box / "to/Bb" / f"{run}-00002-{'0' * 32}.0").write_bytes(
        seal(b"", header, federation.keys["Aa"], federation.keys["Bb"].member)
    )
    assert federation.poll("Bb") == ["E-MAIL-SIGNATURE"]


def test_a_question_of_an_earlier_run_is_refused(federation) -> None:
    federation.play(1)
    old = federation.files("to/Bb", 1)[0]
    raw = old.read_bytes()
    shutil.rmtree(federation.folder / "coordinator")
    federation.grid = federation.coordinator()  # another run; clears the letters of the first away
    assert federation.play(1, 10.0) == {2: 11.0, 3: 12.0}
    assert not old.exists()
    old.write_bytes(raw)
    assert federation.poll("Bb") == ["E-MAIL-RUN"]


def test_an_expired_question_is_refused(make_federation) -> None:
    federation = make_federation(expires_seconds=-1)
    federation.push(1)
    assert federation.poll() == ["E-MAIL-EXPIRED"] * 2


def test_rubbish_in_the_place_of_a_question_is_passed_by(federation) -> None:
    federation.push(1)
    (request,) = federation.files("to/Bb", 1)
    request.write_bytes(b"rubbish")
    federation.grid = federation.coordinator()
    ids = federation.push(1)
    assert [file.name[-1] for file in federation.files("to/Bb", 1)] == ["0", "1"]
    assert federation.poll() == ["E-MAIL-FORMAT"]
    assert federation.read(ids) == GOOD


# --- once, and again after a crash --------------------------------------------------------------


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
