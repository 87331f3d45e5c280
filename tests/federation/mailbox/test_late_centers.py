"""Late and lost centers: the round waits, goes on by its rule, and a center may come back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flwr.app import Context, Message, RecordDict

from pedseg.errors import PedsegInputError, input_error
from pedseg.federation.config import FederationConfig
from pedseg.federation.enrollment import enroll
from pedseg.federation.mailbox import attempts, grid


def answered(federation, round_: int, value: float = 0.0) -> dict[int, float]:
    """A round as the strategy plays it: ask, and wait by the rule."""
    replies = federation.grid.send_and_receive(federation.messages(round_, value))
    return {r.metadata.src_node_id: float(r.content.array_records["arrays"]["w"].numpy()[0]) for r in replies}


@contextmanager
def working(federation, *names: str, after: float = 0.0) -> Iterator[None]:
    """Centers that look into the mailbox again and again, from some seconds on."""
    end = threading.Event()

    def work() -> None:
        end.wait(after)
        while not end.is_set():
            federation.poll(*names)
            end.wait(0.02)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


@pytest.fixture
def attentive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signs of life are looked at with every poll."""
    monkeypatch.setattr(grid, "LISTEN_SECONDS", 0.0)


def test_a_lost_center_is_left_out_and_may_come_back(make_federation, attentive) -> None:
    federation = make_federation(round_timeout=0.6 / 3600, min_centers=1)
    start = time.monotonic()
    with working(federation, "Aa"):
        assert answered(federation, 1) == {2: 1.0}
        assert time.monotonic() - start >= 0.6
        federation.centers["Bb"].status.write()  # it is there again
        with working(federation, "Bb", after=0.3):
            assert answered(federation, 2, 10.0) == {2: 11.0, 3: 12.0}
    assert [reply.round for reply in federation.centers["Bb"].replies.all] == [2]  # not the round that was over


@pytest.mark.parametrize("lost", ["Aa", "Bb"])
def test_a_center_that_is_gone_costs_one_timeout_and_not_one_a_round(make_federation, attentive, lost: str) -> None:
    federation = make_federation(round_timeout=0.8 / 3600, min_centers=1)
    federation.centers[lost].status.write()  # its last one
    seconds = []
    with working(federation, "Bb" if lost == "Aa" else "Aa"):
        for round_ in range(1, 5):
            start = time.monotonic()
            assert len(answered(federation, round_, float(round_))) == 1
            seconds.append(time.monotonic() - start)
    assert seconds[0] >= 0.8 and sum(seconds) < 2 * 0.8 + 1.0


def test_who_sends_an_error_again_is_not_waited_for_again(make_federation, attentive, monkeypatch) -> None:
    def fail(message: Message, context: Context) -> Message:
        raise OSError("the drive /data/scans is away")

    monkeypatch.setattr(attempts, "RETRY_SECONDS", (0.05,))
    federation = make_federation(round_timeout=0.8 / 3600, min_centers=1)
    federation.centers["Bb"].app = fail
    start = time.monotonic()
    with working(federation):
        assert [answered(federation, round_, round_) for round_ in (1, 2, 3)] == [{2: 2.0}, {2: 3.0}, {2: 4.0}]
    assert time.monotonic() - start < 2.5


def test_the_round_waits_while_too_few_have_answered(make_federation) -> None:
    federation = make_federation(round_timeout=0.1 / 3600, min_centers=2)
    with working(federation, "Aa"), working(federation, "Bb", after=1.0):
        assert answered(federation, 1) == {2: 1.0, 3: 2.0}


def test_a_late_answer_to_a_round_that_is_over_is_not_used(make_federation) -> None:
    federation = make_federation(round_timeout=0.2 / 3600, min_centers=1)
    federation.push(1)
    federation.poll("Aa")
    assert answered(federation, 1) == {2: 1.0}
    federation.poll("Bb")  # too late
    ids = federation.push(2, 10.0)
    assert federation.read(ids) == {} and federation.refused() == []


