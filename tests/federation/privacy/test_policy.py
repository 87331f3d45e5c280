"""What a center does to its update before that leaves, and when it sends none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict

from pedseg.errors import PedsegInputError
from pedseg.federation import _flower
from pedseg.federation.averaging import to_weights, update_norm
from pedseg.federation.keys import make_keys, write_keys
from pedseg.federation.privacy.policy import MASKS, PRIVACY, AggregationGroup, Terms, agree
from pedseg.federation.privacy.secure_aggregation import unmasked

NAMES = ("Aa", "Bb", "Cc")
BEFORE = {"w": np.zeros((30, 10), np.float32), "b": np.ones(5, np.float32)}
AFTER = {"w": np.full((30, 10), 0.1, np.float32), "b": np.ones(5, np.float32)}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name in NAMES:
        write_keys(folder, make_keys(name))
    return folder


def question(group: AggregationGroup | None = None, round_: int = 1, **task) -> Message:
    _flower.identify_server()
    content = RecordDict({"config": ConfigRecord({"server-round": round_, **task})})
    if group:
        content[MASKS] = group.to_record()
    return Message(content, dst_node_id=2, message_type="train")


def context(keys: Path | None = None, **node) -> Context:
    own = {"keys": str(keys), **node} if keys else node
    return Context(run_id=1, node_id=2, node_config=own, state=RecordDict(), run_config={})


CIRCLE = AggregationGroup("run", NAMES, (3, 2, 5))


def test_without_terms_an_update_leaves_as_it_is() -> None:
    terms = agree(question(), context(), "Aa", 3, BEFORE)
    records = terms.leaving(AFTER, BEFORE)
    assert set(records) == {"arrays"}
    assert all(np.array_equal(array, AFTER[name]) for name, array in to_weights(records["arrays"]).items())


@pytest.mark.parametrize(
    ("asked", "own", "clip", "noise"),
    [
        ({"clip": 2.0}, {}, 2.0, 0.0),
        ({"clip": 2.0, "noise": 1.0}, {"clip": 0.5}, 0.5, 1.0),
        ({"clip": 0.5, "noise": 1.0}, {"clip": 2.0, "noise": 3.0}, 0.5, 3.0),
        ({}, {"clip": 2.0, "noise": 0.1}, 2.0, 0.1),
    ],
)
def test_a_center_takes_the_stricter_of_both_terms(asked: dict, own: dict, clip: float, noise: float) -> None:
    terms = agree(question(**asked), context(**own), "Aa", 3, BEFORE)
    assert (terms.clip, terms.noise) == (clip, noise)


def test_what_leaves_is_short_and_noisy_and_says_so() -> None:
    short = Terms(0.5, 0.0, "Aa").leaving(AFTER, BEFORE)
    assert update_norm(to_weights(short["arrays"]), BEFORE) == pytest.approx(0.5, rel=1e-5)
    assert dict(short[PRIVACY]) == {"clip": 0.5, "noise": 0.0, "masked": False}
    first, second = (to_weights(Terms(0.5, 2.0, "Aa").leaving(AFTER, BEFORE)["arrays"])["w"] for _ in range(2))
    assert (first - second).std() == pytest.approx(2**0.5, rel=0.2)  # noise of 0.5 x 2 in each, never the same twice


def test_three_centers_on_the_same_terms_add_up_to_their_mean(keys: Path) -> None:
    parts = {}
    for name, cases in zip(NAMES, CIRCLE.cases, strict=True):
        after = {key: array + np.float32(0.01 * cases) for key, array in BEFORE.items()}
        terms = agree(question(CIRCLE), context(keys), name, cases, BEFORE)
        parts[name] = to_weights(terms.leaving(after, BEFORE)["arrays"])
        assert {array.dtype for array in parts[name].values()} == {np.dtype(np.uint32)}
    mean = sum(0.01 * cases * cases for cases in CIRCLE.cases) / 10
    assert np.abs(unmasked(parts, NAMES, "round 1")["w"] - mean).max() < 3e-6


@pytest.mark.parametrize(
    ("message", "node", "cases", "code"),
    [
        (question(), {"masks-only": True}, 3, "E-MASK-NONE"),
        (question(CIRCLE), {}, 4, "E-MASK-CASES"),  # a false share would lay bare somebody's part
        (question(AggregationGroup("run", ("Bb", "Cc", "Dd"), (3, 2, 5))), {}, 3, "E-MASK-CASES"),
        (question(noise=1.0), {}, 3, "E-SETTING"),
    ],
)
def test_a_center_says_no_before_it_trains(message: Message, node: dict, cases: int, code: str, keys: Path) -> None:
    with pytest.raises(PedsegInputError, match=code):
        agree(message, context(keys, **node), "Aa", cases, BEFORE)


def test_members_that_nobody_has_called_are_refused(keys: Path) -> None:
    terms = agree(question(AggregationGroup("run", ("Aa", "Bb", "Xx"), (3, 2, 5))), context(keys), "Aa", 3, BEFORE)
    with pytest.raises(PedsegInputError, match="E-KEY-MISSING"):
        terms.leaving(AFTER, BEFORE)
    with pytest.raises(PedsegInputError, match="E-KEY-MISSING"):
        agree(question(CIRCLE), context(), "Aa", 3, BEFORE)


def test_two_names_are_no_circle(keys: Path) -> None:
    terms = agree(question(AggregationGroup("run", ("Aa", "Bb", "Bb"), (3, 2, 5))), context(keys), "Aa", 3, BEFORE)
    with pytest.raises(PedsegInputError, match="E-MASK-FEW"):
        terms.leaving(AFTER, BEFORE)


def test_nobody_answers_a_round_twice_for_different_circles(keys: Path) -> None:
    own = context(keys)
    agree(question(CIRCLE, 1), own, "Aa", 3, BEFORE)
    agree(question(CIRCLE, 1), own, "Aa", 3, BEFORE)  # the very same question, after a crash
    agree(question(CIRCLE, 2), own, "Aa", 3, BEFORE)
    for again in (question(CIRCLE, 1), question(AggregationGroup("run", NAMES, (3, 2, 6)), 2)):
        with pytest.raises(PedsegInputError, match="E-MASK-AGAIN"):
            agree(again, own, "Aa", 3, BEFORE)
    agree(question(AggregationGroup("another run", NAMES, (3, 2, 5)), 1), own, "Aa", 3, BEFORE)


@pytest.mark.parametrize(
    "other",
    [
        question(CIRCLE, 2),
        question(AggregationGroup("x", NAMES, (3, 2, 5))),
        question(AggregationGroup("run", NAMES, (3, 2, 6))),
    ],
)
def test_masks_of_different_questions_do_not_cancel(keys: Path, other: Message) -> None:
    parts = {
        name: to_weights(
            agree(other if name == "Aa" else question(CIRCLE), context(keys), name, cases, BEFORE).leaving(
                AFTER, BEFORE
            )["arrays"]
        )
        for name, cases in zip(NAMES, CIRCLE.cases, strict=True)
    }
    assert np.abs(unmasked(parts, NAMES, "x")["w"]).mean() > 100
