"""A center's replies on disk: a reply and the state after it are there together or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from flwr.app import MetricRecord, RecordDict

from pedseg.federation.mailbox.reply_store import ReplyStore, StoredReply


def reply(number: int, round_: int, run: str = "r") -> StoredReply:
    return StoredReply(run, round_, f"q{number}", number, 9e9)


def state(n: int) -> RecordDict:
    return RecordDict({"calls": MetricRecord({"n": n})})


def commit(store: ReplyStore, number: int, round_: int, run: str = "r") -> None:
    store.commit(reply(number, round_, run), f"envelope {number}".encode(), state(number))


def test_what_was_committed_is_found_after_a_new_start(tmp_path: Path) -> None:
    commit(ReplyStore(tmp_path), 0, 0)
    commit(ReplyStore(tmp_path), 1, 1)
    again = ReplyStore(tmp_path)
    first = again.find("r", "q1")
    assert first == again.newest == reply(1, 1)
    assert again.envelope(first) == b"envelope 1" and again.state("r") == state(1)
    assert again.find("r", "q5") is None and again.find("s", "q1") is None
    assert again.state("another run") == RecordDict()


def test_old_rounds_and_runs_are_forgotten_but_the_description_stays(tmp_path: Path) -> None:
    store = ReplyStore(tmp_path)
    for number in range(5):
        commit(store, number, number)
    assert [reply.round for reply in ReplyStore(tmp_path).all] == [0, 3, 4]
    commit(store, 5, 0, run="s")
    assert [reply.run for reply in ReplyStore(tmp_path).all] == ["s"]


@pytest.mark.parametrize("place", range(7))
def test_a_crash_at_any_moment_leaves_all_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    store = ReplyStore(tmp_path)
    commit(store, 0, 1)
    calls = 0

    class Crash(BaseException):
        """The power cut."""

    def crashing(act):
        def acted(*args, **options):
            nonlocal calls
            calls += 1
            if calls > place:
                raise Crash
            return act(*args, **options)

        return acted

    monkeypatch.setattr(os, "fsync", crashing(os.fsync))
    monkeypatch.setattr(Path, "mkdir", crashing(Path.mkdir))
    monkeypatch.setattr(Path, "rename", crashing(Path.rename))
    try:
        commit(store, 1, 2)
    except Crash:
        pass
    finally:
        monkeypatch.undo()
    again = ReplyStore(tmp_path)
    whole = place >= 5  # one folder, three files, one renaming
    assert again.newest == (reply(1, 2) if whole else reply(0, 1))
    assert again.state("r") == state(int(whole))
    assert not list(tmp_path.glob("*.part"))
    if not whole:
        commit(again, 1, 2)
        assert ReplyStore(tmp_path).newest == reply(1, 2)