def test_an_answer_is_fetched_when_its_turn_has_come(make_federation, monkeypatch: pytest.MonkeyPatch) -> None:
    federation = make_federation()
    federation.push(1)
    federation.poll()
    fetched: list[str] = []
    read = federation.grid.store.read
    monkeypatch.setattr(
        federation.grid.store, "read", lambda name, *most: fetched.append(name.split("/")[1]) or read(name, *most)
    )
    replies = federation.grid.replies_in_order(federation.messages(1))
    assert next(replies).metadata.src_node_id == 2 and "Bb" not in fetched[-1]
    assert next(replies).metadata.src_node_id == 3 and fetched[-1] == "Bb"


def test_a_spoiled_answer_of_a_later_center_does_not_count_as_one(make_federation) -> None:
    federation = make_federation(round_timeout=0.2 / 3600, min_centers=1)
    federation.push(1)
    federation.poll("Bb")
    file = federation.files("from/Bb", 1)[0]
    file.write_bytes(file.read_bytes()[:-1])
    with working(federation, "Bb", after=1.0):  # Aa is lost; Bb comes, and writes it again
        federation.centers["Bb"].repair()
        assert answered(federation, 1) == {3: 2.0}
    assert federation.refused() == ["E-MAIL-SIGNATURE"]


def test_after_a_crash_the_waiting_is_counted_from_the_first_asking(make_federation) -> None:
    federation = make_federation(round_timeout=1.0 / 3600, min_centers=1)
    federation.push(1)
    federation.poll("Aa")
    time.sleep(1.1)
    federation.grid = federation.coordinator()
    start = time.monotonic()
    assert answered(federation, 1) == {2: 1.0}
    assert time.monotonic() - start < 1.0


def test_enrollment_obeys_the_timeout_and_names_who_is_missing(make_federation) -> None:
    federation = make_federation(round_timeout=0.3 / 3600, min_centers=1)
    with working(federation, "Aa"), pytest.raises(PedsegInputError, match="E-CENTER-SILENT Bb: no reply came"):
        enroll(federation.grid, FederationConfig(max_share=1.0))


@pytest.mark.slow
def test_a_hospital_that_goes_home_and_comes_back(programs, tmp_path: Path) -> None:
    played = programs(tmp_path / "box", "--rounds", "6", "--round-timeout", "0.001", "--min-centers", "2")
    played.start()
    until = time.monotonic() + 100
    while played.rounds_done() < 1 and time.monotonic() < until:
        time.sleep(0.05)
    played.kill("Cc")
    while "E-CENTER-SILENT Cc" not in played.said("coordinator") and time.monotonic() < until:
        time.sleep(0.05)
    played.start("Cc")
    played.wait()
    lines = [line for line in played.said("coordinator").splitlines() if line.startswith("E-")]
    assert any(line.startswith("E-CENTER-SILENT Cc") for line in lines)
    assert all(line.startswith("E-CENTER-SILENT") for line in lines)  # on a busy machine others may be late, too
    assert (played.work / "Cc" / "federated.safetensors").is_file()


def test_a_run_whose_data_have_changed_is_refused_and_another_is_not(federation) -> None:
    """The stored reply is of the data before; the coordinator is told the code, and the final model still arrives."""
    center = federation.centers["Aa"]
    assert federation.play(1) == {2: 1.0, 3: 2.0}
    center.outdated[federation.grid.name] = input_error("E-DATA-CHANGED", "data", "other cases.", "Begin anew.")
    ids = federation.push(2, 5.0)
    assert set(federation.poll()) == {"E-DATA-CHANGED"} and federation.read(ids) == {3: 7.0}
    assert federation.poll() == []  # said once
    federation.grid.statuses.look(center.own.member)
    assert federation.grid.statuses.signs["Aa"].status.code == "E-DATA-CHANGED"
    federation.grid.finish(RecordDict(), 2)
    assert [event.status for event in center.poll()] == ["finished"]
