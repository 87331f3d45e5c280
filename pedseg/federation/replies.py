"""Replies of the centers, one after the other in the order of the centers, and which updates are valid."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

from flwr.app import Message
from flwr.serverapp import Grid

from pedseg.errors import InputProblem
from pedseg.federation.enrollment import Center
from pedseg.federation.in_process import SingleRunGrid
from pedseg.federation.update_validation import validate_update
from pedseg.learning.weights import Weights

PULL_SECONDS = 0.5  # between two requests to a SuperLink for a reply


def replies_in_order(grid: Grid, messages: Sequence[Message]) -> Iterator[Message | None]:
    """The replies one after the other in the order of the messages, so that not all are held at a time.

    Our own grids do it as suits them; from Flower's, each is pulled when its turn has come. None if there is none.
    """
    if isinstance(grid, SingleRunGrid):
        yield from grid.replies_in_order(messages)
        return
    ids: list[str | None] = list(grid.push_messages(messages))
    for message_id in ids or [None] * len(messages):  # Flower gives none at all if a message is too large
        yield _pull(grid, message_id) if message_id else None


def _pull(grid: Grid, message_id: str) -> Message:
    while not (replies := list(grid.pull_messages([message_id]))):
        time.sleep(PULL_SECONDS)
    return replies[0]


def valid_updates(
    centers: Iterable[Center], replies: Iterable[Message | None], weights: Weights, max_norm: float,
    refused: list[InputProblem],
) -> Iterator[tuple[Center, Message]]:  # fmt: skip
    """The valid updates as they come, with their centers; what is wrong with the others is added to `refused`."""
    for center, reply in zip(centers, replies, strict=True):
        problem = validate_update(reply, weights, center, max_norm=max_norm)
        if problem:
            refused.append(problem)
        elif reply:
            yield center, reply
