"""Replies come in the order of the centers, from our own grids and from Flower's, and invalid ones are refused."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from flwr.app import Message
from flwr.serverapp import Grid

from pedseg.errors import PedsegInputError
from pedseg.federation import replies
from pedseg.federation.client_app import app
from pedseg.federation.config import FederationConfig
from pedseg.federation.in_process import InProcessGrid
from pedseg.federation.rounds import train_rounds


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


def test_a_grid_of_flower_gives_the_same_weights(config: FederationConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "PULL_SECONDS", 0.0)
    ours = list(train_rounds(InProcessGrid(app, [{}, {}], config.to_run_config()), config))
    foreign = ForeignGrid(InProcessGrid(app, [{}, {}], config.to_run_config()), late=3)
    assert [round_.sha256 for round_ in train_rounds(foreign, config)] == [round_.sha256 for round_ in ours]
    assert foreign.pulled == 3 + 4  # three times nothing was there


def test_questions_that_the_grid_does_not_take_end_the_run_by_the_names_of_the_centers(
    config: FederationConfig,
) -> None:
    foreign = ForeignGrid(InProcessGrid(app, [{}, {}], config.to_run_config()), takes=False)
    with pytest.raises(PedsegInputError) as caught:
        list(train_rounds(foreign, config))
    assert [(problem.code, problem.file) for problem in caught.value.problems] == [
        ("E-CENTER-SILENT", "Aa"),
        ("E-CENTER-SILENT", "Bb"),
    ]


def test_a_center_that_has_gone_offline_is_named_and_not_asked(config: FederationConfig) -> None:
    grid = InProcessGrid(app, [{}, {}], config.to_run_config())
    rounds = train_rounds(grid, config)
    next(rounds)
    grid.get_node_ids = lambda: [2]  # type: ignore[method-assign]
    second = next(rounds)
    assert [(problem.code, problem.file) for problem in second.refused] == [("E-CENTER-SILENT", "Bb")]
    assert list(second.losses) == ["Aa"]
