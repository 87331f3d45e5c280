"""Whole federations behind masks: the same model, nothing to see for the coordinator, and a rule for the missing."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Context, Message

from pedseg.datasets.writing import write_case, write_index
from pedseg.errors import PedsegInputError
from pedseg.federation import _flower, transports
from pedseg.federation.client_app import app as client_app
from pedseg.federation.config import FederationConfig
from pedseg.federation.in_process import InProcessGrid
from pedseg.federation.keys import own_keys
from pedseg.federation.rounds import train_rounds
from pedseg.federation.update_validation import update_norm
from pedseg.learning.network import build
from pedseg.learning.weights import get_weights, sha256_of

NAMES = ("Aa", "Bb", "Cc", "Dd")
SHORT = {"rounds": 1, "local_steps": 2, "seed": 7}
SECURE = {"rounds": 1, "local_steps": 1, "seed": 7, "secure_aggregation": True, "out": None}


@pytest.fixture
def nodes(three_hospitals: Path, key_folder: Path, tmp_path: Path, tiny_case) -> list[dict]:
    """Four centers with a folder of keys of their own: other tests' coordinators would wait for the fourth."""
    keys = Path(shutil.copytree(key_folder, tmp_path / "keys"))
    own_keys(keys, "Dd")
    fourth = tmp_path / "Dd"
    for place, split in enumerate(("train", "train", "train", "validation", "test")):
        who = {"patient": f"Dd-{place}", "center": "Dd", "split": split, "manual": ("Liver", "Spleen", "Kidney_L")}
        write_case(fourth, f"Dd-{place}", *tiny_case(300 + place, 80.0), **who)
    write_index(fourth, center="Dd")
    return [
        {"data-dir": str(folder), "center": name, "keys": str(keys)}
        for name, folder in zip(NAMES, [*sorted(three_hospitals.iterdir()), fourth], strict=True)
    ]


def play(nodes: list[dict], app: Callable = client_app, **settings) -> list:
    config = FederationConfig(**{**SECURE, **settings})
    return list(train_rounds(InProcessGrid(app, nodes, config.to_run_config()), config))


def away(name: str, *rounds: int) -> Callable:
    """The real app, but one center is away in some rounds."""

    def app(message: Message, context: Context) -> Message:
        round_ = _flower.configs_of(message.content).get("config", {}).get("server-round")
        if message.metadata.message_type == "train" and context.node_config["center"] == name and round_ in rounds:
            raise TimeoutError("the line is dead")
        return client_app(message, context)

    return app


def test_the_model_is_that_without_masks_to_a_millionth(three_hospitals: Path, tmp_path: Path) -> None:
    (plain,) = transports.federate(FederationConfig(data=three_hospitals, out=tmp_path / "plain", **SHORT))
    config = FederationConfig(data=three_hospitals, out=tmp_path / "hidden", secure_aggregation=True, **SHORT)
    (hidden,) = transports.federate(config)
    apart = max(np.abs(hidden.weights[name] - array).max() for name, array in plain.weights.items())
    assert 0 < apart < 3 * 0.5 * 2**-20 + 1e-6
    assert hidden.train_loss == plain.train_loss and hidden.refused == ()


def test_the_coordinator_sees_no_update(nodes: list[dict]) -> None:
    seen: list[np.ndarray] = []

    def spied(message: Message, context: Context) -> Message:
        reply = client_app(message, context)
        seen.extend(array.numpy() for record in _flower.arrays_of(reply.content).values() for array in record.values())
        return reply

    play(nodes, spied)
    assert {array.dtype for array in seen} == {np.dtype(np.uint32)}
    largest = max(seen, key=lambda array: array.size).ravel() / 2.0**32
    assert abs(largest.mean() - 0.5) < 0.02 and abs(largest.std() - 12**-0.5) < 0.02  # as random numbers have


def test_without_one_center_the_round_is_void_and_the_next_goes_on_without_it(nodes: list[dict]) -> None:
    first, second, third = play(nodes, away("Bb", 1), rounds=3)
    start = build(first.plan, 7)
    assert first.sha256 == sha256_of(get_weights(start))  # the model stays
    assert [(problem.code, problem.file) for problem in first.refused] == [
        ("E-CENTER-ERROR", "Bb"),
        ("E-MASK-VOID", "Bb"),
    ]
    assert [(problem.code, problem.file) for problem in second.refused] == [("E-MASK-OUT", "Bb")]
    assert list(second.losses) == ["Aa", "Cc", "Dd"] and second.sha256 != first.sha256
    assert third.refused == () and list(third.losses) == list(NAMES)


