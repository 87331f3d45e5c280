"""What a center does to its update before that leaves, and when it sends none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict

from pedseg.errors import PedsegInputError
from pedseg.federation import _flower
from pedseg.federation._flower import to_weights
from pedseg.federation.privacy.disclosure_log import PRIVACY
from pedseg.federation.privacy.policy import GROUP, AggregationGroup, UpdateProtection, protection_for
from pedseg.federation.privacy.secure_aggregation import sum_masked
from pedseg.federation.update_validation import update_norm

NAMES = ("Aa", "Bb", "Cc")
BEFORE = {"w": np.zeros((30, 10), np.float32), "b": np.ones(5, np.float32)}
AFTER = {"w": np.full((30, 10), 0.1, np.float32), "b": np.ones(5, np.float32)}


@pytest.fixture(scope="module")
def keys(keys_of) -> Path:
    return keys_of(*NAMES)


def question(group: AggregationGroup | None = None, round_: int = 1, **task) -> Message:
    _flower.identify_server()
    content = RecordDict({"config": ConfigRecord({"server-round": round_, **task})})
    if group:
        content[GROUP] = group.to_record()
    return Message(content, dst_node_id=2, message_type="train")


def context(keys: Path | None = None, **node) -> Context:
    own = {"keys": str(keys), **node} if keys else node
    return Context(run_id=1, node_id=2, node_config=own, state=RecordDict(), run_config={})


AGGREGATION = AggregationGroup("run", NAMES, (3, 2, 5))


def test_without_terms_an_update_leaves_as_it_is() -> None:
    protection = protection_for(question(), context(), "Aa", 3, BEFORE)
    records = protection.apply(AFTER, BEFORE)
    assert set(records) == {"arrays"}
    assert all(np.array_equal(array, AFTER[name]) for name, array in to_weights(records["arrays"]).items())


@pytest.mark.parametrize(
    ("asked", "own", "clip", "noise"),
    [
        ({"clipping-norm": 2.0}, {}, 2.0, 0.0),
        ({"clipping-norm": 2.0, "noise-multiplier": 1.0}, {"clipping-norm": 0.5}, 0.5, 1.0),
        ({"clipping-norm": 0.5, "noise-multiplier": 1.0}, {"clipping-norm": 2.0, "noise-multiplier": 3.0}, 0.5, 3.0),
        ({}, {"clipping-norm": 2.0, "noise-multiplier": 0.1}, 2.0, 0.1),
    ],
)
def test_a_center_takes_the_stricter_of_both_terms(asked: dict, own: dict, clip: float, noise: float) -> None:
    protection = protection_for(question(**asked), context(**own), "Aa", 3, BEFORE)
    assert (protection.clipping_norm, protection.noise_multiplier) == (clip, noise)


def test_what_leaves_is_short_and_noisy_and_says_so() -> None:
    short = UpdateProtection(0.5, 0.0, "Aa").apply(AFTER, BEFORE)
    assert update_norm(to_weights(short["arrays"]), BEFORE) == pytest.approx(0.5, rel=1e-5)
    assert dict(short[PRIVACY]) == {"clipping-norm": 0.5, "noise-multiplier": 0.0, "masked": False}
    first, second = (to_weights(UpdateProtection(0.5, 2.0, "Aa").apply(AFTER, BEFORE)["arrays"])["w"] for _ in range(2))
    assert (first - second).std() == pytest.approx(2**0.5, rel=0.2)  # noise of 0.5 x 2 in each, never the same twice


def test_three_centers_on_the_same_terms_add_up_to_their_mean(keys: Path) -> None:
    parts = {}
    for name, cases in zip(NAMES, AGGREGATION.cases, strict=True):
        after = {key: array + np.float32(0.01 * cases) for key, array in BEFORE.items()}
        protection = protection_for(question(AGGREGATION), context(keys), name, cases, BEFORE)
        parts[name] = to_weights(protection.apply(after, BEFORE)["arrays"])
        assert {array.dtype for array in parts[name].values()} == {np.dtype(np.uint32)}
    mean = sum(0.01 * cases * cases for cases in AGGREGATION.cases) / 10
    assert np.abs(sum_masked(parts, NAMES, "round 1")["w"] - mean).max() < 3e-6


@pytest.mark.parametrize(
    ("message", "node", "cases", "code"),
    [
        (question(), {"secure-aggregation-only": True}, 3, "E-MASK-NONE"),
        (question(AGGREGATION), {}, 4, "E-MASK-CASES"),  # a false share would lay bare somebody's part
        (question(AggregationGroup("run", ("Bb", "Cc", "Dd"), (3, 2, 5))), {}, 3, "E-MASK-CASES"),
        (question(**{"noise-multiplier": 1.0}), {}, 3, "E-SETTING"),
    ],
)
def test_a_center_says_no_before_it_trains(message: Message, node: dict, cases: int, code: str, keys: Path) -> None:
    with pytest.raises(PedsegInputError, match=code):
        protection_for(message, context(keys, **node), "Aa", cases, BEFORE)


def test_members_that_nobody_has_called_are_refused(keys: Path) -> None:
    protection = protection_for(
        question(AggregationGroup("run", ("Aa", "Bb", "Xx"), (3, 2, 5))), context(keys), "Aa", 3, BEFORE
    )
    with pytest.raises(PedsegInputError, match="E-KEY-MISSING"):
        protection.apply(AFTER, BEFORE)
    with pytest.raises(PedsegInputError, match="E-KEY-MISSING"):
        protection_for(question(AGGREGATION), context(), "Aa", 3, BEFORE)


def test_two_names_are_no_circle(keys: Path) -> None:
    protection = protection_for(
        question(AggregationGroup("run", ("Aa", "Bb", "Bb"), (3, 2, 5))), context(keys), "Aa", 3, BEFORE
    )
    with pytest.raises(PedsegInputError, match="E-MASK-FEW"):
        protection.apply(AFTER, BEFORE)


@pytest.mark.parametrize(
    "other",
    [
        question(AGGREGATION, 2),
        question(AggregationGroup("x", NAMES, (3, 2, 5))),
        question(AggregationGroup("run", NAMES, (3, 2, 6))),
    ],
)
def test_masks_of_different_questions_do_not_cancel(keys: Path, other: Message) -> None:
    parts = {
        name: to_weights(
            protection_for(other if name == "Aa" else question(AGGREGATION), context(keys), name, cases, BEFORE).apply(
                AFTER, BEFORE
            )["arrays"]
        )
        for name, cases in zip(NAMES, AGGREGATION.cases, strict=True)
    }
    assert np.abs(sum_masked(parts, NAMES, "x")["w"]).mean() > 100
