"""A mailbox federation step by step: a coordinator and some centers on one mailbox in a folder, in this process.

For lessons and tests: between two steps everything in the mailbox can be looked at, and damaged. Grid, messages and
centers are the real ones.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from numpy.typing import NDArray

from pedseg.errors import InputProblem
from pedseg.federation import _flower
from pedseg.federation.config import MailboxConfig
from pedseg.federation.keys import COORDINATOR, RUN_COUNTER, make_keys
from pedseg.federation.mailbox.center import CenterMailbox
from pedseg.federation.mailbox.grid import MailboxGrid
from pedseg.federation.mailbox.messages import REPLIES, REQUESTS, WEIGHTS, split, stem_of
from pedseg.federation.mailbox.object_store import open_store
from pedseg.federation.mailbox.outbox import resume


def add_index(message: Message, context: Context) -> Message:
    """A client app in place of training: adds the center's index plus one to every weight, and counts its calls."""
    calls = int(str(_flower.metrics_of(context.state)["calls"]["n"])) + 1 if "calls" in context.state else 1
    context.state["calls"] = MetricRecord({"n": calls})
    step = np.float32(int(context.node_config["partition-id"]) + 1)
    arrays: Mapping[str, Array] = _flower.arrays_of(message.content).get("arrays", ArrayRecord())
    new = ArrayRecord({name: Array(array.numpy() + step) for name, array in arrays.items()})
    return Message(RecordDict({"arrays": new, "metrics": MetricRecord({"calls": calls})}), reply_to=message)


class Demo:
    """The members of a federation with fresh keys, and their mailbox in `folder`/box, which is emptied first."""

    def __init__(
        self, folder: Path, names: Sequence[str] = ("Polder", "Neckar"),
        app: Callable[[Message, Context], Message] = add_index, config: MailboxConfig = MailboxConfig(poll=0.05),
        **options,
    ) -> None:  # fmt: skip
        shutil.rmtree(folder, ignore_errors=True)
        self.folder, self.box, self.names, self.app = folder, folder / "box", names, app
        self.config, self.options = config, options
        self.keys = {name: make_keys(name) for name in (COORDINATOR, *names)}
        self.grid = self.coordinator()
        self.centers = {name: self.center(name) for name in names}
        self._sent: list[str] = []

    def coordinator(self) -> MailboxGrid:
        """The coordinator as it starts after a crash: with its keys and its folder, and nothing else."""
        members = [self.keys[name].member for name in self.names]
        run = resume(self.folder / COORDINATOR, "demo", self.folder / "keys" / RUN_COUNTER)
        return MailboxGrid(open_store(self.box), self.keys[COORDINATOR], members, run, self.config, **self.options)

    def center(self, name: str) -> CenterMailbox:
        """A center as it starts after a crash."""
        coordinator, state = self.keys[COORDINATOR].member, self.folder / name
        return CenterMailbox(open_store(self.box), self.keys[name], coordinator, {}, state, self.app)

    def messages(self, round_: int, weights: Mapping[str, NDArray]) -> list[Message]:
        """The messages of a round, as a strategy makes them."""
        content = RecordDict({"arrays": _flower.to_arrays(weights), "config": ConfigRecord({"server-round": round_})})
        return [Message(content, node, "train") for node in self.grid.get_node_ids()]

    def send(self, round_: int, weights: Mapping[str, NDArray]) -> list[str]:
        """The coordinator writes the model and the requests of a round into the mailbox."""
        self._sent = list(self.grid.push_messages(self.messages(round_, weights)))
        return self._sent

    def poll(self, *names: str) -> list[InputProblem]:
        """The named centers, or all, poll the mailbox once; what they refused."""
        events = [event for name in names or self.names for event in self.centers[name].poll()]
        return [event.problem for event in events if event.problem]

    def receive(self) -> dict[str, dict[str, NDArray]]:
        """The coordinator polls the mailbox once: the weights of new good replies, by the name of the center."""
        names = dict(zip(self.grid.get_node_ids(), self.names, strict=True))
        replies = self.grid.pull_messages(self._sent)
        return {
            names[reply.metadata.src_node_id]: _flower.to_weights(_flower.arrays_of(reply.content)["arrays"])
            for reply in replies
        }

    def repair(self) -> None:
        """All members trust nothing that was seen before, and write again what is missing."""
        self.grid.repair()
        for center in self.centers.values():
            center.repair()

    def files(self, folder: str, round_: int | None = None) -> list[Path]:
        """The objects in one folder of the mailbox, all or those of a round."""
        files = sorted(file for file in (self.box / folder).iterdir() if file.is_file())
        return [file for file in files if round_ is None or _round_of(file) == round_]

    def request(self, name: str, round_: int) -> Path:
        """The object with a center's request of a round."""
        return self.files(f"{REQUESTS}/{name}", round_)[-1]

    def reply(self, name: str, round_: int) -> Path:
        """The object with a center's reply of a round."""
        return self.files(f"{REPLIES}/{name}", round_)[-1]

    def delete_all(self) -> None:
        """The store loses everything."""
        for folder in (WEIGHTS, *(f"{way}/{name}" for way in (REQUESTS, REPLIES) for name in self.names)):
            for file in self.files(folder):
                file.unlink()


def _round_of(file: Path) -> int | None:
    parts = split(stem_of(file.name))
    return parts[1] if parts else None
