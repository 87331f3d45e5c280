"""Answers come in the order of the centers, from our own grids and from Flower's, and unsound ones stay outside."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Message
from flwr.serverapp import Grid

from pedseg.errors import PedsegInputError
from pedseg.federation import replies
from pedseg.federation.apps import client_app, federate
from pedseg.federation.in_process import InProcessGrid


class ForeignGrid(Grid):
    """A grid as Flower's: questions are pushed, answers pulled, each at its own time; it knows nothing of ours."""

    def __init__(self, grid: InProcessGrid, *, takes: bool = True, late: int = 0) -> None:
        self.grid, self.takes, self.late, self.pulled = grid, takes, late, 0

    def set_run(self, run: Any) -> None: ...

    @property
    def run(self) -> Any:
        return self.grid.run

    create_message: Any = None

    def get_node_ids(self) -> Iterable[int]:
        return self.grid.get_node_ids()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        return self.grid.push_messages(messages) if self.takes else []

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        self.pulled += 1
        return self.grid.pull_messages(message_ids) if self.pulled > self.late else []

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        return self.grid.send_and_receive(messages)


def test_a_grid_of_flower_gives_the_same_weights(
    hospitals: Path, run_config: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "PULL_SECONDS", 0.0)
    ours = list(federate(InProcessGrid(client_app, [{}, {}], run_config), run_config))
    foreign = ForeignGrid(InProcessGrid(client_app, [{}, {}], run_config), late=3)
    assert [one.sha256 for one in federate(foreign, run_config)] == [one.sha256 for one in ours]
    assert foreign.pulled == 3 + 4  # three times nothing was there


def test_questions_that_the_grid_does_not_take_end_the_run_by_the_names_of_the_centers(
    hospitals: Path, run_config: dict
) -> None:
    foreign = ForeignGrid(InProcessGrid(client_app, [{}, {}], run_config), takes=False)
    with pytest.raises(PedsegInputError) as caught:
        list(federate(foreign, run_config))
    assert [(one.code, one.file) for one in caught.value.problems] == [
        ("E-CENTER-SILENT", "Aa"),
        ("E-CENTER-SILENT", "Bb"),
    ]


def test_a_center_that_has_gone_offline_is_named_and_not_asked(hospitals: Path, run_config: dict) -> None:
    grid = InProcessGrid(client_app, [{}, {}], run_config)
    rounds = federate(grid, run_config)
    next(rounds)
    grid.get_node_ids = lambda: [2]  # type: ignore[method-assign]
    second = next(rounds)
    assert [(one.code, one.file) for one in second.refused] == [("E-CENTER-SILENT", "Bb")]
    assert list(second.losses) == ["Aa"]
