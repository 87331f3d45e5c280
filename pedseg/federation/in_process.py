"""A Flower Grid in this process: all centers of a federation in one program, without network and server.

A Grid carries messages from the server to the centers, and replies back. This one calls the ClientApp directly, one
thread a center, and otherwise behaves as Flower's own: every message is copied, every center keeps its own state, and
a center that fails replies with an error while the others go on.
"""

from __future__ import annotations

import random
import secrets
import sys
import threading
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import numpy as np
from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Context,
    Error,
    Message,
    MetricRecord,
    RecordDict,
    UserConfigValue,
)
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid

from pedseg.errors import InputProblem, PedsegInputError
from pedseg.federation import _flower
from pedseg.federation.config import ONE_PROCESS
from pedseg.resources import available_cores

stop_requested = threading.Event()  # set when the user interrupts a round; training looks at it after each step


class SingleRunGrid(Grid):
    """A Flower Grid for one run, whose id never changes.

    `name` is unique to the run.
    """

    name: str

    @abstractmethod
    def replies_in_order(self, messages: Iterable[Message]) -> Iterator[Message | None]:
        """Replies one after the other, in the order of the messages; None where none came."""

    def node_name(self, node_id: int) -> str:
        """What people call the center with this number."""
        return f"node {node_id}"

    def set_run(self, run: Any) -> None:
        """Nothing to set: this grid carries one run."""

    @property
    def run(self) -> Any:
        """Flower's description of the run."""
        return _flower.empty_run()

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """Flower's old way to make a message; write `Message(...)` instead."""
        return Message(content, dst_node_id, message_type, group_id=group_id, ttl=ttl)


class InProcessGrid(SingleRunGrid):
    """Carries messages between a server and its centers in this process.

    `node_configs` describes one center each, for example `{"data-dir": "/data/a"}`; `partition-id` defaults to the
    center's index in the list. `run_config` is what every center reads as `context.run_config`. `workers` centers
    work at a time (default: the cores this process may use); results do not depend on it. Exceptions of a center
    become error replies.
    """

    def __init__(
        self,
        client_app: ClientApp,
        node_configs: Sequence[Mapping[str, UserConfigValue]],
        run_config: Mapping[str, UserConfigValue],
        workers: int | None = None,
    ) -> None:
        self.client_app = client_app
        self.workers = max(1, min(workers or available_cores(), len(node_configs)))
        self.contexts = {
            node_id: Context(
                run_id=_flower.RUN_ID,
                node_id=node_id,
                node_config={"partition-id": index, "num-partitions": len(node_configs), **ONE_PROCESS, **config},
                state=RecordDict(),
                run_config=dict(run_config),
            )
            for index, (node_id, config) in enumerate(enumerate(node_configs, start=_flower.SERVER_NODE + 1))
        }
        self.name = secrets.token_hex(8)
        self.cpu_seconds = 0.0  # that the centers took in threads of their own
        self._sent = 0
        self._waiting: dict[str, Message] = {}
        self._lock = threading.Lock()
        _flower.identify_server()

    def node_name(self, node_id: int) -> str:
        """The center's name, or its data set's folder, if its node config has it."""
        config = self.contexts[node_id].node_config
        return str(config.get("center") or config.get("data-dir") or super().node_name(node_id))

    def get_node_ids(self) -> Iterable[int]:
        """One number a center, in the order of `node_configs`."""
        return list(self.contexts)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Take messages; they are delivered when their replies are asked for."""
        ids = []
        for message in messages:
            self._sent += 1
            copy = _flower.with_content(message, copy_records(message.content))
            _flower.number_message(copy, f"message-{self._sent}")
            self._waiting[copy.metadata.message_id] = copy
            ids.append(copy.metadata.message_id)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Let the centers reply to these messages; replies come in the order of the messages."""
        return list(self._replies(message_ids))

    def replies_in_order(self, messages: Iterable[Message]) -> Iterator[Message]:
        """The same one after the other: no more than two replies a worker are held at a time."""
        yield from self._replies(self.push_messages(messages))

    def _replies(self, message_ids: Iterable[str]) -> Iterator[Message]:
        messages = [self._waiting.pop(message_id) for message_id in message_ids if message_id in self._waiting]
        stop_requested.clear()
        with untouched_randomness():
            if self.workers == 1 or len(messages) < 2:
                yield from map(self._deliver, messages)
            else:
                yield from _call_in_order(self._deliver_in_thread, messages, self.workers)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Messages to the centers, replies back. Nothing can get lost here, so `timeout` has no effect."""
        return self.pull_messages(self.push_messages(messages))

    def _deliver_in_thread(self, message: Message) -> Message:
        started = time.thread_time()
        reply = self._deliver(message)
        with self._lock:
            self.cpu_seconds += time.thread_time() - started
        return reply

    def _deliver(self, message: Message) -> Message:
        """One center's reply, copied, with an id."""
        reply = call_client(self.client_app, message, self.contexts[message.metadata.dst_node_id])
        if reply.has_content():
            reply = _flower.with_content(reply, copy_records(reply.content))
        _flower.number_message(reply, f"{message.metadata.message_id}-reply")
        return reply


