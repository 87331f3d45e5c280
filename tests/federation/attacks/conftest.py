"""Federations of three tiny hospitals in this process, of which one does not do what it is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from flwr.app import Context, Message

from pedseg.federation.checkpoints import Round
from pedseg.federation.client_app import app as client_app
from pedseg.federation.config import FederationConfig
from pedseg.federation.in_process import InProcessGrid
from pedseg.federation.rounds import train_rounds

Lie = Callable[[Message, Message], Message | None]


@pytest.fixture
def federate(three_hospitals: Path, config: FederationConfig) -> Callable[..., list[Round]]:
    """Runs the shortest federation: (lie, kind of message, liar, centers, settings) to its rounds.

    A lie gets the question and the honest reply, and changes the reply or makes another one.
    """

    def run(
        lie: Lie | None = None, kind: str = "train", liar: int = 1, centers: int = 3, **settings: object
    ) -> list[Round]:
        def app(message: Message, context: Context) -> Message:
            reply = client_app(message, context)
            mine = lie and message.metadata.message_type == kind and context.node_config["partition-id"] == liar
            return (lie(message, reply) or reply) if mine and lie else reply

        made = replace(config, data=three_hospitals, **settings)
        nodes = [{"data-dir": str(folder)} for folder in sorted(three_hospitals.iterdir())[:centers]]
        return list(train_rounds(InProcessGrid(app, nodes, made.to_run_config()), made))  # type: ignore[arg-type]

    return run


@pytest.fixture
def without_liar(federate: Callable[..., list[Round]]) -> list[str]:
    """The digests of the rounds when the liar says nothing at all: what the honest ones make of it."""

    def silent(*_: Message) -> Message:
        raise MemoryError

    return [round_.sha256 for round_ in federate(silent)]
