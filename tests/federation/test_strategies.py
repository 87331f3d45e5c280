"""Robust strategies beside NumPy, and one hostile center that drags the average but not them."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict

from pedseg.errors import PedsegInputError
from pedseg.federation import _flower
from pedseg.federation._flower import to_arrays, to_weights
from pedseg.federation.checkpoints import Round, checkpoint_file
from pedseg.federation.client_app import app as client_app
from pedseg.federation.config import ROBUST, STRATEGIES, FederationConfig
from pedseg.federation.in_process import InProcessGrid
from pedseg.federation.rounds import train_rounds
from pedseg.federation.strategies import make_strategy
from pedseg.federation.update_validation import update_norm

RNG = np.random.default_rng(5)
MODELS = [{"w": RNG.normal(size=(30, 4)).astype(np.float32)} for _ in range(5)]


def replies(models: list[dict]) -> list[Message]:
    _flower.identify_server()
    made = []
    for index, model in enumerate(models):
        question = Message(RecordDict(), dst_node_id=2 + index, message_type="train")
        metrics = MetricRecord({"num-examples": 10 + index, "train-loss": 0.5, "center-index": index})
        made.append(Message(RecordDict({"arrays": to_arrays(model), "metrics": metrics}), reply_to=question))
    return made


def combined(name: str, models: list[dict], hostile: int = 1) -> np.ndarray:
    arrays, _ = make_strategy(FederationConfig(strategy=name, num_malicious=hostile)).aggregate_train(
        1, replies(models)[::-1]
    )
    assert arrays is not None
    return to_weights(arrays)["w"]


def test_the_median_and_the_trimmed_mean_are_those_of_numpy() -> None:
    stack = np.stack([model["w"] for model in MODELS])
    assert np.array_equal(combined("median", MODELS), np.median(stack, axis=0))
    ordered = np.sort(stack, axis=0)
    assert np.allclose(combined("trimmed-mean", MODELS), ordered[1:-1].mean(axis=0), atol=1e-7)
    assert np.allclose(combined("trimmed-mean", MODELS, hostile=2), ordered[2], atol=1e-7)
    assert np.allclose(combined("trimmed-mean", MODELS, hostile=0), stack.mean(axis=0), atol=1e-7)


def test_krum_takes_the_update_that_lies_nearest_to_the_others() -> None:
    center = MODELS[0]["w"]
    near = [{"w": center + np.float32(step)} for step in (0.0, 0.1, 0.25, 5.0, -7.0)]
    # Squared distances to the two nearest, for each weight: 0.0725, 0.0325, 0.085, more, more.
    assert np.array_equal(combined("krum", near), near[1]["w"])


@pytest.mark.parametrize("name", ROBUST)
def test_one_hostile_center_of_three_moves_the_average_only(name: str) -> None:
    honest = [{"w": MODELS[0]["w"] + RNG.normal(0, 0.01, (30, 4)).astype(np.float32)} for _ in range(2)]
    models = [*honest, {"w": np.full((30, 4), 1e6, dtype=np.float32)}]
    assert np.abs(combined("average", models) - MODELS[0]["w"]).max() > 1e5
    assert np.abs(combined(name, models) - MODELS[0]["w"]).max() < 0.1


@pytest.mark.parametrize("name", ROBUST)
def test_too_few_to_outvote_the_hostile_are_refused(name: str) -> None:
    with pytest.raises(PedsegInputError, match="E-TOO-FEW-CENTERS"):
        combined(name, MODELS[:2])


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(PedsegInputError, match="median"):
        FederationConfig(strategy="magic")


def test_the_length_of_an_update_is_that_of_its_difference() -> None:
    before = {"a": np.zeros((2, 2), np.float32), "b": np.ones(3, np.float32)}
    after = {"a": np.array([[3, 0], [0, 0]], np.float32), "b": np.array([1, 5, 1], np.float32)}
    assert update_norm(after, before) == 5.0


def play(config: FederationConfig) -> list[Round]:
    return list(train_rounds(InProcessGrid(client_app, [{}, {}, {}], config.to_run_config()), config))


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_trains_and_is_part_of_the_identity(
    name: str, three_hospitals: Path, config: FederationConfig, tmp_path: Path
) -> None:
    rate = {"fedadam": 0.003, "fedavgm": 0.5}.get(name, 1.0)
    config = replace(config, data=three_hospitals, out=tmp_path, strategy=name, server_learning_rate=rate)
    round_ = play(config)[-1]
    assert all(np.isfinite(array).all() and array.dtype == np.float32 for array in round_.weights.values())
    again = play(config)[-1]
    assert again.restored and again.sha256 == round_.sha256
    other = {"strategy": "median" if name == "average" else "average", "server_learning_rate": 1.0}
    changed = play(replace(config, **other))[-1]
    assert not changed.restored and changed.sha256 != round_.sha256


def rounds_of(strategy, start: np.ndarray, updates: list[np.ndarray]) -> np.ndarray:
    """The model after rounds in which the one center moves it by these updates."""
    model = {"w": start}
    for number, update in enumerate(updates, 1):
        strategy.configure_train(number, to_arrays(model), ConfigRecord(), _Nobody())
        arrays, _ = strategy.aggregate_train(number, replies([{"w": model["w"] + update}]))
        model = {"w": to_weights(arrays)["w"]}
    return model["w"]


class _Nobody:
    """A grid without nodes."""

    def get_node_ids(self) -> list[int]:
        return [2]


def test_momentum_and_adam_are_those_that_one_computes_by_hand() -> None:
    """FedAvgM: v = 0.5 v + update, w += 0.2 v. FedAdam: Adam with the update as gradient, and Flower's correction."""
    start, ups = np.zeros(3), [np.array([1.0, -2.0, 0.5]), np.array([3.0, 0.0, 0.5])]
    momentum = FederationConfig(strategy="fedavgm", server_learning_rate=0.2, server_momentum=0.5)
    by_hand = 0.2 * ups[0] + 0.2 * (0.5 * ups[0] + ups[1])
    assert rounds_of(make_strategy(momentum), start, ups) == pytest.approx(by_hand)
    strategy = make_strategy(FederationConfig(strategy="fedadam", server_learning_rate=0.01))
    m, v, w = np.zeros(3), np.zeros(3), start
    for number, up in enumerate(ups, 1):
        m, v = 0.9 * m + 0.1 * up, 0.99 * v + 0.01 * up**2
        rate = 0.01 * np.sqrt(1 - 0.99 ** (number + 1)) / (1 - 0.9 ** (number + 1))  # Flower's correction
        w = w + rate * m / (np.sqrt(v) + strategy.tau)
    assert rounds_of(strategy, start, ups) == pytest.approx(w, rel=1e-6)


