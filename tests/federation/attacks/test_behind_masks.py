"""A center that sends something else behind masks: nobody can see who it was, and the model stays as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Array, Message

from pedseg.federation.checkpoints import Round
from pedseg.learning.network import build
from pedseg.learning.weights import get_weights, sha256_of

RNG = np.random.default_rng(1)


def random_numbers(question: Message, reply: Message) -> None:
    if question.content["config"]["server-round"] == 1:
        arrays = reply.content["arrays"]
        for name, array in arrays.items():
            arrays[name] = Array(RNG.integers(0, 2**32, array.shape, dtype=np.uint32))


def without_masks(_: Message, reply: Message) -> None:
    arrays = reply.content["arrays"]
    for name, array in arrays.items():
        arrays[name] = Array(np.zeros(array.shape, np.float32))


@pytest.fixture
def behind_masks(federate: Callable[..., list[Round]], key_folder: Path) -> Callable[..., list[Round]]:
    return lambda lie, **settings: federate(lie, secure_aggregation=True, keys=key_folder, **settings)


def test_a_sum_that_is_no_sum_of_updates_is_not_the_model(behind_masks: Callable[..., list[Round]]) -> None:
    first, second = behind_masks(random_numbers)
    assert [(problem.code, problem.file) for problem in first.refused] == [("E-MASK-VOID", "Aa, Bb, Cc")]
    assert first.sha256 == sha256_of(get_weights(build(first.plan, 7)))
    assert second.refused == () and second.sha256 != first.sha256  # and the round after it is as any other


def test_an_update_without_masks_is_refused_by_name(behind_masks: Callable[..., list[Round]]) -> None:
    (first,) = behind_masks(without_masks, rounds=1)
    assert [(p.code, p.file) for p in first.refused] == [("E-UPDATE-TYPE", "Bb"), ("E-MASK-VOID", "Bb")]
