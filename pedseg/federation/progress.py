"""How far a center's training is, for whoever wants to see it while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
Listener = Callable[[int, int, float], None]  # step, of how many, loss
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def set_within(variable: ContextVar[T], value: T) -> Iterator[None]:
    """Give a variable a value within this block, in this thread."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def reported_to(listener: Listener) -> AbstractContextManager[None]:
    """Let the training within this block, in this thread, tell each step to `listener`."""
    return set_within(_listener, listener)


def report(step: int, steps: int, loss: float) -> None:
    """Tell a step, if somebody listens."""
    if listener := _listener.get():
        listener(step, steps, loss)
