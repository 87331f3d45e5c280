"""What a center is asked to do acts, or is refused: no method is silently another one."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from flwr.app import ConfigRecord
from flwr.serverapp.strategy import DifferentialPrivacyClientSideFixedClipping, FedAvg, FedProx

from pedseg.errors import PedsegInputError
from pedseg.federation.checkpoints import Round, checkpoint_file, read_checkpoint
from pedseg.federation.client_app import app
from pedseg.federation.config import FederationConfig
from pedseg.federation.in_process import InProcessGrid
from pedseg.federation.rounds import train_rounds
from pedseg.federation.training_task import TrainingTask
from pedseg.learning.network import build
from pedseg.learning.weights import get_weights

ANY = {"min_train_nodes": 2, "min_evaluate_nodes": 2, "min_available_nodes": 2}


def play(config: FederationConfig, strategy: FedAvg | None = None, rounds: int | None = None) -> list[Round]:
    played = train_rounds(InProcessGrid(app, [{}, {}], config.to_run_config()), config, strategy)
    return list(islice(played, rounds))


def moved(round_: Round) -> float:
    """How far a round has moved the model from its beginning."""
    start = get_weights(build(round_.plan, 7))
    return math.sqrt(sum(float(np.square(round_.weights[name] - array).sum()) for name, array in start.items()))


def test_the_proximal_term_acts_and_is_the_same_by_flowers_strategy(config: FederationConfig) -> None:
    config = replace(config, rounds=1, local_steps=4)
    (free,), (held,) = play(config), play(replace(config, proximal_mu=100.0))
    assert moved(held) < 0.9 * moved(free)
    (flowers,) = play(config, FedProx(proximal_mu=100.0, **ANY))
    assert flowers.sha256 == held.sha256
    (none,) = play(config, FedProx(proximal_mu=0.0, **ANY))
    assert none.sha256 == free.sha256


def test_a_strategy_that_asks_for_what_no_center_does_is_refused(config: FederationConfig) -> None:
    clipped = DifferentialPrivacyClientSideFixedClipping(FedAvg(**ANY), 1.0, 0.1, num_sampled_clients=2)
    with pytest.raises(PedsegInputError, match="E-TASK clipping_norm"):
        play(config, clipped)


@pytest.mark.parametrize(
    "wrong",
    [{"momentum": 1.0}, {"proximal-mu": math.inf}, {"noise-multiplier": math.nan}, {"local-steps": -1}, {"seed": "x"}],
)
def test_a_center_refuses_a_task_that_it_does_not_understand(wrong: dict) -> None:
    whole = TrainingTask("{}", 1, 2, 0, 4).to_record()
    assert TrainingTask.from_record(whole) == TrainingTask("{}", 1, 2, 0, 4)
    with pytest.raises(PedsegInputError, match=f"E-TASK {next(iter(wrong))}"):
        TrainingTask.from_record({**whole, **wrong})
    with pytest.raises(PedsegInputError, match="E-TASK task: it is not whole"):
        TrainingTask.from_record(ConfigRecord({"seed": 1}))


def test_a_restored_model_has_the_order_of_its_network(config: FederationConfig, tmp_path: Path) -> None:
    """Files sort names; the id of a request and Flower's FedAvgM follow from the order of the arrays."""
    config = replace(config, out=tmp_path)
    first, _ = play(config)
    stored = read_checkpoint(checkpoint_file(tmp_path / "rounds", 1))
    assert stored and list(stored.weights) != list(first.weights)
    again, _ = play(config)
    assert again.restored and list(again.weights) == list(first.weights)