@pytest.mark.parametrize("name", ["fedavgm", "fedadam"])
def test_a_stopped_federation_remembers_its_momentum(name: str, config: FederationConfig, tmp_path: Path) -> None:
    settings = {"strategy": name, "server_learning_rate": 0.05, "rounds": 3, "local_steps": 1}
    settings |= {"server_momentum": 0.9} if name == "fedavgm" else {}
    whole = play2(replace(config, **settings, out=tmp_path / "whole"))
    config = replace(config, **settings, out=tmp_path / "stopped")
    play2(config, rounds=2)
    again = play2(config)
    assert [round_.restored for round_ in again] == [True, True, False]
    assert again[-1].sha256 == whole[-1].sha256
    assert [file.name for file in (tmp_path / "stopped/rounds").glob("memory*")] == ["memory_003.safetensors"]
    checkpoint_file(tmp_path / "stopped" / "rounds", 3).unlink()  # and of the second nothing is remembered now
    with pytest.raises(PedsegInputError, match="E-STRATEGY-MEMORY"):
        play2(config)


def play2(config: FederationConfig, rounds: int | None = None) -> list[Round]:
    return list(islice(train_rounds(InProcessGrid(client_app, [{}, {}], config.to_run_config()), config), rounds))


@pytest.mark.parametrize(
    "wrong",
    [{"server_momentum": 0.5}, {"server_learning_rate": 0.5}, {"strategy": "fedadam"}, {"strategy": "fedavgm"},
     {"strategy": "fedadam", "server_learning_rate": 0.01, "server_momentum": 0.5}],
)  # fmt: skip
def test_a_setting_without_effect_is_refused(wrong: dict) -> None:
    with pytest.raises(PedsegInputError, match="E-SETTING server-"):
        FederationConfig(**wrong)


@pytest.mark.parametrize("wrong", [{"max_update_norm": -1.0}, {"max_update_norm": "big"}, {"num_malicious": -1}])
def test_settings_out_of_range_are_refused(wrong: dict) -> None:
    with pytest.raises(PedsegInputError, match="E-SETTING"):
        FederationConfig(**wrong)
