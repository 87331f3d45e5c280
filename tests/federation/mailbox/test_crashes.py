"""A power cut at every single use of the storage, at either end: the same weights, each question answered once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pedseg.federation import _flower

ROUNDS = 3


class PowerCutError(BaseException):
    """The program ends here."""


class Cut:
    """A store whose `place`-th use is a power cut, before it or after it has acted; the uses are counted."""

    def __init__(self, store: Any, place: int, after: bool) -> None:
        self.store, self.place, self.after, self.uses = store, place, after, 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.store, name)
        return self._counted(found) if name in ("read", "write_once", "delete", "list_objects") else found

    def _counted(self, act: Callable) -> Callable:
        def acted(*words: Any, **options: Any) -> Any:
            self.uses += 1
            if self.uses == self.place and not self.after:
                raise PowerCutError
            result = act(*words, **options)
            if self.uses == self.place:
                raise PowerCutError
            return result

        return acted


def play(federation, victim: str, place: int, after: bool) -> tuple[float, int]:
    """Three rounds, in which one member's power is cut once; the last weight, and the member's uses of the storage."""
    cut = Cut(None, place, after)

    def connect(name: str, first: bool = False) -> None:
        if name == "coordinator":
            federation.grid = federation.coordinator()
        else:
            federation.centers[name] = federation.center(name)
        if name == victim and first:
            member = federation.grid if name == "coordinator" else federation.centers[name]
            cut.store = member.store
            member.store = cut
            if name == "coordinator":
                member.outbox.store = cut

    connect(victim, first=True)
    weight, round_, ids = 0.0, 1, []
    while round_ <= ROUNDS:
        try:
            ids = ids or federation.push(round_, weight)
            federation.poll()
            replies = federation.read(ids)
            if len(replies) < 2:  # a restarted coordinator asks again, and finds what is there
                federation.grid, ids = federation.coordinator(), []
                continue
            weight, round_, ids = float(np.float32(np.mean(list(replies.values())))), round_ + 1, []
        except PowerCutError:
            connect(victim)
            ids = [] if victim == "coordinator" else ids
    return weight, cut.uses


def uses_of(make_federation, victim: str) -> int:
    return play(make_federation(), victim, 10**9, False)[1]


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["coordinator", "Bb"])
def test_a_power_cut_at_every_use_of_the_storage_changes_nothing(make_federation, victim: str) -> None:
    expected, _ = play(make_federation(), victim, 10**9, False)
    assert expected == ROUNDS * 1.5
    cuts = 0
    for place in range(1, uses_of(make_federation, victim) + 1):
        for after in (True,) if victim == "coordinator" else (False, True):
            federation = make_federation()
            weight, _ = play(federation, victim, place, after)
            assert weight == expected, (place, after)
            for center in federation.centers.values():
                rounds = [entry.round for entry in center.disclosure_log.entries()]
                assert rounds == list(range(1, ROUNDS + 1)), (place, after, rounds)
                state = _flower.metrics_of(center.replies.state(federation.grid.name))
                assert state["calls"]["n"] == ROUNDS
            cuts += 1
    assert cuts >= {"coordinator": 40, "Bb": 30}[victim], cuts
