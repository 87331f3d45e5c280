"""Letters that are forged, replayed, swapped, cut, or far too large: refused by name, and the round ends."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pedseg.federation.keys import COORDINATOR
from pedseg.federation.mailbox import center as center_mailbox
from pedseg.federation.mailbox import grid
from pedseg.federation.mailbox.messages import split, stem_of
from pedseg.federation.mailbox.sealed_message import Header, seal

GOOD = {2: 1.0, 3: 2.0}


def flip(file: Path) -> None:
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)


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


def test_a_model_of_30_gb_is_not_even_read(federation) -> None:
    ids = federation.push(1)
    model = federation.files("weights")[0]
    with model.open("wb") as file:
        file.truncate(30 << 30)  # a hole
    assert federation.poll("Aa") == ["E-MAIL-SIZE"] and federation.read(ids) == {}
    federation.grid.repair()  # the coordinator does not read it either
    assert model.stat().st_size < 10_000
    federation.poll()
    assert federation.read(ids) == {2: 1.0, 3: 2.0}


def test_very_many_strays_are_not_named_one_by_one(federation, caplog: pytest.LogCaptureFixture) -> None:
    ids = federation.push(1)
    for number in range(300):
        for folder in ("to/Aa", "from/Aa"):
            (federation.box / folder / f"-{number:04d}.dcm").write_bytes(b"stray")
    opened = federation.poll("Aa")
    assert len(opened) <= center_mailbox.MAX_NEW_OBJECTS
    for _ in range(300 // center_mailbox.MAX_NEW_OBJECTS + 1):
        federation.poll()
    assert federation.read(ids) == {2: 1.0, 3: 2.0}
    assert len(federation.refused()) == grid.MAX_NAMED and caplog.text.count("E-MAIL-STRAYS") == 1
