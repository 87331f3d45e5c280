"""The grid in this process keeps the manners of a real one."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg

from pedseg.federation import in_process
from pedseg.federation.in_process import InProcessGrid, copy_records


def ask(grid: InProcessGrid, content: RecordDict, kind: str = "query") -> list[Message]:
    """The same content to every center, as Flower's strategies send it."""
    questions = [Message(content, dst_node_id=node, message_type=kind) for node in grid.get_node_ids()]
    return list(grid.send_and_receive(questions))


@pytest.fixture
def app() -> ClientApp:
    """An app that answers with its place, scribbles on what it got and remembers how often it was asked."""
    app = ClientApp()

    @app.query()
    def answer(message: Message, context: Context) -> Message:
        place = context.node_config["partition-id"]
        if place == context.run_config["fails"]:
            raise ValueError("no scan today")
        seen = message.content["note"]["text"]
        message.content["note"]["text"] = f"scribble of {place}"
        calls = int(context.state["calls"]["n"]) if "calls" in context.state else 0
        context.state["calls"] = MetricRecord({"n": calls + 1})
        random.random(), np.random.rand(), torch.rand(1)
        reply = RecordDict({"a": ConfigRecord({"place": place, "seen": seen}), "calls": context.state["calls"]})
        return Message(reply, reply_to=message)

    return app


@pytest.mark.parametrize("workers", [1, 3])
def test_every_center_gets_a_copy_and_keeps_its_own_memory(app: ClientApp, workers: int) -> None:
    grid = InProcessGrid(app, [{}, {}, {}], {"fails": -1}, workers=workers)
    content = RecordDict({"note": ConfigRecord({"text": "hello"})})
    ask(grid, content)
    second = ask(grid, content)
    assert [reply.content["a"]["place"] for reply in second] == [0, 1, 2]
    assert [reply.content["a"]["seen"] for reply in second] == ["hello"] * 3
    assert [reply.content["calls"]["n"] for reply in second] == [2, 2, 2]
    second[0].content["calls"]["n"] = 99  # the server scribbles on an answer: the center's memory is another object
    assert ask(grid, content)[0].content["calls"]["n"] == 3


def test_an_exception_becomes_an_error_reply_and_the_others_answer(app: ClientApp) -> None:
    grid = InProcessGrid(app, [{}, {}], {"fails": 1}, workers=2)
    good, bad = ask(grid, RecordDict({"note": ConfigRecord({"text": ""})}))
    assert good.has_content()
    assert bad.has_error() and "no scan today" in str(bad.error.reason)
    assert bad.metadata.src_node_id == list(grid.get_node_ids())[1]


def test_answers_refer_to_the_question(app: ClientApp) -> None:
    grid = InProcessGrid(app, [{}, {}], {"fails": -1})
    content = RecordDict({"note": ConfigRecord({"text": ""})})
    questions = [Message(content, dst_node_id=node, message_type="query") for node in grid.get_node_ids()]
    ids = list(grid.push_messages(questions))
    assert len(set(ids)) == 2
    assert [reply.metadata.reply_to_message_id for reply in grid.pull_messages(reversed(ids))] == ids[::-1]
    assert list(grid.pull_messages(ids)) == []  # each answer is given once


@pytest.mark.parametrize("workers", [1, 2])
def test_answers_are_made_a_few_at_a_time(workers: int) -> None:
    app, asked = ClientApp(), []

    @app.query()
    def answer(message: Message, context: Context) -> Message:
        asked.append(context.node_config["partition-id"])
        time.sleep(0.02 * (context.node_config["partition-id"] == 0))  # the first is the last to be ready
        return Message(
            RecordDict({"a": MetricRecord({"place": context.node_config["partition-id"]})}), reply_to=message
        )

    grid = InProcessGrid(app, [{}] * 9, {}, workers=workers)
    questions = [Message(RecordDict(), dst_node_id=node, message_type="query") for node in grid.get_node_ids()]
    answers = grid.replies_in_order(questions)
    first = next(answers)
    assert len(asked) <= 2 * workers
    assert [reply.content["a"]["place"] for reply in (first, *answers)] == list(range(9))


@pytest.mark.parametrize(("centers", "workers", "counted"), [(2, 2, True), (2, 1, False), (1, 2, False)])
def test_seconds_are_counted_in_threads_of_their_own_only(centers: int, workers: int, counted: bool) -> None:
    """What a center takes in the thread of the caller is in the caller's own count."""
    app = ClientApp()

    @app.query()
    def answer(message: Message, context: Context) -> Message:
        until = time.thread_time() + 0.02
        while time.thread_time() < until:
            pass
        return Message(RecordDict(), reply_to=message)

    grid = InProcessGrid(app, [{}] * centers, {}, workers=workers)
    ask(grid, RecordDict())
    assert grid.cpu_seconds == pytest.approx(0.04 if counted else 0, abs=0.02)


@pytest.mark.parametrize("workers", [1, 2])
def test_global_random_generators_are_left_as_they_were(app: ClientApp, workers: int) -> None:
    grid = InProcessGrid(app, [{}, {}], {"fails": -1}, workers=workers)
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    ask(grid, RecordDict({"note": ConfigRecord({"text": ""})}))
    assert random.getstate() == before[0]
    assert np.array_equal(np.random.get_state()[1], before[1][1])
    assert torch.equal(torch.get_rng_state(), before[2])


def test_an_interrupt_stops_the_centers(monkeypatch: pytest.MonkeyPatch) -> None:
    app, ends = ClientApp(), []

    @app.query()
    def train_long(message: Message, context: Context) -> Message:
        until = time.monotonic() + 20
        while time.monotonic() < until and not in_process.stop_requested.is_set():
            time.sleep(0.01)
        ends.append(in_process.stop_requested.is_set())
        return Message(RecordDict(), reply_to=message)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(in_process, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ask(InProcessGrid(app, [{}, {}], {}, workers=2), RecordDict())
    assert ends and all(ends)


def test_copies_share_no_container_and_hold_the_same_bytes() -> None:
    array = Array(np.arange(6, dtype=np.float32).reshape(2, 3))
    original = RecordDict(
        {"w": ArrayRecord({"x": array}), "m": MetricRecord({"v": [1, 2]}), "c": ConfigRecord({"b": b"x"})}
    )
    copy = copy_records(original)
    assert copy == original
    assert copy["w"]["x"].data is original["w"]["x"].data  # type: ignore[index]
    copy["w"]["x"].data, copy["m"]["v"][0] = b"", 9  # type: ignore[index]
    assert np.array_equal(original["w"]["x"].numpy(), np.arange(6).reshape(2, 3))
    assert original["m"]["v"] == [1, 2]


def test_flowers_own_strategy_runs_on_it_and_gives_the_weighted_mean() -> None:
    app = ClientApp()

    @app.train()
    def add_place(message: Message, context: Context) -> Message:
        place = int(context.node_config["partition-id"])
        new = message.content["arrays"]["w"].numpy() + np.float32(place + 1)
        metrics = MetricRecord({"num-examples": 1 + 2 * place})
        return Message(RecordDict({"arrays": ArrayRecord({"w": Array(new)}), "metrics": metrics}), reply_to=message)

    start = ArrayRecord({"w": Array(np.zeros(3, dtype=np.float32))})
    result = FedAvg(fraction_evaluate=0.0).start(InProcessGrid(app, [{}, {}], {}), start, num_rounds=2)
    assert np.allclose(result.arrays["w"].numpy(), 2 * (1 * 1 + 2 * 3) / 4)