def call_client(client_app: Callable[[Message, Context], Message], message: Message, context: Context) -> Message:
    """A center's reply; an exception of the app becomes an error reply with its whole text, for this process alone."""
    try:
        return client_app(message, context)
    except Exception as error:
        cause = error.__cause__ if isinstance(error, CenterError) and error.__cause__ else error
        return Message(Error(_flower.APP_RAISED, f"{type(cause).__name__}: {cause}"), reply_to=message)


class CenterError(Exception):
    """An error of a center as others may know it: its code. The cause, with paths and text, stays at the center."""


def problems_of(error: BaseException) -> tuple[InputProblem, ...]:
    """What is wrong, by code, file and remedy; of an error that nobody foresaw, the kind is the code."""
    if isinstance(error, CenterError) and error.__cause__:
        error = error.__cause__
    if isinstance(error, PedsegInputError):
        return error.problems
    remedy = "Look at the memory, the disk and the log; tell the authors if it stays."
    return (InputProblem(type(error).__name__, "", f"{error}", remedy),)


def tell_code_alone(message: Message, context: Context, call_next: Callable[[Message, Context], Message]) -> Message:
    """Flower mod: of an error only the code leaves the center; file, problem and remedy are in its own log."""
    try:
        return call_next(message, context)
    except Exception as error:
        raise CenterError(problems_of(error)[0].code) from error


def copy_records(records: RecordDict) -> RecordDict:
    """A copy of records: the containers are new, the bytes of arrays (which cannot change) are shared."""
    return RecordDict({name: _copy_record(record) for name, record in records.items()})


def _copy_record(record: ArrayRecord | MetricRecord | ConfigRecord) -> ArrayRecord | MetricRecord | ConfigRecord:
    if isinstance(record, ArrayRecord):
        return ArrayRecord({name: Array(a.dtype, tuple(a.shape), a.stype, a.data) for name, a in record.items()})
    values: dict[str, Any] = {name: list(value) if isinstance(value, list) else value for name, value in record.items()}
    return MetricRecord(values) if isinstance(record, MetricRecord) else ConfigRecord(values)


@contextmanager
def untouched_randomness() -> Iterator[None]:
    """Restore the state of Python's, NumPy's and torch's global random generators."""
    torch = sys.modules.get("torch")
    python, numpy, torch_state = random.getstate(), np.random.get_state(), torch.get_rng_state() if torch else None
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        if torch:
            torch.set_rng_state(torch_state)


def _call_in_order(deliver: Callable[[Message], Message], messages: list[Message], workers: int) -> Iterator[Message]:
    """Replies in the order of the messages; an interrupt asks the running centers to stop and waits for that."""
    running: deque[Future[Message]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="center") as pool:
        try:
            for message in messages:
                running.append(pool.submit(deliver, message))
                if len(running) == 2 * workers:
                    yield _result(running.popleft())
            while running:
                yield _result(running.popleft())
        except BaseException:
            stop_requested.set()
            pool.shutdown(cancel_futures=True)
            raise


def _result(reply: Future[Message]) -> Message:
    while not wait([reply], timeout=0.2).done:  # in short waits, so that Ctrl-C is heard on every system
        pass
    return reply.result()
