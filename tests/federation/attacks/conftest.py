"""Federations of three tiny hospitals, of which one does not do what it is asked; and a coordinator that asks for all.

What an attacker gets is compared with what the honest ones would have made of it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict

from pedseg.datasets.reading import read_dataset
from pedseg.federation import _flower
from pedseg.federation.checkpoints import Round
from pedseg.federation.client_app import app as client_app
from pedseg.federation.config import FederationConfig
from pedseg.federation.in_process import CenterError, InProcessGrid, problems_of
from pedseg.federation.rounds import train_rounds
from pedseg.federation.training_task import TrainingTask
from pedseg.learning.fingerprint import fingerprint, merge
from pedseg.learning.network import build
from pedseg.learning.plans import Plan, make_plan
from pedseg.learning.weights import Weights, get_weights

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


class Coordinator:
    """A coordinator that asks the center Aa for whatever it likes, and the plan that an honest one would make."""

    def __init__(self, data: Path, work: Path) -> None:
        self.folder = shutil.copytree(sorted(data.iterdir())[0], work / "data")
        dataset = read_dataset(self.folder)
        self.own = fingerprint(dataset, dataset.split("train"))
        self.plan = make_plan(merge([self.own]), "lesson")

    def center(self, **policy: object) -> Context:
        """The center as it joins with this policy."""
        node = {"data-dir": str(self.folder), **{key.replace("_", "-"): value for key, value in policy.items()}}
        return Context(1, 2, node, RecordDict(), {})  # type: ignore[arg-type]

    def ask(
        self, context: Context, kind: str, plan: Plan | None = None, weights: Weights | None = None,
        arrays: ArrayRecord | None = None, **task: object,
    ) -> Message:  # fmt: skip
        """The center's reply to a message; `task` are settings in it that differ from those of an honest one."""
        _flower.identify_server()
        content = RecordDict()
        if plan:
            honest = TrainingTask(plan.to_json(), 1, 1, 0, 2, 1).to_record()
            content["config"] = honest if kind == "train" else ConfigRecord({"plan": plan.to_json()})
            content["arrays"] = arrays or _flower.to_arrays(weights or get_weights(build(self.plan)))
        if task:
            changed = ConfigRecord({key.replace("_", "-"): value for key, value in task.items()})  # type: ignore[misc]
            content["config"] = ConfigRecord({**_flower.configs_of(content).get("config", {}), **changed})
        return client_app(Message(content, dst_node_id=2, message_type=kind), context)

    def refused(self, context: Context, kind: str, plan: Plan | None = None, **asked: object) -> str:
        """By which code the center refuses a message; that is all that leaves."""
        with pytest.raises(CenterError) as caught:
            self.ask(context, kind, plan, **asked)  # type: ignore[arg-type]
        assert str(caught.value) == problems_of(caught.value)[0].code
        return str(caught.value)


@pytest.fixture
def coordinator(hospitals: Path, tmp_path: Path) -> Coordinator:
    """A coordinator that asks the center Aa (three training cases, one validation case)."""
    return Coordinator(hospitals, tmp_path)
