"""A center that lies about its update, its cases, its score or its scans: refused by name, and the round goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Array, ConfigRecord, Message, RecordDict
from numpy.typing import NDArray

from pedseg import __version__
from pedseg.errors import PedsegInputError
from pedseg.federation import _flower
from pedseg.federation.checkpoints import Round, checkpoint_file, read_checkpoint
from pedseg.federation.config import ROBUST
from pedseg.learning.network import build
from pedseg.learning.weights import get_weights, sha256_of

Change = Callable[[NDArray, NDArray], NDArray]
Federate = Callable[..., list[Round]]


def sends(change: Change) -> Callable[[Message, Message], None]:
    """A lie about every array of an update: a function of the honest array and of the one that was sent out."""

    def lie(question: Message, reply: Message) -> None:
        before, arrays = question.content["arrays"], reply.content["arrays"]
        for name, array in arrays.items():
            arrays[name] = Array(change(array.numpy(), before[name].numpy()))  # type: ignore[index]

    return lie


def claims(**metrics: float) -> Callable[[Message, Message], None]:
    """A lie about the numbers beside an update or a score."""
    return lambda _, reply: reply.content["metrics"].update({key.replace("_", "-"): v for key, v in metrics.items()})


def forgets(_: Message, reply: Message) -> None:
    reply.content["arrays"].pop(next(iter(reply.content["arrays"])))


def replies_again() -> Callable[[Message, Message], Message]:
    """The reply of the first round, whatever is asked."""
    first: list[Message] = []

    def lie(_: Message, reply: Message) -> Message:
        first.append(reply)
        return first[0]

    return lie


UPDATES = {
    "a hundred times its update": (sends(lambda new, old: old + 100 * (new - old)), "E-UPDATE-FAR"),
    "the opposite, a hundred times": (sends(lambda new, old: old - 100 * (new - old)), "E-UPDATE-FAR"),
    "the largest numbers there are": (sends(lambda new, old: np.full_like(new, 3e38)), "E-UPDATE-FAR"),
    "the opposite of its update": (sends(lambda new, old: 2 * old - new), "E-UPDATE-AGAINST"),
    "no numbers": (sends(lambda new, old: np.full_like(new, np.nan)), "E-UPDATE-NOT-FINITE"),
    "infinity": (sends(lambda new, old: np.full_like(new, -np.inf)), "E-UPDATE-NOT-FINITE"),
    "another shape": (sends(lambda new, old: np.stack([new, new])), "E-UPDATE-SHAPE"),
    "another type": (sends(lambda new, old: new.astype(np.float64)), "E-UPDATE-TYPE"),
    "one array less": (forgets, "E-UPDATE-NAMES"),
    "a billion cases": (claims(num_examples=10**9), "E-UPDATE-CASES"),
    "cases below zero": (claims(num_examples=-2), "E-UPDATE-CASES"),
    "another's name": (claims(center_index=0), "E-UPDATE-CENTER"),
    "an infinite loss": (claims(train_loss=float("inf")), "E-UPDATE-METRICS"),
}


@pytest.mark.parametrize("lie", UPDATES)
def test_the_round_goes_on_without_the_liar(lie: str, federate: Federate, without_liar: list[str]) -> None:
    act, code = UPDATES[lie]
    rounds = federate(act)
    assert [[(problem.code, problem.file) for problem in round_.refused] for round_ in rounds] == [[(code, "Bb")]] * 2
    assert [list(round_.losses) for round_ in rounds] == [["Aa", "Cc"]] * 2
    assert [round_.sha256 for round_ in rounds] == without_liar


def test_honest_centers_are_not_touched_by_the_comparison(federate: Federate, expected: list[str]) -> None:
    compared, not_compared = federate(), federate(max_norm_ratio=0.0)
    assert [r.sha256 for r in compared] == [r.sha256 for r in not_compared] == expected
    assert all(r.refused == () and list(r.norms) == ["Aa", "Bb", "Cc"] for r in compared)
    for round_ in compared:
        assert max(round_.norms.values()) < 1.1 * min(round_.norms.values())


@pytest.mark.parametrize("factor", [0.0, 100.0])
def test_of_two_centers_nobody_can_say_which_one_lies(factor: float, federate: Federate, tmp_path: Path) -> None:
    """One that sends next to nothing would else have the honest one refused: the round is void, both are named."""
    act = sends(lambda new, old: (old + factor * (new - old)).astype(np.float32))
    first, second = federate(act, centers=2, out=tmp_path)
    assert [(p.code, p.file) for p in first.refused] == [("E-UPDATES-APART", "Aa and Bb")]
    assert first.sha256 == second.sha256 == sha256_of(get_weights(build(first.plan, 7)))
    assert list(first.losses) == ["Aa", "Bb"] and np.isfinite(first.train_loss)


def test_a_bound_of_ones_own_holds_for_two_centers_too(federate: Federate) -> None:
    scaled = UPDATES["a hundred times its update"][0]
    (round_,) = federate(scaled, centers=2, rounds=1, max_update_norm=50.0)
    assert [(problem.code, problem.file) for problem in round_.refused] == [("E-UPDATE-NORM", "Bb")]
    assert list(round_.losses) == ["Aa"]


@pytest.mark.parametrize("strategy", ROBUST)
def test_a_robust_strategy_stands_one_liar_without_the_comparison(strategy: str, federate: Federate) -> None:
    """Without the liar it would not have the centers that it needs."""
    scaled = UPDATES["a hundred times its update"][0]
    honest, lied = (federate(act, strategy=strategy, rounds=1)[0] for act in (None, scaled))
    assert lied.refused == () and list(lied.losses) == ["Aa", "Bb", "Cc"]
    apart = max(np.abs(lied.weights[name] - array).max() for name, array in honest.weights.items())
    assert apart < 0.2 * max(np.abs(lied.weights[name]).max() for name in honest.weights)


def test_a_sum_that_is_not_finite_is_never_the_model(federate: Federate, tmp_path: Path) -> None:
    """The last good model stays, what a strategy remembers too, and the next round goes on from there."""

    def overflows(question: Message, reply: Message) -> None:
        if question.content["config"]["server-round"] == 2:
            sends(lambda new, old: np.full_like(new, 3e38))(question, reply)

    momentum = {"strategy": "fedavgm", "server_momentum": 0.9, "server_learning_rate": 5.0, "max_norm_ratio": 0.0}
    first, second, third = federate(overflows, rounds=3, out=tmp_path, **momentum)
    assert [(p.code, p.file) for p in second.refused] == [("E-MODEL-NOT-FINITE", "round 2")]
    assert first.sha256 == second.sha256 != third.sha256 and third.refused == ()
    kept = read_checkpoint(checkpoint_file(tmp_path / "rounds", 2))
    assert kept is not None and kept.sha256 == first.sha256
    assert all(np.isfinite(array).all() for array in third.weights.values())


# --- what a center says of its scores and of its scans ----------------------------------------------


@pytest.mark.parametrize(
    "lie", [{"validation_dsc": 1.5}, {"num_examples": -3}, {"num_examples": 0.5}, {"center_index": 0}]
)
def test_a_score_that_is_none_is_refused(lie: dict, federate: Federate) -> None:
    (round_,) = federate(claims(**lie), "evaluate", rounds=1, local_steps=1, evaluate_every=1)
    assert [(problem.code, problem.file) for problem in round_.refused] == [("E-SCORE", "Bb")]
    assert set(round_.scores) == {"Aa", "Cc"}
    assert round_.validation_dsc == pytest.approx(np.mean(list(round_.scores.values())))


def describes(change: Callable[[dict], None]) -> Callable[[Message, Message], None]:
    """A lie in the fingerprint."""

    def lie(_: Message, reply: Message) -> None:
        record = reply.content["fingerprint"]
        content = json.loads(str(record["json"]))
        change(content)
        record["json"] = json.dumps(content)
        record["cases"] = len(content["grids"])

    return lie


def of_each_row(**values: object) -> Callable[[dict], None]:
    return lambda content: [row.update(values) for row in content["grids"]] and None  # type: ignore[func-returns-value]


SCANS = {
    "voxels of no size": (of_each_row(spacing_mm=[0, 1, 1]), "E-CENTER-ANSWER"),
    "voxels without a number": (of_each_row(spacing_mm=[float("nan")] * 3), "E-CENTER-ANSWER"),
    "words": (of_each_row(body_mm=["a", "b", "c"]), "E-CENTER-ANSWER"),
    "a body of a kilometer": (of_each_row(body_mm=[1e6] * 3), "E-CENTER-ANSWER"),
    "a billion voxels a row": (of_each_row(shape=[10**9] * 3), "E-CENTER-ANSWER"),
    "less than nothing": (lambda content: content["hu_histogram"].update({"40": -5}), "E-CENTER-ANSWER"),
    "a liver as large as a house": (lambda c: c["organs"]["Liver"].update(total_mm3=10**13), "E-CENTER-ANSWER"),
    "more livers than children": (lambda c: c["organs"]["Liver"].update(present=99), "E-CENTER-ANSWER"),
    "a hundred children of one": (lambda content: content.update(grids=content["grids"] * 50), "E-SHARE"),
}


@pytest.mark.parametrize("lie", SCANS)
def test_a_fingerprint_that_no_scans_have_is_refused_before_anybody_trains(lie: str, federate: Federate) -> None:
    """It would bend the plan of all: their voxels, their patch, and which components count as an organ."""
    change, code = SCANS[lie]
    with pytest.raises(PedsegInputError, match=f"{code} .*Bb") as caught:
        federate(describes(change), "query.fingerprint")
    assert [problem.code for problem in caught.value.problems] == [code]


def test_cases_that_nobody_described_do_not_count(federate: Federate) -> None:
    def lie(_: Message, reply: Message) -> None:
        reply.content["fingerprint"]["cases"] = 10**9

    with pytest.raises(PedsegInputError, match="E-NO-CASES Bb: it counts 1000000000 training cases"):
        federate(lie, "query.fingerprint")


def test_a_center_of_another_version_is_named(federate: Federate) -> None:
    def lie(_: Message, reply: Message) -> None:
        reply.content["fingerprint"]["version"] = "0.0.9"

    with pytest.raises(PedsegInputError, match=f"E-VERSION Bb: .* 0.0.9, and the coordinator {__version__}"):
        federate(lie, "query.fingerprint")


def test_anything_else_in_the_place_of_a_fingerprint_is_refused(federate: Federate) -> None:
    def lie(_: Message, reply: Message) -> None:
        _flower.configs_of(reply.content)["fingerprint"]["json"] = "[" * 100_000

    with pytest.raises(PedsegInputError, match=r"E-CENTER-ANSWER .*Bb"):
        federate(lie, "query.fingerprint")
    with pytest.raises(PedsegInputError, match=r"E-CENTER-ANSWER .*Bb"):
        federate(lambda _, reply: Message(RecordDict({"x": ConfigRecord()}), reply_to=_), "query.fingerprint")
