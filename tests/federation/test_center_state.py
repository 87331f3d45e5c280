"""What centers keep to themselves: SCAFFOLD beside the algorithm of its paper, personal weights, and stopped runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from flwr.app import Context, Message, MetricRecord, RecordDict
from torch import nn

from pedseg.datasets.reading import read_centers
from pedseg.errors import PedsegInputError
from pedseg.federation import _flower, center_state, transports
from pedseg.federation.checkpoints import Round
from pedseg.federation.client_app import app as client_app
from pedseg.federation.config import FederationConfig
from pedseg.federation.in_process import InProcessGrid
from pedseg.federation.rounds import train_rounds
from pedseg.federation.strategies import make_strategy
from pedseg.federation.training_task import TrainingTask
from pedseg.learning.fingerprint import fingerprint, merge
from pedseg.learning.inference import mean_dice
from pedseg.learning.network import build, personal_names
from pedseg.learning.plans import Plan, make_plan
from pedseg.learning.training import learning_rate, load_cases
from pedseg.learning.weights import Weights, get_weights, load_weights, set_weights, sha256_of

CURVATURES, MINIMA, CASES = (1.0, 6.0), (0.0, 1.0), (3, 1)  # of two centers' losses a / 2 (w - b)^2
OPTIMUM = 6 / 9  # of their sum, weighted by cases
STEPS, ROUNDS, FASTER = 10, 30, 8.0  # the learning rate is so many times the plan's


@pytest.fixture(scope="module")
def plan(hospitals: Path) -> Plan:
    return make_plan(merge([fingerprint(d, d.split("train")) for d in read_centers(hospitals)]), "lesson")


def gradient(center: int, weight: float) -> float:
    return CURVATURES[center] * (weight - MINIMA[center])


def by_strategy(plan: Plan, name: str) -> list[float]:
    """The global weight after each round, by the strategy and what the centers keep."""
    config = FederationConfig(rounds=ROUNDS, local_steps=STEPS, strategy=name)
    strategy, states = make_strategy(config), (RecordDict(), RecordDict())
    model: Weights = {"weight": np.full((1, 1), 3.0, np.float32)}
    weights = []
    _flower.identify_server()
    for number in range(1, ROUNDS + 1):
        task, replies = TrainingTask.of_round(number, plan, config, 0, config.rounds), []
        rates = [learning_rate(plan, task.first_step + k, task.total_steps) for k in range(1, STEPS + 1)]
        for center, state in enumerate(states):
            network = nn.Linear(1, 1, bias=False)
            shift = center_state.control_variates(model, task, plan, state)
            set_weights(network, model)
            with torch.no_grad():
                for rate in rates:
                    network.weight -= FASTER * rate * gradient(center, network.weight.item())
                    network.weight += (shift["weight"].item() if shift else 0.0) * rate / sum(rates)
            arrays = _flower.to_arrays(center_state.keep(network, model, shift, task, plan, state))
            metrics = MetricRecord({"num-examples": CASES[center], "train-loss": 0.5, "center-index": center})
            question = Message(RecordDict(), dst_node_id=2 + center, message_type="train")
            replies.append(Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=question))
        arrays, _ = strategy.aggregate_train(number, replies)
        assert arrays is not None
        model = _flower.to_weights(arrays)
        weights.append(model["weight"].item())
    return weights


def by_paper(plan: Plan) -> list[float]:
    """Algorithm 1 of Karimireddy et al. 2020 with option II, all centers, and a server rate of 1."""
    x, own, weights = 3.0, [0.0, 0.0], []
    shares = np.array(CASES) / sum(CASES)
    for number in range(ROUNDS):
        rates = [FASTER * learning_rate(plan, number * STEPS + k, ROUNDS * STEPS) for k in range(1, STEPS + 1)]
        common, ys = float(shares @ own), []
        for center in range(2):
            y = x
            for rate in rates:
                y -= rate * (gradient(center, y) - own[center] + common)
            ys.append(y)
            own[center] += -common + (x - y) / sum(rates)
        x = float(shares @ ys)
        weights.append(x)
    return weights


def test_scaffold_is_that_of_its_paper_and_reaches_the_common_optimum(plan: Plan) -> None:
    corrected = by_strategy(plan, "scaffold")
    assert np.allclose(corrected, by_paper(plan), atol=1e-5)
    assert corrected[-1] == pytest.approx(OPTIMUM, abs=1e-3)
    drifted = by_strategy(plan, "average")
    assert drifted[0] == corrected[0] and min(abs(np.subtract(drifted[5:-5], OPTIMUM))) > 0.02


def test_nothing_is_corrected_by_an_older_round_or_after_a_void_one(plan: Plan) -> None:
    config = FederationConfig(rounds=3, local_steps=2, strategy="scaffold")
    tasks = [TrainingTask.of_round(number, plan, config, 0, config.rounds) for number in (1, 2, 3)]
    network, state = nn.Linear(2, 1, bias=False), RecordDict()
    before = {"weight": np.zeros((1, 2), np.float32)}
    assert center_state.control_variates(before, tasks[0], plan, state) == {}
    center_state.keep(network, before, {}, tasks[0], plan, state)
    after = {"weight": np.ones((1, 2), np.float32)}
    shift = center_state.control_variates(after, tasks[1], plan, state)["weight"]
    rates = [learning_rate(plan, step, 6) for step in (1, 2, 3, 4)]
    assert np.allclose(shift, (1 - get_weights(network)["weight"]) * sum(rates[2:]) / sum(rates[:2]))
    assert center_state.control_variates(before, tasks[1], plan, state) == {}  # the model has not moved
    assert center_state.control_variates(after, tasks[2], plan, state) == {}  # it was missing in the second round


def play(config: FederationConfig, app: Callable = client_app, centers: int = 2) -> list[Round]:
    return list(train_rounds(InProcessGrid(app, [{}] * centers, config.to_run_config()), config))


def test_scaffold_acts_from_the_second_round_on(config: FederationConfig) -> None:
    plain, corrected = play(config), play(replace(config, strategy="scaffold"))
    assert plain[0].sha256 == corrected[0].sha256 and plain[1].sha256 != corrected[1].sha256


@pytest.mark.parametrize("kind", ["norms", "head"])
def test_personal_weights_are_trained_at_home_and_never_leave(config: FederationConfig, kind: str) -> None:
    pairs: list[tuple[Weights, Weights]] = []

    def app(message: Message, context: Context) -> Message:
        reply = client_app(message, context)
        if message.metadata.message_type == "train":
            weights = [_flower.to_weights(m.content["arrays"]) for m in (message, reply)]  # type: ignore[arg-type]
            pairs.append((weights[0], weights[1]))
        return reply

    config = replace(config, personal_weights=kind)
    grid = InProcessGrid(app, [{}, {}], config.to_run_config())
    last = list(train_rounds(grid, config))[-1]
    names = personal_names(build(last.plan), kind)
    assert names and names < set(last.weights)
    for request, reply in pairs:
        assert all((request[name] == reply[name]).all() for name in names)
        assert any((request[name] != reply[name]).any() for name in set(reply) - names)
    start = get_weights(build(last.plan, config.seed))
    first, second = (center_state.with_personal(last.weights, c.state) for c in grid.contexts.values())
    for name in names:
        assert np.allclose(last.weights[name], start[name], rtol=1e-6), name  # what an outsider gets
        assert (first[name] != second[name]).any() and (first[name] != start[name]).any(), name
    assert all((first[name] == second[name]).all() for name in set(first) - names)


def test_a_center_is_evaluated_with_its_own_weights(config: FederationConfig) -> None:
    config = replace(config, personal_weights="head", local_steps=12, evaluate_every=2)
    grid = InProcessGrid(client_app, [{}, {}], config.to_run_config())
    last = list(train_rounds(grid, config))[-1]
    network, differing = build(last.plan), 0
    for dataset, context in zip(read_centers(config.data), grid.contexts.values(), strict=True):
        cases = load_cases(dataset, dataset.split("validation"), last.plan)
        dsc = []
        for weights in (center_state.with_personal(last.weights, context.state), last.weights):
            set_weights(network, weights)
            dsc.append(mean_dice(network, cases, last.plan))
        assert last.scores[dataset.center] == pytest.approx(dsc[0], abs=1e-9)
        differing += dsc[0] != dsc[1]
    assert differing  # else the global weights would do as well


METHODS = [{"strategy": "scaffold"}, {"personal_weights": "norms"}, {"strategy": "fedavgm", "server_momentum": 0.5}]


@pytest.mark.parametrize("method", METHODS)
def test_a_stopped_run_of_a_method_ends_as_an_unbroken_one(
    config: FederationConfig, tmp_path: Path, method: dict
) -> None:
    config = replace(config, rounds=3, **method)
    whole = [round_.sha256 for round_ in play(config)]
    config = replace(config, out=tmp_path)
    grid = InProcessGrid(client_app, [{}, {}], config.to_run_config())
    begun = train_rounds(grid, config)
    next(begun)
    begun.close()
    again = train_rounds(grid, config)  # the same centers, as in a notebook
    assert [next(again).sha256, next(again).sha256] == whole[:2]
    again.close()
    resumed = play(config)  # new ones, as after a power cut
    assert [round_.restored for round_ in resumed] == [True, True, False]
    assert [round_.sha256 for round_ in resumed] == whole
    finished = InProcessGrid(client_app, [{}, {}], config.to_run_config())
    assert all(round_.restored for round_ in train_rounds(finished, config))
    kept = [bool(set(center_state.KEPT) & set(context.state)) for context in finished.contexts.values()]
    assert kept == [config.keeps_center_state] * 2


def test_centers_that_lost_what_they_kept_are_no_reason_to_go_on_with_less(
    config: FederationConfig, tmp_path: Path
) -> None:
    config = replace(config, personal_weights="norms", out=tmp_path)
    begun = train_rounds(InProcessGrid(client_app, [{}, {}], config.to_run_config()), config)
    next(begun)
    begun.close()
    (tmp_path / "rounds" / "memory_001.safetensors").unlink()
    with pytest.raises(PedsegInputError, match="E-STRATEGY-MEMORY"):
        play(config)


@pytest.mark.parametrize(
    "wrong",
    [
        {"strategy": "scaffold", "clipping_norm": 1.0},
        {"strategy": "scaffold", "rounds": 1},
        {"personal_weights": "all"},
    ],
)
def test_settings_that_do_not_go_together_are_refused(wrong: dict) -> None:
    with pytest.raises(PedsegInputError, match="E-SETTING"):
        FederationConfig(**wrong)


def test_a_center_that_clips_its_updates_refuses_scaffold(config: FederationConfig) -> None:
    config = replace(config, strategy="scaffold")
    grid = InProcessGrid(client_app, [{}, {"clipping-norm": 1.0}], config.to_run_config())
    first = next(train_rounds(grid, config))
    assert [(problem.code, problem.file) for problem in first.refused] == [("E-CENTER-ERROR", "Bb")]


def test_scaffold_behind_masks_is_scaffold(
    config: FederationConfig, three_hospitals: Path, key_folder: Path, tmp_path: Path
) -> None:
    config = replace(config, data=three_hospitals, strategy="scaffold", keys=key_folder, max_norm_ratio=0.0)
    models, states = [], []
    for masks in (False, True):
        own = replace(config, secure_aggregation=masks)
        grid = InProcessGrid(client_app, [{}] * 3, own.to_run_config())
        rounds = train_rounds(grid, own)
        models.append(next(rounds))
        states.append([RecordDict({**context.state}) for context in grid.contexts.values()])
        assert next(rounds).refused == ()  # and the second round is corrected
    task = TrainingTask.of_round(2, models[0].plan, config, 0, 2)
    for plain, masked in zip(*states, strict=True):
        shift, behind = (
            center_state.control_variates(model.weights, task, model.plan, state)
            for model, state in zip(models, (plain, masked), strict=True)
        )
        assert max(np.abs(array).max() for array in shift.values()) > 1e-3
        assert all(np.allclose(array, behind[name], atol=1e-5) for name, array in shift.items())


@pytest.mark.slow
def test_every_way_gives_the_same_weights_and_a_mailbox_each_center_its_own(
    config: FederationConfig, hospitals: Path, tmp_path: Path
) -> None:
    config = replace(config, rounds=3, strategy="scaffold", personal_weights="norms")
    here = play(config)
    for way in ("ray", "superlink", "mailbox"):
        there = list(transports.federate(replace(config, out=tmp_path / way), way))
        assert [round_.sha256 for round_ in there] == [round_.sha256 for round_ in here], way
        assert sha256_of(load_weights(tmp_path / way / "federated.safetensors")[0]) == here[-1].sha256, way
    names = personal_names(build(here[-1].plan), "norms")
    own = [load_weights(tmp_path / "mailbox" / "mailbox" / name / "federated.safetensors")[0] for name in ("Aa", "Bb")]
    assert all((own[0][name] != own[1][name]).any() for name in names)
    assert all((own[0][name] == own[1][name]).all() for name in set(own[0]) - names)
