"""An error is no answer: it is told, tried again, and mended; and both ends see what the other does."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from flwr.app import Context, Error, Message, RecordDict

from pedseg.errors import PedsegInputError, input_error
from pedseg.federation import client_app, progress
from pedseg.federation.mailbox import attempts, status
from pedseg.federation.mailbox.outbox import resume
from pedseg.federation.mailbox.sealed_message import Header, seal
from pedseg.federation.mailbox.status import Status, StatusReader


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors are tried again with the next poll."""
    monkeypatch.setattr(attempts, "RETRY_SECONDS", (0.0,))


def failing(times: int, app: Callable) -> Callable:
    """An app that fails so many times, then works."""
    left = [times]

    def app_(message: Message, context: Context) -> Message:
        if left[0]:
            left[0] -= 1
            raise input_error("E-LABEL-EMPTY", "/data/Bb/labelsTr/anna.nii.gz", "no organ.", "Draw one.")
        return app(message, context)

    return app_


def heard(federation, name: str) -> Status | None:
    """The newest status of a center, as its coordinator reads it."""
    federation.grid.statuses.look(federation.keys[name].member)
    sign = federation.grid.statuses.signs.get(name)
    return sign.status if sign else None


def test_an_error_is_no_answer_and_is_tried_again(federation) -> None:
    federation.centers["Bb"].app = failing(2, federation.app)
    ids = federation.push(1)
    for _ in range(2):
        assert federation.poll("Bb") == ["E-LABEL-EMPTY"]
        assert federation.read(ids) == {} and federation.files("from/Bb") == []
        assert heard(federation, "Bb") == Status("failed", 1, "train", code="E-LABEL-EMPTY")
    assert federation.poll() == []
    assert federation.read(ids) == {2: 1.0, 3: 2.0}
    assert federation.centers["Bb"].disclosure_log.entries()[0].number == 0  # nothing has left but the answer


def test_an_error_that_an_app_returns_is_no_answer_either(federation) -> None:
    federation.centers["Bb"].app = lambda message, _: Message(Error(2, "/data/anna"), reply_to=message)
    federation.push(1)
    assert federation.poll("Bb") == ["CenterError"] and federation.files("from/Bb") == []


def test_the_pauses_between_two_attempts_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "RETRY_SECONDS", (5.0, 15.0))
    tried = attempts.Attempts()
    assert tried.may_try("a")
    assert [tried.failed("a") for _ in range(3)] == [5.0, 15.0, 15.0] and not tried.may_try("a")
    assert tried.may_try("b") and tried.failed("b") == 5.0


def test_mended_data_goes_on_where_it_stopped(federation, three_hospitals: Path, tmp_path: Path) -> None:
    """A data set whose image is lost for one round; the file with its name and remedy is told at the center alone."""
    folder = shutil.copytree(sorted(three_hospitals.iterdir())[0], tmp_path / "data")
    image = sorted((folder / "imagesTr").iterdir())[0]
    image.rename(tmp_path / image.name)
    federation.centers["Aa"].app = client_app.app
    federation.centers["Aa"].node_config = {"data-dir": str(folder)}
    federation.grid.push_messages([Message(RecordDict(), node, "query.fingerprint") for node in (2, 3)])
    (event,) = federation.centers["Aa"].poll()
    assert event.status == "failed" and "data" in event.problem.file and event.problem.remedy
    code = heard(federation, "Aa").code
    assert code == event.problem.code and code.startswith("E-")
    shutil.move(tmp_path / image.name, image)
    (event,) = federation.centers["Aa"].poll()
    assert (event.status, event.message_type) == ("replied", "query.fingerprint")


