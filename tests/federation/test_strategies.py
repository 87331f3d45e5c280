"""Robust strategies beside NumPy, and one hostile center that drags the average but not them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Array, Context, Message, MetricRecord, RecordDict

from pedseg.errors import PedsegInputError
from pedseg.federation import _flower
from pedseg.federation._flower import to_arrays, to_weights
from pedseg.federation.checkpoints import Round
from pedseg.federation.client_app import app as client_app
from pedseg.federation.config import STRATEGIES, FederationConfig
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
    arrays, _ = make_strategy(name, hostile).aggregate_train(1, replies(models)[::-1])
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


@pytest.mark.parametrize("name", STRATEGIES[1:])
def test_one_hostile_center_of_three_moves_the_average_only(name: str) -> None:
    honest = [{"w": MODELS[0]["w"] + RNG.normal(0, 0.01, (30, 4)).astype(np.float32)} for _ in range(2)]
    models = [*honest, {"w": np.full((30, 4), 1e6, dtype=np.float32)}]
    assert np.abs(combined("average", models) - MODELS[0]["w"]).max() > 1e5
    assert np.abs(combined(name, models) - MODELS[0]["w"]).max() < 0.1


@pytest.mark.parametrize("name", STRATEGIES[1:])
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


def grown(factor: float, place: int = 1) -> Callable[[Message, Context], Message]:
    """The real app, but one center answers with weights far away."""

    def app(message: Message, context: Context) -> Message:
        reply = client_app(message, context)
        if message.metadata.message_type == "train" and context.node_config["partition-id"] == place:
            arrays = reply.content.array_records["arrays"]
            for name, array in arrays.items():
                arrays[name] = Array(array.numpy() * np.float32(factor))
        return reply

    return app


def test_an_update_over_the_bound_is_refused_by_the_name_of_its_center(
    three_hospitals: Path, config: FederationConfig
) -> None:
    config = replace(config, data=three_hospitals, rounds=1, max_update_norm=50.0)
    grid = InProcessGrid(grown(1e6), [{}, {}, {}], config.to_run_config())  # type: ignore[arg-type]
    (round_,) = train_rounds(grid, config)
    assert [(f.code, f.file) for f in round_.refused] == [("E-UPDATE-NORM", "Bb")]
    assert list(round_.losses) == ["Aa", "Cc"]


def play(config: FederationConfig) -> list[Round]:
    return list(train_rounds(InProcessGrid(client_app, [{}, {}, {}], config.to_run_config()), config))


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_trains_and_is_part_of_the_identity(
    name: str, three_hospitals: Path, config: FederationConfig, tmp_path: Path
) -> None:
    config = replace(config, data=three_hospitals, rounds=1, out=tmp_path, strategy=name)
    (round_,) = play(config)
    assert all(np.isfinite(array).all() and array.dtype == np.float32 for array in round_.weights.values())
    (again,) = play(config)
    assert again.restored and again.sha256 == round_.sha256
    (changed,) = play(replace(config, strategy="median" if name == "average" else "average"))
    assert not changed.restored and changed.sha256 != round_.sha256


@pytest.mark.parametrize("wrong", [{"max_update_norm": -1.0}, {"max_update_norm": "big"}, {"num_malicious": -1}])
def test_settings_out_of_range_are_refused(wrong: dict) -> None:
    with pytest.raises(PedsegInputError, match="E-SETTING"):
        FederationConfig(**wrong)
