"""How far a center's training is, for whoever wants to see it while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[int, int, float], None]  # step, of how many, loss
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def reported_to(listener: Listener) -> Iterator[None]:
    """Let the training within this block, in this thread, tell each step to `listener`."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def report(step: int, steps: int, loss: float) -> None:
    """Tell a step, if somebody listens."""
    if listener := _listener.get():
        listener(step, steps, loss)
