"""A federation on the table: a coordinator and some centers on one mailbox in a folder, one move at a time.

For lessons and tests: between two moves everything that lies in the mailbox can be looked at,
and spoiled. Grid, letters and centers are the real ones.
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
from pedseg.federation.averaging import to_arrays, to_weights
from pedseg.federation.keys import COORDINATOR, make_keys
from pedseg.federation.mailbox.center import CenterMailbox
from pedseg.federation.mailbox.grid import MailboxGrid
from pedseg.federation.mailbox.messages import ANSWERS, QUESTIONS, WEIGHTS, split, stem_of
from pedseg.federation.mailbox.run_state import resume
from pedseg.federation.mailbox.storage import open_store


def add_place(message: Message, context: Context) -> Message:
    """Training in one line: every weight plus the center's place plus one. Counts its calls in its memory."""
    calls = int(str(_flower.metrics_of(context.state)["calls"]["n"])) + 1 if "calls" in context.state else 1
    context.state["calls"] = MetricRecord({"n": calls})
    step = np.float32(int(context.node_config["partition-id"]) + 1)
    arrays: Mapping[str, Array] = _flower.arrays_of(message.content).get("arrays", ArrayRecord())
    new = ArrayRecord({name: Array(array.numpy() + step) for name, array in arrays.items()})
    return Message(RecordDict({"arrays": new, "metrics": MetricRecord({"calls": calls})}), reply_to=message)


class Demo:
    """The members of a federation with fresh keys, and their mailbox in `folder`/box, which is emptied first."""

    def __init__(
        self,
        folder: Path,
        names: Sequence[str] = ("Polder", "Neckar"),
        app: Callable[[Message, Context], Message] = add_place,
        **options,
    ) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self.folder, self.box, self.names, self.app, self.options = folder, folder / "box", names, app, options
        self.keys = {name: make_keys(name) for name in (COORDINATOR, *names)}
        self.grid = self.coordinator()
        self.centers = {name: self.center(name) for name in names}
        self._asked: list[str] = []

    def coordinator(self) -> MailboxGrid:
        """The coordinator as it comes up after a crash: with its keys and its folder, and nothing else."""
        members = [self.keys[name].member for name in self.names]
        run = resume(self.folder / COORDINATOR, "on the table")
        place, own = open_store(self.box), self.keys[COORDINATOR]
        return MailboxGrid(place, own, members, run, poll_seconds=0.05, **self.options)

    def center(self, name: str) -> CenterMailbox:
        """A center as it comes up after a crash."""
        coordinator, state = self.keys[COORDINATOR].member, self.folder / name
        return CenterMailbox(open_store(self.box), self.keys[name], coordinator, {}, state, self.app)

    def messages(self, round_: int, weights: Mapping[str, NDArray]) -> list[Message]:
        """The questions of a round, as a strategy makes them."""
        content = RecordDict({"arrays": to_arrays(weights), "config": ConfigRecord({"server-round": round_})})
        return [Message(content, node, "train") for node in self.grid.get_node_ids()]

    def ask(self, round_: int, weights: Mapping[str, NDArray]) -> list[str]:
        """The coordinator puts the model and the questions of a round into the mailbox."""
        self._asked = list(self.grid.push_messages(self.messages(round_, weights)))
        return self._asked

    def turn(self, *names: str) -> list[InputProblem]:
        """The named centers, or all, look once into the mailbox; what they refused."""
        events = [event for name in names or self.names for event in self.centers[name].turn()]
        return [event.problem for event in events if event.problem]

    def answers(self) -> dict[str, dict[str, NDArray]]:
        """The coordinator looks once into the mailbox: new good answers, by the name of the center."""
        names = dict(zip(self.grid.get_node_ids(), self.names, strict=True))
        found = self.grid.pull_messages(self._asked)
        return {names[a.metadata.src_node_id]: to_weights(_flower.arrays_of(a.content)["arrays"]) for a in found}

    def look_again(self) -> None:
        """Everybody trusts nothing that was seen before, and puts back what is missing."""
        self.grid.repair()
        for center in self.centers.values():
            center.look_again()

    def files(self, folder: str, round_: int | None = None) -> list[Path]:
        """The objects in one folder of the mailbox, all or those of a round."""
        files = sorted((self.box / folder).iterdir())
        return [file for file in files if round_ is None or _round(file) == round_]

    def question(self, name: str, round_: int) -> Path:
        """The object with a center's question of a round."""
        return self.files(f"{QUESTIONS}/{name}", round_)[-1]

    def answer(self, name: str, round_: int) -> Path:
        """The object with a center's answer of a round."""
        return self.files(f"{ANSWERS}/{name}", round_)[-1]

    def lose(self) -> None:
        """The storage forgets everything."""
        for folder in (WEIGHTS, *(f"{way}/{name}" for way in (QUESTIONS, ANSWERS) for name in self.names)):
            for file in self.files(folder):
                file.unlink()


def _round(file: Path) -> int | None:
    parts = split(stem_of(file.name))
    return parts[1] if parts else None
