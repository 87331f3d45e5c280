"""Answers of the centers, one after the other in the order of the centers, and which of them are let in."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

from flwr.app import Message
from flwr.serverapp import Grid

from pedseg.errors import InputProblem, PedsegInputError
from pedseg.federation.averaging import metric, validate_update
from pedseg.federation.enrollment import Center
from pedseg.federation.in_process import OneRunGrid
from pedseg.learning.network import Weights

PULL_SECONDS = 0.5  # between two questions to a SuperLink whether an answer has come


def answers(grid: Grid, questions: Sequence[Message]) -> Iterator[Message | None]:
    """The answers one after the other in the order of the questions, so that not all are held at a time.

    Our own grids do it as suits them; from Flower's, each is pulled when its turn has come. None if there is none.
    """
    if isinstance(grid, OneRunGrid):
        yield from grid.answers(questions)
        return
    ids: list[str | None] = list(grid.push_messages(questions))
    for one in ids or [None] * len(questions):  # Flower gives none at all if a question is too large
        yield _pulled(grid, one) if one else None


def _pulled(grid: Grid, one: str) -> Message:
    while not (found := list(grid.pull_messages([one]))):
        time.sleep(PULL_SECONDS)
    return found[0]


def valid_updates(
    asked: Iterable[Center],
    replies: Iterable[Message | None],
    weights: Weights,
    largest_update: float,
    refused: list[InputProblem],
) -> Iterator[tuple[Center, Message]]:
    """The sound updates as they come, with their centers; findings about the others go to `refused`."""
    for center, reply in zip(asked, replies, strict=True):
        known = {"center": center.name, "index": center.index, "cases": center.cases}
        problem = validate_update(reply, weights, **known, largest_update=largest_update)  # type: ignore[arg-type]
        if problem:
            refused.append(problem)
        elif reply:
            yield center, reply


def noting_losses(replies: Iterable[tuple[Center, Message]], losses: dict[str, float]) -> Iterator[Message]:
    for center, reply in replies:
        losses[center.name] = metric(reply, "train-loss")
        yield reply


def at_least_one(replies: Iterator[Message], refused: list[InputProblem]) -> Iterator[Message]:
    """The replies; refused with all findings if there is none."""
    first = next(replies, None)
    if first is None:
        raise PedsegInputError(refused)
    yield first
    yield from replies
