"""Masks fall when sums are compared: a round asked twice, or a run repeated with another circle of centers.

Honest masks add up to the sum of a circle. Two circles that differ by one center, with the same model and the same
cases, differ by exactly its update.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from numpy.typing import NDArray

from pedseg.errors import PedsegInputError
from pedseg.federation import _flower
from pedseg.federation._flower import to_weights
from pedseg.federation.privacy.policy import GROUP, AggregationGroup, protection_for
from pedseg.federation.privacy.secure_aggregation import sum_masked

NAMES, CASES = ("Aa", "Bb", "Cc", "Dd"), (3, 2, 5, 4)
BEFORE = {"w": np.zeros((30, 10), np.float32)}
RNG = np.random.default_rng(4)
UPDATES = {name: RNG.normal(0, 0.05, (30, 10)).astype(np.float32) for name in NAMES}  # the same in every run
AGGREGATION = AggregationGroup("run", NAMES[:3], CASES[:3])
WHOLE = AggregationGroup("run", NAMES, CASES)


@pytest.fixture(scope="module")
def keys(keys_of) -> Path:
    return keys_of(*NAMES)


def question(group: AggregationGroup, round_: int = 1) -> Message:
    _flower.identify_server()
    content = RecordDict({"config": ConfigRecord({"server-round": round_}), GROUP: group.to_record()})
    return Message(content, dst_node_id=2, message_type="train")


def context(keys: Path, **node) -> Context:
    return Context(run_id=1, node_id=2, node_config={"keys": str(keys), **node}, state=RecordDict(), run_config={})


def sum_of(group: AggregationGroup, keys: Path, states: Path | None) -> NDArray:
    """What a coordinator gets of a circle: the sum of the updates, each times its number of cases."""
    parts = {}
    for name, cases in zip(group.names, group.cases, strict=True):
        own = context(keys, state=str(states / name)) if states else context(keys)
        protection = protection_for(question(group), own, name, cases, BEFORE)
        parts[name] = to_weights(protection.apply({"w": BEFORE["w"] + UPDATES[name]}, BEFORE)["arrays"])
    return sum_masked(parts, group.names, "x")["w"] * sum(group.cases)


def error_of(read: NDArray) -> float:
    """How far from Dd's true update a guess is, as a share of its length."""
    return float(np.linalg.norm(read - UPDATES["Dd"]) / np.linalg.norm(UPDATES["Dd"]))


def test_two_circles_without_a_memory_give_away_an_update(keys: Path) -> None:
    """Before: centers that keep nothing on disk (a SuperNode whose `state` names no folder)."""
    fewer = AggregationGroup("another run", NAMES[:3], CASES[:3])
    read = (sum_of(WHOLE, keys, None) - sum_of(fewer, keys, None)) / CASES[3]
    assert error_of(read) < 1e-3


def test_two_circles_give_nothing_to_centers_that_remember_the_first(keys: Path, tmp_path: Path) -> None:
    """After: the second sum does not come, and of the first alone the mean is the best guess."""
    for name in NAMES:
        (tmp_path / name).mkdir()
    mean = sum_of(WHOLE, keys, tmp_path) / sum(CASES)
    with pytest.raises(PedsegInputError, match="E-MASK-GROUP Aa"):
        sum_of(AggregationGroup("another run", NAMES[:3], CASES[:3]), keys, tmp_path)
    assert error_of(mean) > 0.5


def test_nobody_answers_a_round_twice_for_different_circles(keys: Path) -> None:
    own = context(keys)
    protection_for(question(AGGREGATION, 1), own, "Aa", 3, BEFORE)
    protection_for(question(AGGREGATION, 1), own, "Aa", 3, BEFORE)  # the very same question, after a crash
    protection_for(question(AGGREGATION, 2), own, "Aa", 3, BEFORE)
    for again in (question(AGGREGATION, 1), question(AggregationGroup("run", NAMES[:3], (3, 2, 6)), 2)):
        with pytest.raises(PedsegInputError, match="E-MASK-AGAIN"):
            protection_for(again, own, "Aa", 3, BEFORE)
    protection_for(question(AggregationGroup("another run", NAMES[:3], CASES[:3]), 1), own, "Aa", 3, BEFORE)


def test_a_run_that_is_repeated_with_another_circle_gets_nothing(keys: Path, tmp_path: Path) -> None:
    """Honest masks add up to the sum of a circle; two circles that differ by one center give away its update."""
    four = AggregationGroup("second run", NAMES, CASES)
    first = context(keys, state=str(tmp_path))
    protection_for(question(AGGREGATION), first, "Aa", 3, BEFORE)
    again = context(keys, state=str(tmp_path))  # another run: the mailbox brings no memory of the first
    for circle in (four, AggregationGroup("third run", ("Aa", "Bb", "Dd"), (3, 2, 4))):
        with pytest.raises(PedsegInputError, match="E-MASK-GROUP"):
            protection_for(question(circle), again, "Aa", 3, BEFORE)
    protection_for(question(AggregationGroup("fourth run", NAMES[:3], CASES[:3])), again, "Aa", 3, BEFORE)


def test_a_smaller_circle_is_for_a_run_that_began_whole(keys: Path, tmp_path: Path) -> None:
    own = context(keys, state=str(tmp_path))
    protection_for(question(WHOLE), own, "Aa", 3, BEFORE)
    protection_for(question(AGGREGATION, 2), own, "Aa", 3, BEFORE)  # Dd is missing
    with pytest.raises(PedsegInputError, match="E-MASK-GROUP"):
        protection_for(question(AggregationGroup("b", NAMES[:3], CASES[:3]), 3), own, "Aa", 3, BEFORE)
    strict = context(keys, state=str(tmp_path), **{"fixed-group": True})
    strict.state = own.state
    with pytest.raises(PedsegInputError, match="E-MASK-GROUP"):
        protection_for(question(AGGREGATION, 3), strict, "Aa", 3, BEFORE)