def test_who_is_away_for_long_is_asked_less_and_less_often(nodes: list[dict]) -> None:
    rounds = play(nodes, away("Bb", *range(1, 9)), rounds=8)
    void = [round_.number for round_ in rounds if any(f.code == "E-MASK-VOID" for f in round_.refused)]
    assert void == [1, 3, 6]  # sits out 1, 2, 4 rounds


def test_a_stopped_federation_behind_masks_ends_as_an_unbroken_one(nodes: list[dict], tmp_path: Path) -> None:
    whole = play(nodes, away("Bb", 1), rounds=4)
    config = FederationConfig(**{**SECURE, "rounds": 4, "out": tmp_path})
    begun = train_rounds(InProcessGrid(away("Bb", 1), nodes, config.to_run_config()), config)
    next(begun)
    begun.close()
    again = play(nodes, away("Bb", 1), rounds=4, out=tmp_path)
    assert again[0].restored and not again[1].restored
    assert [round_.sha256 for round_ in again] == [round_.sha256 for round_ in whole]  # whatever the masks were


def test_two_centers_are_too_few(nodes: list[dict]) -> None:
    with pytest.raises(PedsegInputError, match="E-MASK-FEW"):
        play(nodes[:2])
    with pytest.raises(PedsegInputError, match="E-MASK-FEW round 2"):
        play(nodes[:3], away("Bb", 1), rounds=2)


def test_three_centers_of_which_one_was_missing_go_on_when_it_is_back(nodes: list[dict], tmp_path: Path) -> None:
    def again() -> list:
        return play(nodes[:3], away("Bb", 1, 2), rounds=4, out=tmp_path)

    for stopped in (2, 3):
        with pytest.raises(PedsegInputError, match=f"E-MASK-FEW round {stopped}"):
            again()
    rounds = again()
    assert [list(round_.losses) for round_ in rounds] == [["Aa", "Cc"], ["Aa", "Cc"], [*NAMES[:3]], [*NAMES[:3]]]
    assert [round_.restored for round_ in rounds] == [True, True, False, False]


def test_every_center_shortens_its_update_before_it_leaves(nodes: list[dict]) -> None:
    (round_,) = play(nodes, secure_aggregation=False, clipping_norm=0.05)
    start = get_weights(build(round_.plan, 7))
    assert 0.01 < update_norm(round_.weights, start) <= 0.05 * 1.001


def test_noise_is_another_one_each_time(nodes: list[dict]) -> None:
    digests = {
        play(nodes, secure_aggregation=False, clipping_norm=0.05, noise_multiplier=0.1)[0].sha256 for _ in range(2)
    }
    assert len(digests) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"strategy": "median"},
        {"strategy": "krum"},
        {"max_update_norm": 1.0},
        {"noise_multiplier": 1.0},
        {"secure_aggregation": "yes"},
        {"clipping_norm": -1.0},
        {"noise_multiplier": float("nan"), "clipping_norm": 1.0},
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_asked(nodes: list[dict], wrong: dict) -> None:
    with pytest.raises(PedsegInputError, match="E-SETTING"):
        play(nodes, **wrong)


def test_masks_need_the_average(nodes: list[dict]) -> None:
    from pedseg.federation.strategies import OrderedFedAvg

    config = FederationConfig(**SECURE)
    with pytest.raises(PedsegInputError, match="another strategy"):
        next(train_rounds(InProcessGrid(client_app, nodes, config.to_run_config()), config, OrderedFedAvg()))


@pytest.mark.slow
def test_masks_through_a_mailbox_with_a_center_that_is_killed(programs, three_hospitals: Path, tmp_path: Path) -> None:
    config = {**SECURE, "data": three_hospitals, "out": tmp_path / "here", "rounds": 4, "local_steps": 2}
    *_, here = transports.federate(FederationConfig(**config))
    played = programs(tmp_path / "box", "--rounds", "4", "--secure-aggregation")
    for name in NAMES[:3]:
        played.commands[name] += [
            "--secure-aggregation-only",
            *(["--clipping-norm", "50"] if name == "Cc" else []),
        ]  # longer than any update
    played.start()
    while played.rounds_done() < 1:
        assert played.running["coordinator"].poll() is None, played.said("coordinator")
        time.sleep(0.05)
    played.kill("Bb")
    played.start("Bb")
    played.wait()
    assert played.digest() == here.sha256
    assert "epsilon" not in played.said("Aa")  # without noise there is none
    assert "E-" not in "".join(map(played.said, played.commands))