def test_a_status_tells_how_far_the_training_is_and_no_loss(federation) -> None:
    told: list[Status | None] = []

    def train(message: Message, context: Context) -> Message:
        progress.report(1, 4, 0.5)
        federation.centers["Bb"].status.write()
        told.append(heard(federation, "Bb"))
        return federation.app(message, context)

    federation.centers["Bb"].app = train
    federation.push(1)
    federation.poll("Bb")
    assert told[0] == Status("working", 1, "train", step=1, steps=4, seconds_left=0)
    federation.centers["Bb"].status.write()
    assert heard(federation, "Bb") == Status("waiting", 1)
    assert len(list((federation.box / "from/Bb/status").iterdir())) == 1  # the last one alone lies there
    assert "loss" not in asdict(Status())
    assert "step 1 of 4, 7 s left" == str(Status("working", 1, "train", 1, 4, 7))


@pytest.mark.parametrize(
    "wrong",
    [{"phase": "dancing"}, {"code": "\x1b[2J"}, {"code": "x" * 99}, {"code": "E /data/anna"}, {"step": -1},
     {"step": True}, {"round": 1e99}, {"code": 5}, {"extra": 1}],
)  # fmt: skip
def test_what_a_status_must_not_say(wrong: dict) -> None:
    assert Status.from_bytes(json.dumps(asdict(Status("failed", code="E-X"))).encode()).code == "E-X"
    with pytest.raises((ValueError, TypeError)):
        Status.from_bytes(json.dumps({**asdict(Status()), **wrong}).encode())


def test_a_forged_or_old_status_is_not_believed(federation, caplog: pytest.LogCaptureFixture) -> None:
    writer, own = federation.centers["Bb"].status, federation.keys
    writer.write()
    old = next((federation.box / "from/Bb/status").iterdir()).read_bytes()
    reader = StatusReader(federation.grid.store, own["coordinator"])
    reader.look(own["Bb"].member)
    place = federation.box / "from/Bb/status"
    (place / "00000007.status").write_bytes(old)
    reader.look(own["Bb"].member)
    header = Header("", 0, "status-8", "Bb", "coordinator", time.time(), time.time() + 60)
    (place / "00000008.status").write_bytes(seal(b"{}", header, own["Aa"], own["coordinator"].member))
    reader.look(own["Bb"].member)
    (place / "00000009.status").write_bytes(bytes(10_000))
    for _ in range(3):
        reader.look(own["Bb"].member)
    assert reader.signs["Bb"].number == 1
    assert [caplog.text.count(code) for code in ("E-MAIL-REPLAY", "E-MAIL-SIGNATURE", "E-MAIL-SIZE")] == [1, 1, 1]


def test_a_center_tells_again_and_again(federation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "WRITE_SECONDS", 0.05)
    with federation.centers["Bb"].status.written_again():
        time.sleep(0.6)
    heard(federation, "Bb")
    assert federation.grid.statuses.signs["Bb"].number >= 3


def test_a_clock_far_ahead_is_named_and_changes_nothing(
    federation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = time.time
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: real() + 2 * 86_400)
        federation.push(1)
        ids = federation.push(2)
    for _ in range(2):
        federation.poll()
    assert len(federation.read(ids)) == 2
    assert caplog.text.count("48 hours ahead") == 2  # once at each center
    shutil.rmtree(federation.folder / "coordinator")  # the next run comes from a clock that is right again
    federation.grid = federation.coordinator()
    assert federation.play(1) == {2: 1.0, 3: 2.0}


def test_a_second_installation_with_the_same_keys_is_refused(federation) -> None:
    federation.play(1)
    first = federation.grid
    other = resume(federation.folder / "elsewhere", "demo", federation.folder / "other keys" / "coordinator.runs")
    assert other.id[:4] == first.name[:4] and other.id != first.name
    with pytest.raises(PedsegInputError, match="E-TWO-COORDINATORS"):
        first.__class__(first.store, first.own, list(first.members.values()), other, first.config).push_messages(
            federation.messages(1)
        )
    later = resume(federation.folder / "third", "demo", federation.folder / "keys" / "coordinator.runs")
    first.__class__(first.store, first.own, list(first.members.values()), later, first.config).push_messages(
        federation.messages(1)
    )
    with pytest.raises(PedsegInputError, match="E-TWO-COORDINATORS"):
        first.push_messages(federation.messages(2))  # the older one stops, and deletes nothing
